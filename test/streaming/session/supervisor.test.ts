import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { connect } from "../../../src/index.ts";
import { latin1 } from "../../support/bytes.ts";
import { embedded, open, optionsFor, Received, Statuses } from "../../support/clients.ts";
import { connectResponse, FakeStreaming, msgProto, pingResponse, pubAck } from "../../support/fake-streaming.ts";
import { FakeServer } from "../../support/raw.ts";
import { until } from "../../support/until.ts";

vi.mock("../../../src/core-nats/clock.ts", () => import("../../support/fakeable-clock.ts"));

const replaced = "client has been replaced or is no longer registered";

let fake: FakeStreaming;
let statuses: Statuses;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  statuses = new Statuses();
  onTestFinished(() => fake.stop());
});

describe("the first registration", () => {
  test.each([
    ["stan: clientID already registered", "CLIENT_ID_IN_USE"],
    ["stan: invalid connection request", "REFUSED"],
  ])("that is answered with %j rejects at once", async (words, code) => {
    fake.onRegister = (ask) => ask.answer(connectResponse({ error: words }));
    await expect(connect(optionsFor(fake))).rejects.toMatchObject({ code });
    expect(fake.registrations.length).toBe(1);
    await fake.link.closed;
  });

  test("that nobody answers rejects at once with a 503, and the link is closed", async () => {
    fake.onRegister = (ask) => ask.unheard();
    await expect(connect(optionsFor(fake))).rejects.toMatchObject({ code: "NO_SERVER" });
    await fake.link.closed;
  });

  test("is waited for where that was wished: for a server, and for a client ID that is still held", async () => {
    const answers = ["unheard", "stan: clientID already registered", ""];
    fake.onRegister = (ask) => {
      const error = answers.shift() ?? "";
      if (error === "unheard") ask.unheard();
      else ask.answer(connectResponse({ error }));
    };
    const client = await open(fake, { waitOnFirstConnect: true, onStatus: statuses.onStatus });
    expect(client.state).toBe("registered");
    expect(fake.registrations.length).toBe(3);
    expect(statuses.of("error").map(({ error }) => error.code)).toEqual(["NO_SERVER", "CLIENT_ID_IN_USE"]);
    const ids = fake.registrations.map(({ message }) => latin1(message.connID));
    expect(new Set(ids).size).toBe(3);
  });

  test("is not waited for after credentials were refused", async () => {
    const server = await FakeServer.start({
      onFrame: (frame, link) => {
        if (frame.verb === "CONNECT") link.send("-ERR 'Authorization Violation'\r\n");
        if (frame.verb === "CONNECT") link.end();
      },
    });
    onTestFinished(() => server.stop());
    await expect(connect(optionsFor(server, { waitOnFirstConnect: true }))).rejects.toMatchObject({
      code: "AUTH_FAILED",
    });
  });

  test("ends by the caller's signal", async () => {
    fake.onRegister = () => {};
    const controller = new AbortController();
    const connecting = connect(optionsFor(fake, { signal: controller.signal, requestTimeout: 50 }));
    await until("the registration is asked for", () => fake.registrations.length > 0);
    controller.abort("enough");
    await expect(connecting).rejects.toMatchObject({ code: "ABORTED", cause: "enough" });
    await fake.link.closed;
  });

});

describe("a lost link", () => {
  test("is followed by another, on which the living session goes on: nothing is registered", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    const received = new Received();
    await client.subscribe("fake", received.handler);
    fake.link.destroy();
    await statuses.until("registered", 2);
    expect(fake.registrations.length).toBe(1);
    expect(fake.subscribes.length).toBe(1);
    expect(latin1(fake.pings[0].message.connID)).toBe(latin1(fake.registrations[0].message.connID));
    expect(statuses.types).toEqual(["registered", "subscribed", "disconnected", "registered", "subscribed"]);
    expect(statuses.of("registered").map(({ resumed }) => resumed)).toEqual([false, true]);
    // Heartbeats and deliveries are heard on the new link.
    fake.send(fake.link, fake.registrations[0].message.heartbeatInbox, new Uint8Array(0), "hb");
    fake.send(fake.link, fake.held[0].request.inbox, msgProto({ sequence: 1n }));
    await received.until(1);
    await until("heartbeat and ack are answered", () => fake.others.length === 2);
    expect(fake.others.map(({ subject }) => subject).sort()).toEqual([fake.held[0].ackInbox, "hb"].sort());
  });

  test("has the inboxes open before the session is asked for", async () => {
    const client = await open(fake);
    await client.subscribe("fake", () => {});
    const inboxes = [fake.registrations[0].message.heartbeatInbox, fake.held[0].request.inbox];
    const open_: number[][] = [];
    fake.onPing = (ask) => {
      open_.push(inboxes.map((inbox) => fake.sidsOf(ask.link, inbox).length));
      ask.answer(pingResponse());
    };
    fake.link.destroy();
    await until("the session is asked for", () => open_.length > 0);
    expect(open_[0]).toEqual([1, 1]);
  });

  test("is followed by a new registration where the session is gone, and the old inbox is closed", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    await client.subscribe("fake", () => {});
    fake.onPing = (ask) => ask.answer(pingResponse(replaced));
    fake.link.destroy();
    await statuses.until("subscribed", 2);
    const [one, two] = fake.registrations.map(({ message }) => message);
    expect(latin1(one.connID)).not.toBe(latin1(two.connID));
    expect(one.heartbeatInbox).not.toBe(two.heartbeatInbox);
    expect(fake.sidsOf(fake.link, one.heartbeatInbox)).toEqual([]);
    expect(fake.sidsOf(fake.link, two.heartbeatInbox).length).toBe(1);
    expect(new Set(fake.subscribes.map(({ message }) => message.inbox)).size).toBe(fake.subscribes.length);
    expect(statuses.of("registered").map(({ resumed }) => resumed)).toEqual([false, false]);
    // A session that was replaced is never closed: that would end its successor.
    expect(fake.closes).toEqual([]);
    expect(client.ready).toBe(true);
  });

  test("is asked about until somebody in charge answers", async () => {
    await open(fake, { onStatus: statuses.onStatus });
    let asked = 0;
    fake.onPing = (ask) => {
      if (++asked < 3) ask.unheard();
      else ask.answer(pingResponse());
    };
    fake.link.destroy();
    await statuses.until("registered", 2);
    expect(asked).toBe(3);
    expect(fake.registrations.length).toBe(1);
  });

  test("is dialled again with the delays of the caller's choice", async () => {
    const attempts: number[] = [];
    const reconnectDelay = (attempt: number): number => {
      attempts.push(attempt);
      return 1;
    };
    await open(fake, { reconnectDelay, onStatus: statuses.onStatus });
    fake.link.destroy();
    await statuses.until("registered", 2);
    expect(attempts[0]).toBe(0);
    expect(attempts.length).toBe(2);
  });

  test.each([
    ["no number", () => NaN],
    ["negative", () => -1],
    ["a failure", () => {
      throw new Error("of the caller");
    }],
  ])("is not dialled in a busy loop when that choice is %s", async (_, choose) => {
    let lost = false;
    const client = await open(fake, { reconnectDelay: () => (lost ? choose() : 0), onStatus: statuses.onStatus });
    lost = true;
    fake.link.destroy();
    await statuses.until("disconnected");
    for (let turn = 0; turn < 100; turn++) await new Promise<void>((resolve) => setImmediate(() => resolve()));
    expect(client.state).toBe("disconnected");
    expect(fake.links.length).toBe(1);
  });
});

describe("a session in question", () => {
  test("after a 503 for a publish is verified before anything more is sent", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    fake.onPublish = (ask) => ask.unheard();
    let verify = (): void => {};
    fake.onPing = (ask) => {
      verify = () => ask.answer(pingResponse());
    };
    const publishes = [client.publish("fake", "1")];
    await until("the session is asked for", () => fake.pings.length > 0);
    publishes.push(client.publish("fake", "2"));
    expect(fake.publishes.length).toBe(1);
    expect(statuses.of("error").map(({ error }) => error.code)).toEqual(["NO_SERVER"]);
    const answered = fake.publishes.length;
    fake.onPublish = (ask) => ask.answer(pubAck(ask.message.guid));
    fake.onPing = (ask) => ask.answer(pingResponse());
    verify();
    await Promise.all(publishes);
    const texts = fake.publishes.slice(answered).map(({ message }) => latin1(message.data));
    expect(texts).toEqual(["1", "2"]);
  });

  test("that is found gone while the link stays is registered anew on the same link", async () => {
    const server = await embedded();
    const client = await open(server, { clientId: "me", onStatus: statuses.onStatus });
    await client.subscribe("c", () => {});
    server.forget("me");
    await client.publish("c", "x");
    await statuses.until("subscribed", 2);
    expect(statuses.of("registered").map(({ resumed }) => resumed)).toEqual([false, false]);
    expect(statuses.of("disconnected")).toEqual([]);
    expect(server.messages("c").map(({ text }) => text)).toEqual(["x"]);
  });
});

describe("a successor that holds the client ID", () => {
  /** Lets the time of all timers pass, with what comes and goes on the links meanwhile, until the check holds. */
  async function pass(what: string, check: () => boolean): Promise<void> {
    for (let step = 0; step < 2_000; step++) {
      if (check()) return;
      for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(() => resolve()));
      await vi.advanceTimersByTimeAsync(50);
    }
    expect.fail(`100 seconds passed without that ${what}`);
  }

  test("is told about and left in peace; publishes are refused, and it is tried again every 30 seconds", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    fake.onPing = (ask) => ask.answer(pingResponse(replaced));
    fake.onRegister = (ask) => ask.answer(connectResponse({ error: "stan: clientID already registered" }));
    fake.link.destroy();
    await pass("the link is lost", () => client.state !== "registered");
    const waiting = client.publish("fake", "waits").then(() => "stored", (error: { code: string }) => error.code);
    let outcome = "";
    void waiting.then((code) => (outcome = code));
    await pass("the publish is refused", () => outcome !== "");
    expect(outcome).toBe("CLIENT_ID_IN_USE");
    await expect(client.publish("fake", "at once")).rejects.toMatchObject({ code: "CLIENT_ID_IN_USE" });
    expect(statuses.of("error").some(({ error }) => error.code === "CLIENT_ID_IN_USE")).toBe(true);
    expect(fake.closes).toEqual([]);
    expect(fake.publishes).toEqual([]);

    const tries = fake.registrations.length;
    await pass("it is tried twice more", () => fake.registrations.length === tries + 2);
    fake.onRegister = (ask) => ask.answer(connectResponse());
    await pass("the client is registered", () => client.state === "registered");
    await client.publish("fake", "at last");
    fake.onPing = (ask) => ask.answer(pingResponse());
  });
});

describe("the end", () => {
  test("takes leave of the server, and is told last", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    await client.close();
    expect(fake.closes.length).toBe(1);
    expect(statuses.types).toEqual(["registered", "closed"]);
    expect(client.state).toBe("closed");
    await fake.link.closed;
  });

  test("while disconnected does not wait for a server", async () => {
    let delay = 0;
    const client = await open(fake, { reconnectDelay: () => delay });
    delay = 1_000_000;
    fake.link.destroy();
    await until("the link is lost", () => client.state === "disconnected");
    await client.close();
    expect(client.state).toBe("closed");
    expect(fake.links.length).toBe(1);
  });

  test("while a registration waits to be tried again does not try it", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    fake.onPing = (ask) => ask.answer(pingResponse(replaced));
    fake.onRegister = (ask) => ask.answer(connectResponse({ error: "stan: invalid connection request" }));
    fake.link.destroy();
    await until(
      "the registration is refused", () => statuses.of("error").some(({ error }) => error.code === "REFUSED"),
    );
    const tries = fake.registrations.length;
    await client.close();
    expect(fake.registrations.length).toBe(tries);
  });

  test("while the session is in question sends no close, and does not wait for the answer", async () => {
    const client = await open(fake);
    fake.onPing = () => {};
    fake.link.destroy();
    await until("the session is asked for", () => fake.pings.length > 0);
    await client.close();
    expect(fake.closes).toEqual([]);
  });
});

describe("a NATS server that stands still while the client registers", () => {
  /** Greets on the link, and answers so many PINGs. */
  async function greet(still: FakeStreaming, at: number, pongs: number): Promise<void> {
    const link = await until("there is a link", () => still.links[at]);
    link.send("INFO {}\r\n");
    for (let i = 0; i < pongs; i++) await link.next(/^PING/).then(() => link.send("PONG\r\n"));
  }

  let still: FakeStreaming;
  beforeEach(async () => {
    still = await FakeStreaming.start({ greet: false });
    onTestFinished(() => still.stop());
  });

  test("is waited for as long as one attempt may take", async () => {
    const connecting = connect(optionsFor(still, { requestTimeout: 50 }));
    await greet(still, 0, 1);
    await expect(connecting).rejects.toMatchObject({ code: "NO_SERVER", cause: { code: "TIMEOUT" } });
    await still.link.closed;
    expect(still.registrations).toEqual([]);
  });

  test("is not waited for once the caller's signal is aborted", async () => {
    const controller = new AbortController();
    const connecting = connect(optionsFor(still, { requestTimeout: 1_000_000, signal: controller.signal }));
    await greet(still, 0, 1);
    await still.link.next(/^PING/);
    controller.abort("enough");
    await expect(connecting).rejects.toMatchObject({ code: "ABORTED", cause: "enough" });
    expect(still.registrations).toEqual([]);
  });

  test.each(["close", "drain"] as const)("is not waited for by %s", async (end) => {
    const connecting = connect(optionsFor(still, { requestTimeout: 1_000_000 }));
    await greet(still, 0, 2);
    const client = await connecting;
    still.onPing = (ask) => ask.answer(pingResponse(replaced));
    still.link.destroy();
    await greet(still, 1, 1);
    await still.link.next(/^PING/);
    await client[end]();
    expect(still.registrations.length).toBe(1);
  });
});

describe("a server that does not permit pings", () => {
  beforeEach(() => {
    fake.onPing = (ask) => ask.link.send(`-ERR 'Permissions Violation for Publish to "${ask.subject}"'\r\n`);
  });

  test("is told of once, and does not put the session in question", async () => {
    const client = await open(fake, { pingInterval: 1_000, pingMaxOut: 2, onStatus: statuses.onStatus });
    await until("it is told", () => statuses.of("error").length > 0);
    expect(statuses.of("error").map(({ error }) => error.code)).toEqual(["NOT_PERMITTED"]);
    expect(statuses.of("error")[0]!.error.message).toContain(fake.pings[0]!.subject);
    await client.publish("fake", "1");
    expect(client.state).toBe("registered");
  });

  test("is registered with anew after an outage, since nobody tells whether the session lives", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    fake.link.destroy();
    await until("it is registered again", () => statuses.of("registered").length === 2);
    expect(statuses.of("registered")[1]).toMatchObject({ resumed: false });
    expect(fake.registrations.length).toBe(2);
    await client.publish("fake", "1");
  });
});
