import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Servers } from "../../src/core-nats/servers.ts";
import { connect } from "../../src/index.ts";
import type { ConnectOptions, Status, SubscribeOptions } from "../../src/index.ts";
import { bytesOf, latin1 } from "../support/bytes.ts";
import { open, optionsFor, Received, Statuses } from "../support/clients.ts";
import { FakeStreaming, msgProto } from "../support/fake-streaming.ts";
import { creds, userSeed } from "../support/nkeys.ts";
import { FakeServer } from "../support/raw.ts";
import { readStrictly } from "../support/strict.ts";
import type { Said } from "../support/strict.ts";
import { until } from "../support/until.ts";

const pem = (name: string): string => readFileSync(join(__dirname, `../fixtures/tls/${name}.pem`), "utf8");

const fakes: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(fakes.splice(0).map((fake) => fake.stop()));
});

async function streaming(greet: Record<string, unknown> = {}): Promise<FakeStreaming> {
  const fake = await FakeStreaming.start({ greet });
  fakes.push(fake);
  return fake;
}

/** All that the client has said on a link, once it has said all that it had to. */
async function said(fake: FakeStreaming): Promise<Said[]> {
  fake.link.send("PING\r\n");
  await fake.link.next(/^PONG/);
  return readStrictly(fake.link.received());
}

const UNSENDABLE = [
  ...Array.from({ length: 33 }, (_, code) => String.fromCharCode(code)),
  ..."\u007f\u0080\u0085\u009f\u00a0\u1680\u2000\u2001\u200a\u2028\u2029\u202f\u205f\u3000\ufeff",
  "\ud800",
  "\udc00",
  "\r\n",
  "\r\nPUB evil 4\r\nevil\r\n",
];
/** Names that must not be taken, wherever the bad part stands. */
const BAD_NAMES = [
  ...UNSENDABLE.flatMap((bad) => [bad, `a${bad}`, `${bad}a`, `a${bad}b`]),
  ...["", "x".repeat(65_536), "\u2028".repeat(65_536)],
];

describe("names that callers give", () => {
  test("never break out of what they are part of, on their way to a server", async () => {
    const fake = await streaming();
    const client = await open(fake);
    const before = await said(fake);
    const publishedWith: string[] = [];
    for (const name of [...BAD_NAMES, "a.*", ">", "*", "a..b", ".a", "a.", "a/b"]) {
      await expect(client.publish(name, "x"), JSON.stringify(name.slice(0, 30))).rejects.toThrow(TypeError);
      await expect(client.subscribe(name, () => {})).rejects.toThrow(TypeError);
      await expect(client.messages(name)).rejects.toThrow(TypeError);
      await expect(client.publishMany(name, ["x"])).rejects.toThrow(TypeError);
    }
    for (const name of BAD_NAMES) {
      // The names of durables and queue groups are texts within messages, too. Those that break no line are taken.
      const isTaken = /^[^\p{Cc}\p{Zl}\p{Zp}\p{Cs}]{1,4096}$/u.test(name);
      const all: SubscribeOptions[] = [{ queue: name }, { durable: name }, { queue: "q", durable: name }];
      const options = isTaken ? [] : all;
      for (const option of options) {
        const attempt = client.subscribe("a", () => {}, option);
        await expect(attempt, JSON.stringify(name.slice(0, 30))).rejects.toThrow(TypeError);
      }
      // The reply is a text within the message, not a subject.
      if (name.length <= 1_024 && !/[\ud800\udc00]/.test(name)) {
        await client.publish("a", "x", { reply: name });
        publishedWith.push(name);
      }
    }
    expect(fake.publishes.map(({ message }) => message.reply)).toEqual(publishedWith);
    expect(fake.subscribes).toEqual([]);
    const after = await said(fake);
    const frames = after.slice(before.length).filter(({ verb }) => verb !== "PONG" && verb !== "PING");
    expect(frames).toHaveLength(publishedWith.length);
    for (const { verb, subject, reply } of frames) {
      expect([verb, subject, reply?.slice(0, 11)]).toEqual(["PUB", "_FAKE.pub.a", "_STAN.acks."]);
    }
  });

  test("that are options are refused before anything is dialled, and the message names the option", async () => {
    const fake = await streaming();
    for (const name of BAD_NAMES) {
      for (const option of ["clusterId", "clientId", "inboxPrefix", "discoverPrefix"] as const) {
        const attempt = connect({ ...optionsFor(fake), [option]: name });
        const which = `${option} ${JSON.stringify(name.slice(0, 30))}`;
        await expect(attempt, which).rejects.toThrow(new RegExp(`^${option} `));
        await expect(attempt).rejects.toThrow(TypeError);
      }
    }
    for (const option of ["clusterId", "clientId", "inboxPrefix", "discoverPrefix"] as const) {
      for (const name of ["a.*", ">", "a..b", "a.", "x".repeat(257), 5, null, {}]) {
        await expect(connect({ ...optionsFor(fake), [option]: name } as ConnectOptions)).rejects.toThrow(TypeError);
      }
    }
    expect(fake.links).toEqual([]);
  });

  test("of the longest kind fit every line", async () => {
    const fake = await streaming();
    const [clientId, clusterId] = ["c".repeat(256), "漢".repeat(256)];
    for (const option of ["inboxPrefix", "discoverPrefix"]) {
      const attempt = connect({ ...optionsFor(fake), [option]: "x".repeat(256) });
      await expect(attempt).rejects.toThrow(`${option} must have at most 255`);
    }
    // The registration is sent, if to nobody: the stand-in listens to the usual prefix only.
    const prefixes = { inboxPrefix: "漢".repeat(255), discoverPrefix: "漢".repeat(255), requestTimeout: 50 };
    const attempt = connect({ ...optionsFor(fake), clientId, clusterId, ...prefixes });
    await expect(attempt).rejects.toMatchObject({ code: "NO_SERVER" });
    await fake.link.closed;
    expect(readStrictly(fake.link.received()).filter(({ verb }) => verb === "PUB")).toHaveLength(1);

    const client = await open(fake, { clientId, clusterId, inboxPrefix: "i".repeat(255) });
    await client.publish("漢".repeat(512), "x");
    await client.subscribe("漢".repeat(512), () => {}, { durable: "漢".repeat(256), queue: "漢".repeat(256) });
    expect((await said(fake)).filter(({ verb }) => verb === "PUB")).toHaveLength(3);
  });
});

/** In no place, under no name. */
const CANARY = "c4naryHunter2";
const SEED = userSeed.slice(4, 40);

/** All that can be seen of a thing from outside: texts, stacks, causes, own properties, and what `inspect` shows. */
function visible(thing: unknown, seen = new Set<unknown>()): string {
  if (typeof thing !== "object" || thing === null) return String(thing);
  if (seen.has(thing)) return "";
  seen.add(thing);
  let text = inspect(thing, { depth: 10, showHidden: true });
  try {
    text += JSON.stringify(thing) ?? "";
  } catch {
    // Not everything has a JSON form.
  }
  for (const name of Object.getOwnPropertyNames(thing)) text += visible((thing as Record<string, unknown>)[name], seen);
  if (thing instanceof Error) text += `${thing.message}${thing.stack}${visible(thing.cause, seen)}`;
  return text;
}

describe("secrets", () => {
  const FORMS: [string, Partial<ConnectOptions> | ((port: number) => Partial<ConnectOptions>)][] = [
    ["user and password", { auth: { user: "someone", pass: CANARY } }],
    ["a token", { auth: { token: CANARY } }],
    ["an nkey seed", { auth: { nkeySeed: userSeed } }],
    ["a creds text", { auth: { creds: creds(userSeed) } }],
    ["a function", { auth: () => ({ user: "someone", pass: CANARY }) }],
    ["a URL with a password", (port) => ({ servers: `nats://someone:${CANARY}@127.0.0.1:${port}` })],
    ["a URL with a token", (port) => ({ servers: [`nats://${CANARY}@127.0.0.1:${port}`] })],
  ];
  const jwt = creds(userSeed).split("\n")[1]!.trim();
  const SECRETS = [CANARY, SEED, jwt, pem("client-key").split("\n")[1]!];

  function expectNoSecret(...things: unknown[]): void {
    for (const thing of things) {
      const text = visible(thing);
      for (const secret of SECRETS) expect(text.includes(secret), text.slice(0, 2_000)).toBe(false);
    }
  }

  test.each(FORMS)("in %s are seen in no client, subscription, message, status or error", async (_, form) => {
    const fake = await streaming({ nonce: "PXoWU7zWAMt75FY", auth_required: true });
    const port = Number(fake.url.split(":").at(-1));
    const options = typeof form === "function" ? form(port) : form;
    const statuses = new Statuses();
    const received = new Received();
    const client = await open(fake, { ...options, onStatus: statuses.onStatus });
    const subscription = await client.subscribe("fake", received.handler);
    const messages = await client.messages("fake");
    fake.deliver(msgProto({ sequence: 1n }), fake.held[0]);
    await received.until(1);
    const errors: unknown[] = [];
    fake.onPublish = () => {};
    const unconfirmed = client.publish("a", "x").catch((error: unknown) => errors.push(error));
    await until("it has been sent", () => fake.publishes.length === 1);
    fake.link.send("-ERR 'Authorization Violation'\r\n");
    fake.link.end();
    await unconfirmed;
    await statuses.until("registered", 2);
    await client.publish("..", "x").catch((error: unknown) => errors.push(error));
    expect(errors).toHaveLength(2);
    // They did arrive where they belong.
    expect(latin1(fake.links[0]!.received())).toMatch(/"(pass|auth_token|sig)":/);
    expectNoSecret(client, subscription, messages, received.all, statuses.all, errors);
    await client.close();
    expectNoSecret(client, subscription, statuses.all);
  });

  test.each(FORMS)("in %s are in no error of a connect that fails, however it does", async (_, form) => {
    const answers: ((frame: { verb: string }) => string | undefined)[] = [
      ({ verb }) => (verb === "CONNECT" ? "-ERR 'Authorization Violation'\r\n" : undefined),
      ({ verb }) => (verb === "CONNECT" ? "nonsense\r\n" : undefined),
    ];
    for (const nonce of ["PXoWU7zWAMt75FY", undefined]) {
      for (const answer of answers) {
        const fake = await FakeServer.start({
          greet: { nonce },
          onFrame: (frame, link) => {
            const said = answer(frame);
            if (said === undefined) return;
            link.send(said);
            link.end();
          },
        });
        fakes.push(fake);
        const told: Status[] = [];
        const options = typeof form === "function" ? form(fake.port) : form;
        const more = { onStatus: (status: Status): void => void told.push(status), requestTimeout: 50 };
        const connecting = connect({ ...optionsFor(fake), ...options, ...more });
        const error: unknown = await connecting.catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(Error);
        expectNoSecret(error, told);
      }
    }
    const closed = typeof form === "function" ? form(1) : { ...form, servers: "127.0.0.1:1" };
    expectNoSecret(await connect({ ...optionsFor({ url: "" }), ...closed }).catch((reason: unknown) => reason));
  });

  test("leave in CONNECT alone, which has these fields and no others, whatever the options", async () => {
    const fake = await streaming({ nonce: "PXoWU7zWAMt75FY", auth_required: true });
    const every = {
      auth: { user: "someone", pass: CANARY },
      connectTimeout: 5_000,
      requestTimeout: 2_000,
      publishTimeout: 30_000,
      maxPubAcksInFlight: 10,
      maxPubBytesInFlight: 10_000,
      maxQueuedBytes: 10_000,
      maxWaitingBytes: 10_000,
      resendUnconfirmed: true,
      pingInterval: 5_000,
      pingMaxOut: 3,
      waitOnFirstConnect: true,
      inboxPrefix: "_IN",
      signal: new AbortController().signal,
      discoverPrefix: "_STAN.discover",
    } satisfies Omit<ConnectOptions, "clusterId" | "clientId" | "servers" | "reconnectDelay" | "onStatus" | "tls">;
    await open(fake, { ...every, clientId: "the-client" });
    const [first] = await said(fake);
    expect(first!.json).toEqual({
      verbose: false,
      pedantic: false,
      tls_required: false,
      name: "the-client",
      lang: "typescript",
      version: "0.1.0",
      protocol: 1,
      echo: true,
      headers: true,
      no_responders: true,
      user: "someone",
      pass: CANARY,
    });
    const rest = (await said(fake)).slice(1);
    expect(JSON.stringify(rest)).not.toContain(CANARY);
  });

  test("in TLS options are seen nowhere", async () => {
    const fake = await streaming();
    const tls = { cert: pem("client"), key: pem("client-key"), passphrase: CANARY, ca: pem("ca") };
    const told: Status[] = [];
    const connecting = connect({ ...optionsFor(fake), tls, onStatus: (status) => void told.push(status) });
    const error: unknown = await connecting.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "AUTH_FAILED" });
    expectNoSecret(error, told);
  });

  test("in the pool of servers are not seen", () => {
    const servers = new Servers(`nats://someone:${CANARY}@a, nats://${CANARY}@b`, false);
    servers.discovered(["10.0.0.1:4222"], servers.round()[0]!);
    expectNoSecret(servers, servers.round());
  });
});

describe("input that is malformed", () => {
  const good = { clusterId: "test-cluster", clientId: "a-client" };

  const MALFORMED = [
    [{ servers: `http://user:${CANARY}@host` }, /^servers: URL 1 of 1 must start with nats:\/\/ or tls:\/\//],
    [{ servers: [`nats://ok`, `nats://user:${CANARY}@:4222`] }, /^servers: URL 2 of 2 /],
    [{ servers: `nats://user:${CANARY}#@host` }, /percent-encoded/],
    [{ servers: `nats://user:%${CANARY}@host` }, /percent-encoded/],
    [{ servers: `user:${CANARY}@host` }, /must start with nats:\/\//],
    [{ servers: `nats://host:99999/${CANARY}` }, /port 1 to 65535/],
    [{ servers: [] }, /^servers must be/],
    [{ auth: { nkeySeed: CANARY } }, /^auth\.nkeySeed must have/],
    [{ auth: { nkeySeed: userSeed.slice(0, -1) + "A" } }, /^auth\.nkeySeed has a wrong checksum/],
    [{ auth: { nkeySeed: userSeed.toLowerCase() } }, /^auth\.nkeySeed must have only the characters/],
    [{ auth: { creds: `/path/to/${CANARY}` } }, /^auth\.creds must be the contents/],
    [{ auth: { creds: creds(CANARY) } }, /^auth\.creds: the seed must have/],
    [{ auth: { user: "u" } }, /^auth\.pass must be a string/],
    [{ auth: { user: "u", pass: "p", token: CANARY } }, /^auth must hold exactly one/],
    [{ auth: { password: CANARY } }, /^auth must hold exactly one/],
    [{ auth: CANARY }, /^auth must hold exactly one/],
    [{ tls: CANARY }, /^tls must be an object, .*, not a string$/],
  ] as [Partial<ConnectOptions>, RegExp][];

  test.each(MALFORMED)("%# is named with its rule, and none of its contents", async (options, expected) => {
    const error: unknown = await connect({ ...good, ...options }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toMatch(expected);
    expect(visible(error)).not.toContain(CANARY);
    expect(visible(error)).not.toContain(SEED);
  });
});

describe("memory that was not written to", () => {
  test("never leaves: what is allocated unsafely is filled with 0xAA, and none of that is on the wire", async () => {
    const unsafe = { calls: 0 };
    for (const name of ["allocUnsafe", "allocUnsafeSlow"] as const) {
      const original = Buffer[name].bind(Buffer);
      vi.spyOn(Buffer, name).mockImplementation((size) => {
        unsafe.calls++;
        return original(size).fill(0xaa);
      });
    }
    const fake = await streaming({ nonce: "PXoWU7zWAMt75FY" });
    const client = await open(fake, { auth: { nkeySeed: userSeed } });
    const sizes = [0, 1, 7, 100, 5_000, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 300_000];
    const payloads = sizes.flatMap((size) => ["x".repeat(size), new Uint8Array(size).fill(120)]);
    const all = payloads.map((data) => client.publish("a", data));
    await client.subscribe("a", () => {}, { durable: "d" });
    await Promise.all(all);
    await client.close();
    await fake.link.closed;
    const bytes = fake.link.received();
    readStrictly(bytes);
    expect(latin1(bytes).includes("\u00aa\u00aa")).toBe(false);
    const texts = sizes.flatMap((size) => ["x".repeat(size), "x".repeat(size)]);
    expect(fake.publishes.map(({ message }) => latin1(message.data))).toEqual(texts);
    // The patch itself works.
    const before = unsafe.calls;
    expect([...Buffer.allocUnsafe(2)]).toEqual([0xaa, 0xaa]);
    expect(unsafe.calls).toBe(before + 1);
    expect(bytesOf("x")).toHaveLength(1);
  });
});
