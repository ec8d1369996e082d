import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { deferred, type Deferred } from "../../../src/core-nats/async.ts";
import { open, range, Received, Statuses } from "../../support/clients.ts";
import { FakeStreaming, msgProto } from "../../support/fake-streaming.ts";
import { forEachSeed } from "../../support/random.ts";
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

describe("handlers", () => {
  test("run as many at once as concurrency says, in the order of the messages", async () => {
    await forEachSeed(3, async (random) => {
      const concurrency = random.int(1, 5);
      const count = 25;
      const client = await open(fake);
      const started: number[] = [];
      const running = new Map<number, Deferred<void>>();
      const subscription = await client.subscribe("fake", (message) => {
        started.push(message.sequence);
        const own = deferred();
        running.set(message.sequence, own);
        return own.promise;
      }, { concurrency, maxInFlight: count });
      for (const sequence of range(1, count)) deliver(sequence);
      for (let ended = 0; ended < count; ended++) {
        const expected = Math.min(concurrency, count - ended);
        await until("the next have started", () => running.size === expected);
        expect(started.length).toBe(Math.min(count, ended + concurrency));
        const sequence = random.pick([...running.keys()]);
        const own = running.get(sequence)!;
        running.delete(sequence);
        if (random.bool(0.2)) own.reject(new Error("of the handler"));
        else own.resolve();
      }
      expect(started).toEqual(range(1, count));
      await subscription.close();
      await client.close();
    });
  });

  test("wait within maxWaitingBytes; further messages are dropped, reported once, and handled later", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus, maxWaitingBytes: 2_000 });
    const received = new Received();
    const first = deferred();
    const subscription = await client.subscribe("fake", (message) => {
      received.handler(message);
      return first.promise;
    }, { concurrency: 1, maxInFlight: 100 });
    for (const sequence of range(1, 30)) deliver(sequence);
    await until("all have come", () => subscription.stats().received === 30);
    const [told] = await statuses.until("error");
    expect(told.error.code).toBe("QUEUE_FULL");
    first.resolve();
    await until("what waits is handled", () => fake.acks.length === received.all.length && received.all.length > 1);
    expect(received.all.length).toBeLessThan(12);
    while (received.all.length < 30) {
      const next = received.all.length + 1;
      deliver(next, { redelivered: true, redeliveryCount: 1 });
      await until("it is acknowledged", () => fake.acks.length === next);
    }
    expect(received.sequences).toEqual(range(1, 30));
    expect(statuses.of("error").length).toBe(1);
  });
});

describe("a handler that returns something like a promise", () => {
  const rejectMine = (_: unknown, no: (error: unknown) => void): void => no(new Error("mine"));
  const broken: readonly (readonly [string, () => unknown])[] = [
    ["whose then throws", () => ({ then: () => { throw new Error("mine"); } })],
    ["whose then cannot be read", () => ({ get then(): never { throw new Error("mine"); } })],
    ["that is a function", () => Object.assign(() => undefined, { then: rejectMine })],
  ];
  test.each(broken)("%s, has failed: the link stays, the redelivery is handled", async (_, result) => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    let failing = true;
    const subscription = await client.subscribe("fake", () => (failing ? result() : undefined), { concurrency: 1 });
    deliver(1);
    const [failed] = await statuses.until("handler-failed");
    expect(failed!.error).toMatchObject({ message: "mine" });
    expect(subscription.stats()).toMatchObject({ failed: 1, running: 0 });
    failing = false;
    deliver(1, { redelivered: true, redeliveryCount: 1 });
    await until("the redelivery is acknowledged", () => fake.acks.length === 1);
    expect(fake.links.length).toBe(1);
    expect(statuses.of("disconnected")).toEqual([]);
  });

  test("that settles more than once, has ended once", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    const twice = {
      then: (yes: () => void, no: (error: unknown) => void) => {
        yes();
        yes();
        no(new Error("mine"));
      },
    };
    const subscription = await client.subscribe("fake", () => twice);
    deliver(1);
    await until("it is acknowledged", () => fake.acks.length === 1);
    await client.publish("fake", "after it");
    expect(subscription.stats()).toMatchObject({ handled: 1, failed: 0, running: 0 });
    expect(statuses.of("handler-failed")).toEqual([]);
  });
});

test("a message whose status makes the listener close the subscription gets no handler any more", async () => {
  const received = new Received();
  const client = await open(fake, {
    onStatus: (status) => {
      if (status.type === "redelivered-often") void status.subscription.close();
    },
  });
  const subscription = await client.subscribe("fake", received.handler);
  deliver(1, { redelivered: true, redeliveryCount: 4 });
  await subscription.closed;
  expect(received.sequences).toEqual([]);
  expect(fake.acks).toEqual([]);
});
