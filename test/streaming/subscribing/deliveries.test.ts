import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { deferred } from "../../../src/core-nats/async.ts";
import type { SubscriptionRequest } from "../../../src/pb/control.ts";
import { open, range, Received, Statuses } from "../../support/clients.ts";
import { type Ask, FakeStreaming, msgProto } from "../../support/fake-streaming.ts";
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

describe("a delivered message", () => {
  test("is acknowledged when its handler is done, and not when that fails", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    const subscription = await client.subscribe("fake", (message) => {
      if (message.sequence === 2) throw new Error("of the handler");
      if (message.sequence === 3) return Promise.reject(new Error("of its promise"));
      return message.sequence === 4 ? { then: (done: () => void) => done() } : undefined;
    });
    for (const sequence of range(1, 5)) deliver(sequence);
    await until("three are acknowledged", () => fake.acks.length === 3);
    expect(fake.acks.sort()).toEqual([1, 4, 5]);
    const failed = await statuses.until("handler-failed", 2);
    expect(failed.map(({ message, error }) => [message.sequence, (error as Error).message])).toEqual([
      [2, "of the handler"],
      [3, "of its promise"],
    ]);
    expect(failed.every((status) => status.subscription === subscription)).toBe(true);
  });

  test("that comes again while it waits or runs starts nothing; finished, it is acknowledged again", async () => {
    const client = await open(fake);
    const received = new Received();
    const running = deferred();
    await client.subscribe("fake", (message) => {
      received.handler(message);
      return message.sequence === 1 ? running.promise : undefined;
    }, { concurrency: 1 });
    deliver(1);
    deliver(2);
    for (const sequence of [1, 2, 1, 2]) deliver(sequence, { redelivered: true, redeliveryCount: 1 });
    deliver(3);
    running.resolve();
    await until("all are acknowledged", () => fake.acks.length === 3);
    expect(received.sequences).toEqual([1, 2, 3]);
    deliver(2, { redelivered: true, redeliveryCount: 2 });
    await until("it is acknowledged again", () => fake.acks.length === 4);
    expect(fake.acks).toEqual([1, 2, 3, 2]);
    expect(received.sequences).toEqual([1, 2, 3]);
  });

  test("that failed is handled again when it comes again", async () => {
    const client = await open(fake);
    const received = new Received();
    await client.subscribe("fake", (message) => {
      received.handler(message);
      if (received.all.length === 1) throw new Error("once");
    });
    deliver(1);
    deliver(1, { redelivered: true, redeliveryCount: 1 });
    await until("it is acknowledged", () => fake.acks.length === 1);
    expect(received.sequences).toEqual([1, 1]);
    expect(received.all[1].redelivered).toBe(true);
  });

  test("is reported from its fifth delivery on", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    await client.subscribe("fake", () => {}, { manualAck: true });
    for (const redeliveryCount of range(0, 6)) deliver(1, { redelivered: redeliveryCount > 0, redeliveryCount });
    const often = await statuses.until("redelivered-often", 3);
    expect(often.map(({ message }) => message.redeliveryCount)).toEqual([4, 5, 6]);
  });

  test("on the inbox of a subscription that is closed goes nowhere", async () => {
    const client = await open(fake);
    const received = new Received();
    const subscription = await client.subscribe("fake", received.handler);
    const [{ request, link }] = fake.held;
    const sids = fake.sidsOf(link, request.inbox);
    await subscription.close();
    for (const sid of sids) link.deliver(sid, request.inbox, msgProto({ sequence: 1n }));
    await client.publish("fake", "after");
    expect(received.all).toEqual([]);
    expect(fake.acks).toEqual([]);
  });
});

describe("a message that comes early", () => {
  test("gets messages that come in the very same segment as the answer, and acks to the right inbox", async () => {
    const client = await open(fake);
    const received = new Received();
    const messages = range(1, 50).map((sequence) => msgProto({ sequence: BigInt(sequence) }));
    fake.onSubscribe = (ask) => void fake.accept(ask, ...messages);
    await client.subscribe("fake", received.handler, { startAt: "first" });
    await received.until(50);
    await until("all are acknowledged", () => fake.acks.length === 50);
    expect(received.sequences).toEqual(range(1, 50));
    expect(fake.acks).toEqual(range(1, 50));
    expect(new Set(fake.others.map(({ subject }) => subject))).toEqual(new Set([fake.held[0].ackInbox]));
  });

  test("gets messages that come before the answer, whose acks follow it", async () => {
    const client = await open(fake);
    const received = new Received();
    let asked: Ask<SubscriptionRequest> | undefined;
    fake.onSubscribe = (ask) => {
      asked = ask;
      fake.send(ask.link, ask.message.inbox, msgProto({ sequence: 1n }));
    };
    const subscribing = client.subscribe("fake", received.handler);
    await received.until(1);
    expect(fake.acks).toEqual([]);
    fake.accept(asked!);
    await subscribing;
    await until("the ack is there", () => fake.acks.length > 0);
    expect(fake.others[0].subject).toBe(fake.held[0].ackInbox);
    expect(fake.acks).toEqual([1]);
  });
});

test("what cannot be a message is dropped and reported, and the link and the next message stay", async () => {
  const statuses = new Statuses();
  const client = await open(fake, { onStatus: statuses.onStatus });
  const received = new Received();
  const subscription = await client.subscribe("fake", received.handler);
  const unreadable = [Uint8Array.of(0x08), Uint8Array.of(0x12, 0x7f, 1), Uint8Array.of(0xff, 0xff), new Uint8Array(0)];
  const impossible = [0n, 2n ** 53n, 2n ** 64n - 1n].map((sequence) => msgProto({ sequence }));
  const bad = [...unreadable, ...impossible];
  for (const bytes of bad) fake.deliver(bytes);
  fake.deliver(msgProto({ sequence: 1n }));
  await received.until(1);
  expect(received.sequences).toEqual([1]);
  expect(statuses.of("error").map(({ error }) => error.code)).toEqual(bad.map(() => "REFUSED"));
  expect(statuses.of("error").every((status) => status.subscription === subscription)).toBe(true);
  expect(client.state).toBe("registered");
  expect(fake.links.length).toBe(1);
});

describe("a gap of a queue group", () => {
  test("begins with the first unfinished message, and is none if all are finished", async () => {
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus });
    const received = new Received();
    await client.subscribe("fake", received.handler, { queue: "group" });
    // A peek sees the last message.
    fake.onSubscribe = (ask) => {
      const last = msgProto({ sequence: BigInt(received.all.at(-1)!.sequence) });
      fake.accept(ask, ...(ask.message.qGroup === "" ? [last] : []));
    };
    for (const sequence of [1n, 2n]) fake.deliver(msgProto({ sequence }));
    await received.until(2);
    fake.loseSession();
    await statuses.until("subscribed", 2);
    expect(statuses.of("gap")).toEqual([]);
    fake.deliver(msgProto({ sequence: 4n }));
    await received.until(3);
    fake.loseSession();
    await statuses.until("subscribed", 3);
    expect(statuses.of("gap")).toMatchObject([{ from: 3, to: 4 }]);
  });
});
