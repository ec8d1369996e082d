import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { Connection } from "../../../src/core-nats/connection.ts";
import type { NatsError } from "../../../src/core-nats/errors.ts";
import { Lifetime } from "../../../src/core-nats/lifetime.ts";
import type { ConnectOptions } from "../../../src/index.ts";
import { checkConnectOptions } from "../../../src/streaming/connect-options.ts";
import { Session } from "../../../src/streaming/session/session.ts";
import { latin1 } from "../../support/bytes.ts";
import { embedded } from "../../support/clients.ts";
import { connectResponse, FakeStreaming, pingResponse, subjects } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

const replaced = "client has been replaced or is no longer registered";

let fake: FakeStreaming;
let problems: NatsError[];

beforeEach(async () => {
  fake = await FakeStreaming.start();
  problems = [];
  onTestFinished(() => fake.stop());
});

async function start(options: Partial<ConnectOptions> = {}): Promise<{ session: Session; connection: Connection }> {
  const settings = checkConnectOptions({ clusterId: "fake", clientId: "me", servers: fake.url, ...options }).settings;
  const connection = await Connection.open(
    settings.servers.round()[0],
    {
      name: "me",
      credentials: undefined,
      tls: undefined,
      timeout: 5_000,
      pingInterval: 60_000,
      pingMaxOut: 3,
      inboxPrefix: settings.inboxPrefix,
      problem: (error) => problems.push(error),
      informed: () => {},
    },
    new Lifetime(),
  );
  onTestFinished(() => connection.close());
  return { session: new Session(settings), connection };
}

describe("registering", () => {
  test("says who it is, with the heartbeat inbox open before", async () => {
    const { session, connection } = await start({ pingInterval: 7_000, pingMaxOut: 4 });
    let listening: string[] = [];
    fake.onRegister = (ask) => {
      listening = fake.sidsOf(ask.link, ask.message.heartbeatInbox);
      ask.answer(connectResponse());
    };
    await session.register(connection, new Lifetime());
    const [{ message, subject }] = fake.registrations;
    expect(subject).toBe("_STAN.discover.fake");
    expect(message).toMatchObject({ clientID: "me", protocol: 1, pingInterval: 7, pingMaxOut: 4 });
    expect(message.heartbeatInbox).toMatch(/^_INBOX\.[0-9A-Za-z]{22}$/);
    expect(latin1(message.connID)).toBe(session.connId);
    expect(listening.length).toBe(1);
    expect(session.subjects).toMatchObject(subjects);
    expect(session.canPing).toBe(true);
  });

  test("uses connection IDs and inboxes that are new each time", async () => {
    const { session, connection } = await start();
    await session.register(connection, new Lifetime());
    await new Session(checkConnectOptions({ clusterId: "fake", clientId: "me" }).settings).register(
      connection, new Lifetime(),
    );
    const [one, two] = fake.registrations;
    expect(latin1(one.message.connID)).not.toBe(latin1(two.message.connID));
    expect(one.message.heartbeatInbox).not.toBe(two.message.heartbeatInbox);
  });

  test.each([
    ["stan: clientID already registered", "CLIENT_ID_IN_USE", ": each process needs a client ID of its own"],
    ["stan: invalid connection request", "REFUSED", ""],
  ])("that is answered with %j rejects with %s and these words", async (words, code, hint) => {
    const { session, connection } = await start();
    fake.onRegister = (ask) => ask.answer(connectResponse({ error: words }));
    await expect(session.register(connection, new Lifetime())).rejects.toMatchObject({
      code, message: `register me: ${words}${hint}`,
    });
  });

  test("without a streaming server rejects at once where NATS says so, else after the timeout", async () => {
    const { session, connection } = await start({ requestTimeout: 30 });
    fake.onRegister = (ask) => ask.unheard();
    await expect(session.register(connection, new Lifetime())).rejects.toMatchObject({
      code: "NO_SERVER", cause: { code: "NO_RESPONDERS" },
    });
    fake.onRegister = () => {};
    await expect(session.register(connection, new Lifetime())).rejects.toMatchObject({
      code: "NO_SERVER", cause: { code: "TIMEOUT" },
    });
  });

  test("that is denied rejects with NOT_PERMITTED, be it the request or the heartbeat inbox", async () => {
    const { session, connection } = await start();
    fake.onRegister = (ask) => ask.link.send(`-ERR 'Permissions Violation for Publish to "${ask.subject}"'\r\n`);
    await expect(session.register(connection, new Lifetime())).rejects.toMatchObject({ code: "NOT_PERMITTED" });

    const other = await start();
    const registering = other.session.register(other.connection, new Lifetime());
    const sub = await fake.link.next((frame) => frame.verb === "SUB" && !frame.subject.endsWith(".*"));
    fake.link.send(`-ERR 'Permissions Violation for Subscription to "${sub.subject}"'\r\n`);
    fake.onRegister = () => {};
    const outcome = await registering.then(() => "registered", (error: unknown) => error);
    expect(outcome).toMatchObject({ code: "NOT_PERMITTED" });
  });

  const injected = ["", "a b", "a\r\nPUB x 0\r\n\r\n", "a.>", "a..b", ".a", "a.", "a\u0000b", "x".repeat(600)];
  const names = ["pubPrefix", "subRequests", "unsubRequests", "closeRequests", "subCloseRequests"] as const;
  test.each(names)("is not done by an answer whose %s cannot be a subject", async (name) => {
    const { session, connection } = await start();
    fake.onRegister = (ask) => {
      for (const subject of injected) ask.answer(connectResponse({ [name]: subject }));
      ask.answer(connectResponse({ pubPrefix: "the.true.one" }));
    };
    await session.register(connection, new Lifetime());
    expect(session.subjects.pubPrefix).toBe("the.true.one");
    expect(problems.map(({ code }) => code)).toEqual(injected.map(() => "PROTOCOL"));
    expect(connection.ended.aborted).toBe(false);
  });

  test("is not done by an answer whose ping subject cannot be one, nor by one that cannot be read", async () => {
    const { session, connection } = await start();
    fake.onRegister = (ask) => {
      ask.answer(connectResponse({ pingRequests: "a b" }));
      ask.answer(Uint8Array.of(0x0a, 0x7f));
      ask.answer(new Uint8Array(0));
      ask.answer(connectResponse());
    };
    await session.register(connection, new Lifetime());
    expect(problems.length).toBe(3);
    expect(session.subjects.pubPrefix).toBe(subjects.pubPrefix);
  });

  test("with a server of protocol 0 gives a session that cannot ping", async () => {
    const { session, connection } = await start();
    fake.onRegister = (ask) => ask.answer(connectResponse({ pingRequests: "", protocol: 0 }));
    await session.register(connection, new Lifetime());
    expect(session.canPing).toBe(false);
  });

  test("over a link that is cut rejects", async () => {
    const { session, connection } = await start();
    fake.onRegister = (ask) => ask.link.destroy();
    await expect(session.register(connection, new Lifetime())).rejects.toMatchObject({
      code: "CONNECT_FAILED", cause: { code: "CONNECTION_LOST" },
    });
  });

  test("to a server that stands still rejects after the timeout, or once it is ended", async () => {
    const server = await embedded();
    const { session, connection } = await start({ servers: server.url, requestTimeout: 50 });
    server.pause();
    const enough = new Lifetime();
    await expect(session.register(connection, enough)).rejects.toMatchObject({
      code: "NO_SERVER", cause: { code: "TIMEOUT" },
    });
    const patient = new Session(
      checkConnectOptions({ clusterId: "test-cluster", clientId: "me", requestTimeout: 1_000_000 }).settings,
    );
    const registering = patient.register(connection, enough);
    enough.abort();
    await expect(registering).rejects.toMatchObject({ code: "NO_SERVER" });
    server.resume();
    await server.idle();
    expect(server.clients).toEqual([]);
  });
});

describe("a heartbeat", () => {
  test("is answered with nothing, at once; one that cannot be answered is not", async () => {
    const { session, connection } = await start();
    await session.register(connection, new Lifetime());
    const inbox = fake.registrations[0].message.heartbeatInbox;
    fake.send(fake.link, inbox, new Uint8Array(0));
    fake.send(fake.link, inbox, new Uint8Array(0), "a.*");
    fake.send(fake.link, inbox, new Uint8Array(0), "a..b");
    fake.send(fake.link, inbox, new Uint8Array(3), "hb.1");
    await until("the answer is there", () => fake.others.length > 0);
    expect(fake.others.map(({ subject, payload }) => [subject, payload.length])).toEqual([["hb.1", 0]]);
  });

  test("is not answered once the session is abandoned, nor is its inbox open", async () => {
    const { session, connection } = await start();
    await session.register(connection, new Lifetime());
    const inbox = fake.registrations[0].message.heartbeatInbox;
    const [sid] = fake.sidsOf(fake.link, inbox);
    session.abandon();
    await connection.flush();
    expect(fake.sidsOf(fake.link, inbox)).toEqual([]);
    fake.link.deliver(sid, inbox, "", "hb.2");
    await connection.flush();
    await connection.flush();
    expect(fake.others).toEqual([]);
  });

  test("is answered on the next connection, too", async () => {
    const first = await start();
    await first.session.register(first.connection, new Lifetime());
    first.connection.close();
    const second = await start();
    first.session.open(second.connection);
    await second.connection.flush();
    fake.send(fake.link, fake.registrations[0].message.heartbeatInbox, new Uint8Array(0), "hb.3");
    await until("the answer is there", () => fake.others.length > 0);
    expect(fake.others[0].subject).toBe("hb.3");
  });
});

describe("a ping", () => {
  test.each([
    ["alive", (answer: (bytes: Uint8Array) => void) => answer(pingResponse())],
    ["gone", (answer: (bytes: Uint8Array) => void) => answer(pingResponse(replaced))],
  ] as const)("tells %s by the server's answer", async (verdict, respond) => {
    const { session, connection } = await start();
    await session.register(connection, new Lifetime());
    fake.onPing = (ask) => respond((bytes) => ask.answer(bytes));
    expect(await session.ping(connection, 5_000)).toBe(verdict);
    expect(latin1(fake.pings[0].message.connID)).toBe(session.connId);
  });

  test("tells nobody from silence, and both from what is final", async () => {
    const { session, connection } = await start();
    await session.register(connection, new Lifetime());
    fake.onPing = (ask) => ask.unheard();
    expect(await session.ping(connection, 5_000)).toBe("no-responders");
    fake.onPing = () => {};
    expect(await session.ping(connection, 20)).toBe("timeout");
    fake.onPing = (ask) => ask.answer(Uint8Array.of(0x0a, 0x7f));
    expect(await session.ping(connection, 20)).toBe("timeout");
    fake.onPing = (ask) => ask.link.destroy();
    expect(await session.ping(connection, 5_000)).toBe("timeout");
    expect(await session.ping(connection, 5_000)).toBe("timeout");
  });
});

describe("taking leave", () => {
  test("tells the server, and ends the heartbeats", async () => {
    const { session, connection } = await start();
    await session.register(connection, new Lifetime());
    await session.close(connection);
    expect(fake.closes.map(({ message }) => message)).toEqual([{ clientID: "me" }]);
    await connection.flush();
    expect(fake.sidsOf(fake.link, fake.registrations[0].message.heartbeatInbox)).toEqual([]);
  });

  test("from a server that says nothing, or no, or is gone, is leave all the same", async () => {
    const { session, connection } = await start({ requestTimeout: 20 });
    await session.register(connection, new Lifetime());
    fake.onClose = () => {};
    await session.close(connection);
    fake.onClose = (ask) => ask.answer(pingResponse("stan: unknown clientID"));
    await session.close(connection);
    fake.onClose = (ask) => ask.link.destroy();
    await session.close(connection);
    await session.close(connection);
    expect(fake.closes.length).toBe(3);
  });
});

test("a session that was never registered has no subjects", () => {
  const session = new Session(checkConnectOptions({ clusterId: "fake", clientId: "me" }).settings);
  expect(() => session.subjects).toThrow("not registered");
  expect(session.canPing).toBe(false);
});
