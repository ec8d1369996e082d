import { inspect } from "node:util";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Client, PublishOptions, SubscribeOptions } from "../../src/index.ts";
import { connect, NatsError, StreamingError } from "../../src/index.ts";
import { settledWithin } from "../../src/core-nats/async.ts";
import type { StreamingServer } from "../../src/testing/server.ts";
import { embedded, fresh, open, optionsFor, range, Received, Statuses } from "../support/clients.ts";
import {
  FakeStreaming,
  msgProto,
  pingResponse,
  pubAck,
  subjects,
  subscriptionResponse,
} from "../support/fake-streaming.ts";
import { freePorts } from "../support/ports.ts";
import { readStrictly } from "../support/strict.ts";
import { until } from "../support/until.ts";

let fake: FakeStreaming;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
});

describe("connect", () => {
  test("without a NATS server rejects with CONNECT_FAILED, naming each address", async () => {
    const ports = await freePorts(2);
    const servers = ports.map((port) => `nats://127.0.0.1:${port}`);
    const failure = await connect(optionsFor(fake, { servers })).then(() => undefined, (error: unknown) => error);
    expect(failure).toBeInstanceOf(StreamingError);
    expect(failure).toMatchObject({ code: "CONNECT_FAILED" });
    for (const port of ports) expect(String(failure)).toContain(`127.0.0.1:${port}`);
    expect((failure as Error).cause).toBeInstanceOf(AggregateError);
  });

  test("with a signal that is aborted already dials nobody", async () => {
    const controller = new AbortController();
    controller.abort("before");
    await expect(connect(optionsFor(fake, { signal: controller.signal }))).rejects.toMatchObject({
      code: "ABORTED", cause: "before",
    });
    expect(fake.links.length).toBe(0);
  });

  test("lets go of the signal once connected", async () => {
    const controller = new AbortController();
    const client = await open(fake, { signal: controller.signal });
    controller.abort();
    await client.publish("fake", "still here");
    expect(client.state).toBe("registered");
  });
});

describe("the signal of a subscribe that has asked", () => {
  type Act = (server: StreamingServer) => unknown;
  const cases: readonly (readonly [string, Act, Act])[] = [
    ["while nothing is answered", (server) => server.pause(), (server) => server.resume()],
    ["while nobody is in charge", (server) => server.stepDown(), (server) => server.lead()],
    ["in an outage that nobody has noticed", (server) => server.down(), (server) => server.up()],
    ["whose answer is lost", (server) => server.swallow("SubscriptionResponse"), () => undefined],
    ["that is answered later", (server) => [server.pause(), setTimeout(() => server.resume(), 150)], () => undefined],
  ];

  test.each(cases)("rejects it within requestTimeout, and nothing is left at the server: %s", async (_, begin, end) => {
    const server = await embedded();
    const requestTimeout = 400;
    const client = await open(server, { requestTimeout, reconnectDelay: () => 10, onStatus: () => {} });
    for (const options of [{}, { durable: "d" }]) {
      await begin(server);
      const controller = new AbortController();
      const given = client.subscribe("c", () => undefined, { ...options, signal: controller.signal });
      const rejected = expect(given).rejects.toMatchObject({ code: "ABORTED", cause: "enough" });
      await settledWithin(50, given);
      controller.abort("enough");
      expect(await settledWithin(requestTimeout + 300, given)).toBe(true);
      await rejected;
      await end(server);
      await until("nothing is left", () => client.stats().subscriptions === 0);
      expect(server.subscriptions("c").filter(({ online }) => online)).toEqual([]);
      // What is to be closed does not stand in the way of the next.
      await (await client.subscribe("c", () => undefined, options)).unsubscribe();
    }
  });
});

test("however many calls are given one signal, few listen to it, and none when all are settled", async () => {
  const server = await embedded();
  const controller = new AbortController();
  const { signal } = controller;
  let [listening, most] = [0, 0];
  for (const [name, change] of [["addEventListener", 1], ["removeEventListener", -1]] as const) {
    const original = signal[name].bind(signal) as (type: "abort", listener: () => void) => void;
    signal[name] = (type: "abort", listener: () => void): void => {
      original(type, listener);
      listening += change;
      most = Math.max(most, listening);
    };
  }
  const many = range(1, 20);
  const common = { signal, requestTimeout: 200, onStatus: () => {} };
  const options = (i: number): object => ({ ...common, clientId: fresh(`client${i}`) });
  const clients = await Promise.all(many.map((i) => open(server, options(i))));
  const client = clients[0]!;
  const subscriptions = await Promise.all(many.map((i) => client.subscribe(`c${i}`, () => undefined, { signal })));
  await Promise.all(many.map((i) => client.publishMany(`c${i}`, ["x", "y"], { signal })));
  await Promise.all(subscriptions.map((subscription) => subscription.drain({ signal })));
  await Promise.all(clients.slice(1).map((other) => other.drain({ signal })));
  expect(listening).toBe(0);
  server.pause();
  const given = many.map((i) => client.subscribe(`d${i}`, () => undefined, { signal }));
  const rejected = Promise.all(given.map((one) => expect(one).rejects.toMatchObject({ code: "ABORTED" })));
  controller.abort();
  await rejected;
  server.resume();
  expect(listening).toBe(0);
  // One for publishes, one for all else.
  expect(most).toBe(2);
});

describe("calls with wrong arguments", () => {
  // What is wrong is the point.
  const wrong: readonly (readonly [string, (client: Client) => Promise<unknown>])[] = [
    ["publish", (client) => client.publish("a b", "x")],
    ["publish", (client) => client.publish(undefined as unknown as string, "x")],
    ["publish", (client) => client.publish("a", {} as unknown as string)],
    ["publish", (client) => client.publish("a", "x", null as unknown as PublishOptions)],
    ["publishMany", (client) => client.publishMany("a.>", [])],
    ["publishMany", (client) => client.publishMany("a", null as unknown as string[])],
    ["subscribe", (client) => client.subscribe("a/b", () => {})],
    ["subscribe", (client) => client.subscribe("a", undefined as unknown as () => void)],
    ["subscribe", (client) => client.subscribe("a", () => {}, { durable: "a\nb" })],
    ["subscribe", (client) => client.subscribe("a", () => {}, null as unknown as SubscribeOptions)],
    ["messages", (client) => client.messages("")],
    ["messages", (client) => client.messages("a", { ackWait: 500 })],
    ["messages", (client) => client.messages("a", { concurrency: 2 } as SubscribeOptions)],
    ["drain", (client) => client.drain({ timeout: -1 })],
  ];

  test("reject with a TypeError, never throw, send nothing, and do no harm", async () => {
    const client = await open(fake);
    for (const [operation, call] of wrong) {
      let promise: Promise<unknown> | undefined;
      expect(() => (promise = call(client)), operation).not.toThrow();
      await expect(promise, operation).rejects.toBeInstanceOf(TypeError);
    }
    expect(fake.publishes).toEqual([]);
    expect(fake.subscribes).toEqual([]);
    await client.publish("a", "x");
    expect(client.ready).toBe(true);
  });
});

describe("over a link", () => {
  const denial = (subject: string): string => `-ERR 'Permissions Violation for Publish to "${subject}"'\r\n`;

  test("a 503 for exactly one publish, a denied one and acks in any order settle each as it is", async () => {
    const client = await open(fake);
    const unanswered: (() => void)[] = [];
    let refused = 0;
    fake.onPublish = (ask) => {
      const text = new TextDecoder().decode(ask.message.data);
      if (text === "unheard" && refused++ === 0) ask.unheard();
      else if (ask.message.subject === "secret") ask.link.send(denial(ask.subject));
      else unanswered.push(() => ask.answer(pubAck(ask.message.guid)));
    };
    const publishes = ["1", "2", "unheard", "3", "4"].map((data) => client.publish("fake", data));
    const denied = client.publish("secret", "x");
    await expect(denied).rejects.toMatchObject({ code: "NOT_PERMITTED" });
    await until("all others have arrived", () => unanswered.length === 5);
    for (const answer of unanswered.reverse()) answer();
    await Promise.all(publishes);
    expect(fake.publishes.length).toBe(7);
    expect(client.state).toBe("registered");
  });

  test("acks that cannot be read are told, and the link stays", async () => {
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus });
    fake.onPublish = (ask) => {
      for (const bytes of [Uint8Array.of(0x0a, 0x7f), pubAck(""), pubAck("__proto__"), pubAck("A".repeat(22))]) {
        ask.answer(bytes);
      }
      ask.answer(pubAck(ask.message.guid));
      ask.answer(pubAck(ask.message.guid));
    };
    for (const data of ["1", "2", "3"]) await client.publish("fake", data);
    expect(statuses.of("error").length).toBe(3);
    expect(fake.links.length).toBe(1);
  });

  test("thousands of publishes of all sizes arrive whole and in order, in nothing but the protocol", async () => {
    const client = await open(fake);
    const sizes = range(0, 1_999).map((i) => (i % 97 === 0 ? 20_000 + i : i % 300));
    await Promise.all(sizes.map((size, i) => client.publish("fake", new Uint8Array(size).fill(i))));
    expect(fake.publishes.map(({ message }) => message.data.length)).toEqual(sizes);
    expect(fake.publishes.every(({ message }, i) => message.data.every((byte) => byte === (i & 255)))).toBe(true);
    expect(new Set(fake.publishes.map(({ message }) => message.guid)).size).toBe(sizes.length);
    await client.close();
    const published = readStrictly(fake.link.received()).filter(({ verb }) => verb === "PUB");
    expect(published.length).toBeGreaterThan(sizes.length);
  });
});

describe("state, ready and closed", () => {
  test("tell where the client is", async () => {
    const client = await open(fake);
    expect([client.state, client.ready]).toEqual(["registered", true]);
    const subscription = await client.subscribe("fake", () => {});
    expect([subscription.state, client.ready]).toEqual(["subscribed", true]);
    fake.onPing = () => {};
    fake.link.destroy();
    await until("the session is asked for", () => client.state === "connected");
    expect(client.ready).toBe(false);
    const onSubscribe = fake.onSubscribe;
    fake.onSubscribe = () => {};
    fake.onPing = (ask) => ask.answer(pingResponse("client has been replaced or is no longer registered"));
    await until("it is registered anew", () => client.state === "registered" && fake.subscribes.length === 2);
    expect([subscription.state, client.ready]).toEqual(["connected", false]);
    fake.onSubscribe = onSubscribe;
    fake.accept(fake.subscribes[1]);
    await until("all is well", () => client.ready);
    await client.close();
    expect([client.state, subscription.state, client.ready]).toEqual(["closed", "closed", false]);
    await client.closed;
    expect(await subscription.closed).toBeUndefined();
  });
});

describe("after the end", () => {
  test("everything rejects with CLOSED, and ending again does nothing", async () => {
    const client = await open(fake);
    await client.close();
    const calls = [
      client.publish("fake", "x"),
      client.publishMany("fake", ["x"]),
      client.subscribe("fake", () => {}),
      client.messages("fake"),
    ];
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: "CLOSED" });
    await Promise.all([client.close(), client.close()]);
    expect(await client.drain()).toEqual({ unhandled: [], unconfirmed: 0 });
    expect(fake.closes.length).toBe(1);
  });

  test("a subscribe that waited rejects with CLOSED, and what was sent with UNCONFIRMED", async () => {
    const client = await open(fake);
    fake.onSubscribe = () => {};
    fake.onPublish = () => {};
    const subscribing = client.subscribe("fake", () => {});
    const publishing = client.publish("fake", "x");
    await until("both are sent", () => fake.subscribes.length + fake.publishes.length === 2);
    const settled = Promise.allSettled([subscribing, publishing]);
    await client.close();
    expect(await settled).toMatchObject([{ reason: { code: "CLOSED" } }, { reason: { code: "UNCONFIRMED" } }]);
  });
});

describe("a drain", () => {
  test("lets handlers finish, which may publish and ack, then settles, closes subscriptions and leaves", async () => {
    const client = await open(fake);
    const order: string[] = [];
    const received = new Received();
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => (finish = resolve));
    await client.subscribe("fake", async (message) => {
      received.handler(message);
      await finished;
      await client.publish("other", "from the handler");
      order.push("handled");
    }, { concurrency: 1, maxInFlight: 5 });
    fake.deliver(msgProto({ sequence: 1n }));
    fake.deliver(msgProto({ sequence: 2n }));
    await received.until(1);
    await client.publish("fake", "after them");
    const draining = client.drain();
    await expect(client.subscribe("fake", () => {})).rejects.toMatchObject({ code: "CLOSED" });
    expect(client.ready).toBe(false);
    finish();
    const report = await draining;
    expect(report.unhandled.map(({ sequence }) => sequence)).toEqual([2]);
    expect(report.unconfirmed).toBe(0);
    expect(order).toEqual(["handled"]);
    expect(fake.others.map(({ subject }) => subject)).toEqual([fake.held[0].ackInbox]);
    expect(fake.leaves.map(({ subject }) => subject)).toEqual([subjects.subCloseRequests]);
    expect(fake.closes.length).toBe(1);
  });

  test("ends after its timeout whatever happens, and counts what is unconfirmed", async () => {
    const client = await open(fake, { requestTimeout: 30 });
    fake.onPublish = () => {};
    fake.onLeave = () => {};
    fake.onClose = () => {};
    await client.subscribe("fake", () => {});
    const lost = client.publish("fake", "x").then(() => undefined, (error: unknown) => error);
    const report = await client.drain({ timeout: 30 });
    expect(report.unconfirmed).toBe(1);
    expect(await lost).toMatchObject({ code: "UNCONFIRMED" });
    expect(client.state).toBe("closed");
  });

  test("counts those, too, whose ack was lost with the link while it waited", async () => {
    const client = await open(fake);
    fake.onPublish = (ask) => ask.link.destroy();
    const lost = client.publish("fake", "x").then(() => undefined, (error: unknown) => error);
    const report = await client.drain();
    expect(await lost).toMatchObject({ code: "UNCONFIRMED" });
    expect(report.unconfirmed).toBe(1);
  });

  test("counts those, too, that may be stored and wait to be sent again", async () => {
    const client = await open(fake, { resendUnconfirmed: true });
    const sent: string[] = [];
    fake.onPublish = (ask) => {
      sent.push(ask.message.guid);
      fake.onPing = () => undefined;
      ask.link.destroy();
    };
    const lost = client.publish("fake", "x").then(() => undefined, (error: unknown) => error);
    await until("it is sent", () => sent.length === 1);
    const report = await client.drain({ timeout: 50 });
    expect(await lost).toMatchObject({ code: "UNCONFIRMED" });
    expect(report.unconfirmed).toBe(1);
  });

  test("is what `await using` does", async () => {
    const client = await open(fake);
    const dispose = client[Symbol.asyncDispose];
    expect(typeof dispose).toBe("function");
    await dispose.call(client);
    expect(client.state).toBe("closed");
    expect(fake.closes.length).toBe(1);
  });
});

test("no secret is in anything that can be printed: errors, statuses, the client itself", async () => {
  const statuses = new Statuses();
  const pass = "s3cret-word";
  const servers = fake.url.replace("nats://", `nats://user:${pass}@`);
  const client = await open(fake, { servers, onStatus: statuses.onStatus, clientId: fresh("client") });
  const subscription = await client.subscribe("fake", () => {});
  fake.onPublish = (ask) => ask.answer(pubAck(ask.message.guid, "too many channels"));
  const error = await client.publish("fake", "x").then(() => undefined, (error: unknown) => error);
  fake.onSubscribe = (ask) => ask.answer(subscriptionResponse("", "too many channels"));
  const refused = await client.subscribe("other", () => {}).then(() => undefined, (error: unknown) => error);
  fake.link.send("-ERR 'Authorization Violation'\r\n");
  fake.link.end();
  await statuses.until("disconnected");
  const printed = [client, subscription, error, refused, ...statuses.all].map(
    (value) => inspect(value, { depth: null, showHidden: true }),
  );
  expect(fake.link.received().length).toBeGreaterThan(0);
  for (const text of printed) expect(text).not.toContain(pass);
  expect(statuses.of("disconnected")[0].error.cause).toBeInstanceOf(NatsError);
});
