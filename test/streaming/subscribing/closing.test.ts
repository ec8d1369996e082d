import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { deferred } from "../../../src/core-nats/async.ts";
import type { Message, Subscription } from "../../../src/index.ts";
import type { SubscriptionImpl } from "../../../src/streaming/subscribing/subscription.ts";
import { embedded, open, range, Received, Statuses } from "../../support/clients.ts";
import { FakeStreaming, msgProto, pingResponse, subjects, subscriptionResponse } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

let fake: FakeStreaming;
let statuses: Statuses;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  statuses = new Statuses();
  onTestFinished(() => fake.stop());
});

function deliver(sequence: number, changes: { redelivered?: boolean; redeliveryCount?: number } = {}): void {
  fake.deliver(msgProto({ sequence: BigInt(sequence), ...changes }));
}

describe("the end of a subscription", () => {
  test("by close or unsubscribe sends that request, once", async () => {
    const client = await open(fake);
    const one = await client.subscribe("fake", () => {}, { durable: "d" });
    await Promise.all([one.close(), one.close()]);
    const two = await client.subscribe("fake", () => {}, { durable: "d" });
    await Promise.all([two.unsubscribe(), two.close()]);
    expect(fake.leaves.map(({ subject, message }) => [subject, message.inbox])).toEqual([
      [subjects.subCloseRequests, fake.held[0].ackInbox],
      [subjects.unsubRequests, fake.held[1].ackInbox],
    ]);
    expect([one.state, two.state]).toEqual(["closed", "closed"]);
    expect([await one.closed, await two.closed]).toEqual([undefined, undefined]);
  });

  const gone = ["stan: unknown channel", "stan: invalid subscription"];
  test.each(gone)("counts as done when the server says %j", async (words) => {
    const client = await open(fake);
    const subscription = await client.subscribe("fake", () => {}, { durable: "d" });
    fake.onLeave = (ask) => ask.answer(subscriptionResponse("", words));
    await subscription.unsubscribe();
    expect(fake.leaves.length).toBe(1);
  });

  test("starts no more handlers, and drops what waits; a drain hands that over", async () => {
    const client = await open(fake);
    const received = new Received();
    const own = deferred();
    const subscription = await client.subscribe("fake", (message) => {
      received.handler(message);
      return own.promise;
    }, { concurrency: 1, maxInFlight: 10 });
    for (const sequence of range(1, 4)) deliver(sequence);
    await received.until(1);
    await client.publish("fake", "after them");
    const draining = subscription.drain();
    own.resolve();
    const report = await draining;
    expect(report.unhandled.map((message: Message) => message.sequence)).toEqual([2, 3, 4]);
    expect(received.sequences).toEqual([1]);
    expect(fake.acks).toEqual([1]);
    expect(fake.leaves.length).toBe(1);
  });

  test("by a drain ends after its timeout, and names what still ran", async () => {
    const client = await open(fake);
    const received = new Received();
    const never = deferred();
    const subscription = await client.subscribe("fake", (message) => {
      received.handler(message);
      return never.promise;
    });
    deliver(1);
    await received.until(1);
    const report = await subscription.drain({ timeout: 20 });
    expect(report.unhandled.map((message) => message.sequence)).toEqual([1]);
    await expect(subscription.drain({ timeout: 0 })).rejects.toBeInstanceOf(TypeError);
  });

  test("by a drain does not name what was acknowledged by hand in a handler that still ran", async () => {
    const client = await open(fake);
    await client.subscribe("fake", (message) => {
      if (message.sequence === 1) message.ack();
      return deferred().promise;
    }, { manualAck: true });
    deliver(1);
    deliver(2);
    await until("the first is acknowledged", () => fake.acks.length === 1);
    await client.publish("fake", "after them");
    const { unhandled } = await client.drain({ timeout: 20 });
    expect(unhandled.map((message) => message.sequence)).toEqual([2]);
  });

  test("that is refused or denied ends the subscription: unsubscribe rejects with that, close tells it", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    const durable = await client.subscribe("fake", () => {}, { durable: "d" });
    fake.onLeave = (ask) => ask.answer(subscriptionResponse("", "stan: invalid client request"));
    await expect(durable.unsubscribe()).rejects.toMatchObject({ code: "REFUSED", message: /^unsubscribe fake: / });
    const other = await client.subscribe("fake", () => {}, { durable: "e" });
    fake.onLeave = (ask) => ask.link.send(`-ERR 'Permissions Violation for Publish to "${ask.subject}"'\r\n`);
    await other.close();
    expect(other.state).toBe("closed");
    expect(await other.closed).toMatchObject({ code: "NOT_PERMITTED", message: /^close fake: / });
    expect(statuses.of("error")).toMatchObject([{ subscription: other, error: { code: "NOT_PERMITTED" } }]);
  });

  test("by close is no unsubscribe: asked for afterwards, that is not claimed to be done", async () => {
    const client = await open(fake);
    const durable = await client.subscribe("fake", () => {}, { durable: "d" });
    const closing = durable.close();
    const message = /the subscription was closed before/;
    await expect(durable.unsubscribe()).rejects.toMatchObject({ code: "CLOSED", message });
    await closing;
    await expect(durable.unsubscribe()).rejects.toMatchObject({ code: "CLOSED" });
    const plain = await client.subscribe("fake", () => {});
    await plain.close();
    await plain.unsubscribe();
    expect(fake.leaves.map(({ subject }) => subject)).toEqual([subjects.subCloseRequests, subjects.subCloseRequests]);
  });

  test("while disconnected is done on the server after the resume", async () => {
    const server = await embedded();
    const client = await open(server);
    const subscription = await client.subscribe("c", () => {}, { durable: "d" });
    await server.down();
    await until("the link is lost", () => client.state !== "registered");
    const left = subscription.unsubscribe();
    await server.up();
    await left;
    expect(server.subscriptions("c")).toEqual([]);
  });
});

describe("a durable", () => {
  test("is not claimed to be unsubscribed when the client ended before the server was asked", async () => {
    const client = await open(fake, { requestTimeout: 500 });
    const subscription = await client.subscribe("fake", () => undefined, { durable: "d" });
    let asked = 0;
    fake.onSubscribe = () => void asked++;
    fake.loseSession();
    await until("the server is asked again", () => asked > 0);
    const left = expect(subscription.unsubscribe()).rejects.toMatchObject({ code: "CLOSED" });
    await client.close();
    await left;
  });
});

describe("a durable that waits for its turn to be requested again", () => {
  test("is unsubscribed all the same when that was called in an outage", async () => {
    const client = await open(fake, { requestTimeout: 60_000 });
    const durables = range(1, 17).map((i) => client.subscribe("fake", () => undefined, { durable: `d${i}` }));
    const subscriptions = await Promise.all(durables);
    const durableOf = (subscription: Subscription): string => (subscription as SubscriptionImpl).durable;
    // All but one acquire the semaphore, and get no answer.
    fake.onSubscribe = () => undefined;
    fake.loseSession();
    await until("the server is asked again", () => fake.subscribes.length === 17 + 16);
    const requested = fake.subscribes.slice(17).map(({ message }) => message.durableName);
    const waiting = subscriptions.find((subscription) => !requested.includes(durableOf(subscription)))!;
    fake.onSubscribe = (ask) => void fake.accept(ask);
    fake.onPing = () => undefined;
    fake.link.destroy();
    await until("it is not registered", () => client.state !== "registered" && waiting.state === "disconnected");
    const left = waiting.unsubscribe();
    fake.onPing = (ask) => ask.answer(pingResponse());
    await left;
    const unsubscribed = fake.leaves.filter(({ subject }) => subject === subjects.unsubRequests);
    expect(unsubscribed.map(({ message }) => message.durableName)).toEqual([durableOf(waiting)]);
  });
});
