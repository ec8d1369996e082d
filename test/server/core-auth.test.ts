import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { connect } from "../../src/index.ts";
import type { ConnectOptions, StreamingError } from "../../src/index.ts";
import { fresh, open, optionsFor, Statuses } from "../support/clients.ts";
import { listen } from "../support/ports.ts";
import { creds, jwtConfig, jwtOf, otherSeed, signature, user, userSeed } from "../support/nkeys.ts";
import { FakeServer } from "../support/raw.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the streaming server itself logs in with, as a file. */
function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const PASSWORD = `p"@:/ ü`;

function passwordConfig(password: string): string {
  const ann = `{ user: "ann b", password: ${JSON.stringify(password)} }`;
  return `authorization { users: [ { user: stan, password: s }, ${ann} ] }
    streaming { id: test-cluster, username: stan, password: s }`;
}

/** Who is refused, whatever the mode, at once. */
async function refused(options: ConnectOptions): Promise<StreamingError> {
  let last: unknown;
  for (const waitOnFirstConnect of [false, true]) {
    last = await connect({ ...options, waitOnFirstConnect, connectTimeout: 60_000 }).then(
      (client) => client.close(),
      (error: unknown) => error,
    );
    expect(last).toMatchObject({ code: "AUTH_FAILED" });
  }
  return last as StreamingError;
}

describeWithServer("user and password", () => {
  const server = forSuite(() => RealServer.start({ config: passwordConfig(PASSWORD) }));
  const url = (userinfo: string): { servers: string } => ({ servers: `nats://${userinfo}@127.0.0.1:${server().port}` });

  test("let in, as an option, from a function, and in the URL", async () => {
    const credentials = { user: "ann b", pass: PASSWORD };
    for (const options of [
      { auth: credentials },
      { auth: () => credentials },
      { auth: () => Promise.resolve(credentials) },
      url(`ann%20b:${encodeURIComponent(PASSWORD)}`),
    ]) {
      const client = await open(server(), options);
      await client.publish(fresh("channel"), "x");
    }
  });

  test("that are wrong, or missing, are refused with the server's words", async () => {
    for (const options of [{ auth: { user: "ann b", pass: "other" } }, url("ann%20b:other"), url("a-token"), {}]) {
      const error = await refused(optionsFor(server(), options));
      expect(error.message).toContain(`127.0.0.1:${server().port}: Authorization Violation`);
    }
  });

  test("as an option go before those in the URL", async () => {
    await open(server(), { ...url("ann%20b:other"), auth: { user: "ann b", pass: PASSWORD } });
  });

  test("from a function that fails, or gives nonsense, are refused without a word to the server", async () => {
    const broken = new Error("the vault is closed");
    const failed = await refused(optionsFor(server(), { auth: () => Promise.reject(broken) }));
    expect(failed.cause).toMatchObject({ cause: broken });
    const nonsense = await refused(optionsFor(server(), { auth: () => ({ nkeySeed: "SUPER" }) }));
    expect(nonsense.message).toContain("auth.nkeySeed");
  });

  test("from a function that does not answer may still come: that is a timeout", async () => {
    const options = optionsFor(server(), { auth: () => new Promise(() => {}), connectTimeout: 50 });
    await expect(connect(options)).rejects.toMatchObject({
      code: "CONNECT_FAILED",
      message: expect.stringContaining("auth: no credentials within 50 ms"),
    });
  });
});

describeWithServer("credentials that change", () => {
  test("are asked for at every dial; a refusal is reported, and tried again later and later", async () => {
    const server = await RealServer.start({ config: passwordConfig("first") });
    try {
      let password = "first";
      let asked = 0;
      const attempts: number[] = [];
      const statuses = new Statuses();
      const client = await open(server, {
        auth: () => {
          asked++;
          return { user: "ann b", pass: password };
        },
        reconnectDelay: (attempt) => {
          attempts.push(attempt);
          return 10;
        },
        onStatus: statuses.onStatus,
      });
      expect(asked).toBe(1);
      await server.down();
      writeFileSync(join(server.folder, "server.conf"), passwordConfig("second"));
      await server.restart();
      const refusals = (): number => statuses.of("error").filter(({ error }) => error.code === "AUTH_FAILED").length;
      await until("it has been refused, and has tried again", () => {
        return refusals() >= 1 && asked >= attempts.length && attempts.length >= 5;
      });
      password = "second";
      await until("it is registered again", () => client.state === "registered");
      expect(asked).toBe(attempts.length);
      // Each attempt of an outage may wait longer than the one before.
      const again = attempts.slice(1);
      expect(again).toEqual(again.map((_, i) => again[0]! + i));
      await client.publish(fresh("channel"), "x");
    } finally {
      await server.stop();
    }
  });
});

describeWithServer("a token", () => {
  const server = forSuite(() => RealServer.start({ args: ["--auth", "t0k/en"] }));

  test("lets in, as an option and as all there is before the @ of the URL; another one does not", async () => {
    await open(server(), { auth: { token: "t0k/en" } });
    await open(server(), { servers: `nats://t0k%2Fen@127.0.0.1:${server().port}` });
    await refused(optionsFor(server(), { auth: { token: "other" } }));
    await refused(optionsFor(server(), { servers: `nats://other@127.0.0.1:${server().port}` }));
  });
});

describeWithServer("an nkey", () => {
  const server = forSuite(() => {
    const path = file("user.nk", userSeed);
    const config = `authorization { users: [ { nkey: ${user} } ] }
      streaming { id: test-cluster, nkey_seed_file: ${JSON.stringify(path)} }`;
    return RealServer.start({ config });
  });

  test("lets in, from its seed; another one does not", async () => {
    const client = await open(server(), { auth: { nkeySeed: userSeed } });
    await client.publish(fresh("channel"), "x");
    await refused(optionsFor(server(), { auth: { nkeySeed: otherSeed } }));
  });

  test("lets in, from a function that signs, asked at every dial; another signature does not", async () => {
    let asked = 0;
    const sign = async (nonce: Uint8Array): Promise<Uint8Array> => (asked++, signature(userSeed, nonce));
    const statuses = new Statuses();
    const client = await open(server(), { auth: { nkey: user, sign }, onStatus: statuses.onStatus });
    await client.publish(fresh("channel"), "x");
    await server().restart();
    await statuses.until("registered", 2);
    expect(asked).toBeGreaterThanOrEqual(2);
    const wrong = { nkey: user, sign: (nonce: Uint8Array) => signature(otherSeed, nonce) };
    await refused(optionsFor(server(), { auth: wrong }));
    const broken = { nkey: user, sign: () => Promise.reject(new Error("the vault is closed")) };
    expect((await refused(optionsFor(server(), { auth: () => broken }))).message).toContain("auth.sign");
  });
});

describeWithServer("a creds text", () => {
  const server = forSuite(() => {
    const path = file("user.creds", creds(userSeed));
    const streaming = `streaming { id: test-cluster, credentials: ${JSON.stringify(path)} }`;
    return RealServer.start({ config: `${jwtConfig()}\n${streaming}` });
  });

  test("lets in; one with the seed of another user does not, nor one that has expired", async () => {
    const client = await open(server(), { auth: { creds: creds(userSeed) } });
    await client.publish(fresh("channel"), "x");
    await refused(optionsFor(server(), { auth: { creds: creds(otherSeed) } }));
    await refused(optionsFor(server(), { auth: { creds: creds(userSeed, 1_700_000_001) } }));
  });

  test("lets in, as its JWT and a function that signs", async () => {
    const jwt = jwtOf(creds(userSeed));
    const client = await open(server(), { auth: { jwt, sign: (nonce) => signature(userSeed, nonce) } });
    await client.publish(fresh("channel"), "x");
    const wrong = { jwt, sign: (nonce: Uint8Array) => signature(otherSeed, nonce) };
    await refused(optionsFor(server(), { auth: wrong }));
  });

  test("that expires while connected is replaced by a fresh one, from the function", async () => {
    const statuses = new Statuses();
    let asked = 0;
    const soon = Math.floor(Date.now() / 1000) + 2;
    const client = await open(server(), {
      auth: () => ({ creds: creds(userSeed, ++asked === 1 ? soon : undefined) }),
      onStatus: statuses.onStatus,
    });
    const [lost] = await statuses.until("disconnected");
    expect(lost!.error.code).toBe("AUTH_FAILED");
    expect(lost!.error.message).toContain("User Authentication Expired");
    await statuses.until("registered", 2);
    expect(asked).toBe(2);
    await client.publish(fresh("channel"), "x");
  });
});

describe("credentials that cannot be used", () => {
  let fake: FakeServer | undefined;
  afterEach(async () => {
    await fake?.stop();
    fake = undefined;
  });

  test("without a nonce from the server are refused, and no CONNECT is sent", async () => {
    fake = await FakeServer.start();
    const error = await refused(optionsFor(fake, { auth: { nkeySeed: userSeed } }));
    expect(error.message).toContain("the server gave no nonce to sign");
    for (const link of fake.links) expect(link.received()).toHaveLength(0);
  });

  test("a server among several that refuses: each is reported, with its cause, and waiting is of no use", async () => {
    fake = await FakeServer.start({
      onFrame: (frame, link) => {
        if (frame.verb !== "CONNECT") return;
        link.send("-ERR 'Authorization Violation'\r\n");
        link.end();
      },
    });
    const { server: silent, port } = await listen();
    try {
      const servers = [fake.url, `nats://127.0.0.1:${port}`, "127.0.0.1:1"];
      const options = optionsFor({ url: "" }, { servers, connectTimeout: 200, waitOnFirstConnect: true });
      const error = await connect(options).then(() => undefined, (reason: StreamingError) => reason);
      expect(error).toMatchObject({ code: "AUTH_FAILED" });
      for (const part of [
        `127.0.0.1:${fake.port}: Authorization Violation`,
        `127.0.0.1:${port}: accepted the connection, and sent no NATS greeting (INFO) within 200 ms`,
        "cannot connect to 127.0.0.1:1 (ECONNREFUSED)",
      ]) {
        expect(error!.message).toContain(part);
      }
      const causes = (error!.cause as AggregateError).errors as { code: string }[];
      expect(causes.map(({ code }) => code).sort()).toEqual(["AUTHORIZATION", "CONNECT", "TIMEOUT"]);
    } finally {
      await new Promise<void>((done) => silent.close(() => done()));
    }
  });
});
