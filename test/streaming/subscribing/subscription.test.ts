import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Message, SubscribeOptions } from "../../../src/index.ts";
import { StartPosition, type SubscriptionRequest } from "../../../src/pb/control.ts";
import { Ack } from "../../../src/testing/messages.ts";
import { embedded, open, range, Received, Statuses } from "../../support/clients.ts";
import { type Ask, FakeStreaming, msgProto, subjects, subscriptionResponse } from "../../support/fake-streaming.ts";
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

/** The sequences acknowledged so far, in order. */
function acks(): number[] {
  return fake.others.map(({ payload }) => Number(Ack.read(payload).sequence));
}

/** A promise with the means to settle it. */
function gate(): { promise: Promise<void>; open: () => void; fail: (error: unknown) => void } {
  let open = (): void => {};
  let fail = (_: unknown): void => {};
  const promise = new Promise<void>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  return { promise, open, fail };
}

describe("subscribing", () => {
  const positions: readonly (readonly [SubscribeOptions["startAt"], Partial<SubscriptionRequest>])[] = [
    [undefined, { startPosition: StartPosition.NewOnly }],
    ["newOnly", { startPosition: StartPosition.NewOnly }],
    ["lastReceived", { startPosition: StartPosition.LastReceived }],
    ["first", { startPosition: StartPosition.First }],
    [{ sequence: 2 ** 53 - 1 }, { startPosition: StartPosition.SequenceStart, startSequence: 2n ** 53n - 1n }],
    [{ ago: 1_500 }, { startPosition: StartPosition.TimeDeltaStart, startTimeDelta: 1_500_000_000n }],
    [{ ago: 0.5 }, { startPosition: StartPosition.TimeDeltaStart, startTimeDelta: 1_000_000n }],
    // As long ago as an int64 can say, which is before 1970.
    [{ ago: 9.5e12 }, { startPosition: StartPosition.TimeDeltaStart, startTimeDelta: 9_223_372_036_854_000_000n }],
    [{ ago: Number.MAX_SAFE_INTEGER }, { startPosition: StartPosition.TimeDeltaStart, startTimeDelta: 9_223_372_036_854_000_000n }],
    [{ time: new Date(-8.64e15) }, { startPosition: StartPosition.TimeDeltaStart, startTimeDelta: 9_223_372_036_854_000_000n }],
    [{ time: new Date(8e15) }, { startPosition: StartPosition.NewOnly, startTimeDelta: 0n }],
  ];
  test.each(positions)("asks to start at %o", async (startAt, expected) => {
    const client = await open(fake);
    await client.subscribe("fake", () => {}, { startAt });
    expect(fake.subscribes[0].message).toMatchObject({ startSequence: 0n, startTimeDelta: 0n, ...expected });
  });

  test("says all that was set, and only that", async () => {
    const client = await open(fake, { clientId: "me" });
    await client.subscribe("a.b", () => {}, { durable: "d", queue: "q", maxInFlight: 7, ackWait: 3_000 });
    await client.subscribe("a.b", () => {});
    const [one, two] = fake.subscribes.map(({ message }) => message);
    expect(one).toMatchObject({ clientID: "me", subject: "a.b", durableName: "d", qGroup: "q", maxInFlight: 7, ackWaitInSecs: 3 });
    expect(two).toMatchObject({ clientID: "me", subject: "a.b", durableName: "", qGroup: "", maxInFlight: 100, ackWaitInSecs: 30 });
    expect(one.inbox).not.toBe(two.inbox);
    expect(fake.sidsOf(fake.link, two.inbox).length).toBe(1);
  });

  test("gets messages that come in the very same segment as the answer, and acks to the right inbox", async () => {
    const client = await open(fake);
    const received = new Received();
    fake.onSubscribe = (ask) => void fake.accept(ask, ...range(1, 50).map((sequence) => msgProto({ sequence: BigInt(sequence) })));
    await client.subscribe("fake", received.handler, { startAt: "first" });
    await received.until(50);
    await until("all are acknowledged", () => acks().length === 50);
    expect(received.sequences).toEqual(range(1, 50));
    expect(acks()).toEqual(range(1, 50));
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
    expect(acks()).toEqual([]);
    fake.accept(asked!);
    await subscribing;
    await until("the ack is there", () => acks().length > 0);
    expect(fake.others[0].subject).toBe(fake.held[0].ackInbox);
    expect(acks()).toEqual([1]);
  });

  const impossible = ["a\r\nPUB x 0\r\n", "a b", "a.>", "a..b", "a\u0000"];
  test.each(impossible)("takes no answer with the ack inbox %j, and the true one still counts", async (ackInbox) => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    fake.onSubscribe = (ask) => {
      ask.answer(subscriptionResponse(ackInbox));
      ask.answer(Uint8Array.of(0x12, 0x7f));
      fake.accept(ask, msgProto({ sequence: 1n }));
    };
    await client.subscribe("fake", () => {});
    await until("the ack is there", () => acks().length === 1);
    expect(fake.others[0].subject).toBe(fake.held[0].ackInbox);
    expect(statuses.of("error").length).toBe(2);
    expect(client.state).toBe("registered");
    expect(fake.subscribes.length).toBe(1);
  });

  test.each(["too many channels", "too many subscriptions per channel", "stan: invalid subject"])(
    "that is refused with %j rejects with these words, and leaves nothing",
    async (words) => {
      const client = await open(fake);
      fake.onSubscribe = (ask) => ask.answer(subscriptionResponse("", words));
      await expect(client.subscribe("fake", () => {})).rejects.toMatchObject({ code: "REFUSED", message: `subscribe fake: ${words}` });
      expect(client.ready).toBe(true);
      fake.onSubscribe = (ask) => void fake.accept(ask);
      expect((await client.subscribe("fake", () => {})).state).toBe("subscribed");
    },
  );

  test("that is denied rejects with NOT_PERMITTED: the request, and the inbox", async () => {
    const client = await open(fake);
    fake.onSubscribe = (ask) => ask.link.send(`-ERR 'Permissions Violation for Publish to "${ask.subject}"'\r\n`);
    await expect(client.subscribe("fake", () => {})).rejects.toMatchObject({ code: "NOT_PERMITTED" });
    fake.onSubscribe = (ask) => {
      ask.link.send(`-ERR 'Permissions Violation for Subscription to "${ask.message.inbox}"'\r\n`);
      fake.accept(ask);
    };
    await expect(client.subscribe("fake", () => {})).rejects.toMatchObject({ code: "NOT_PERMITTED" });
    expect(client.state).toBe("registered");
  });

  test("whose inbox is denied later ends the subscription, with the cause", async () => {
    const client = await open(fake);
    const subscription = await client.subscribe("fake", () => {});
    fake.link.send(`-ERR 'Permissions Violation for Subscription to "${fake.held[0].request.inbox}"'\r\n`);
    expect(await subscription.closed).toMatchObject({ code: "NOT_PERMITTED" });
    expect(subscription.state).toBe("closed");
  });

  test("again with the same durable is refused here; with another client's words elsewhere", async () => {
    const client = await open(fake);
    await client.subscribe("fake", () => {}, { durable: "d" });
    await expect(client.subscribe("fake", () => {}, { durable: "d" })).rejects.toMatchObject({ code: "REFUSED" });
    expect(fake.subscribes.length).toBe(1);
    await client.subscribe("other", () => {}, { durable: "d" });
    await client.subscribe("fake", () => {}, { durable: "e" });
    await client.subscribe("fake", () => {}, { durable: "d", queue: "q" });
    await client.subscribe("fake", () => {}, { durable: "d", queue: "q" });
    expect(fake.subscribes.length).toBe(5);
  });

  test("with a durable that a subscription of its own still holds on the server closes that first", async () => {
    const server = await embedded();
    const client = await open(server, { requestTimeout: 50 });
    // The first request is carried out, but the client does not learn of it.
    server.swallow("SubscriptionResponse");
    const subscription = await client.subscribe("c", () => {}, { durable: "d" });
    expect(subscription.state).toBe("subscribed");
    expect(server.subscriptions("c")).toMatchObject([{ durable: "d", online: true }]);
  });
});

describe("a delivered message", () => {
  test("is acknowledged when its handler is done, and not when that fails", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    const subscription = await client.subscribe("fake", (message) => {
      if (message.sequence === 2) throw new Error("of the handler");
      if (message.sequence === 3) return Promise.reject(new Error("of its promise"));
      return message.sequence === 4 ? { then: (done: () => void) => done() } : undefined;
    });
    for (const sequence of range(1, 5)) deliver(sequence);
    await until("three are acknowledged", () => acks().length === 3);
    expect(acks().sort()).toEqual([1, 4, 5]);
    const failed = await statuses.until("handler-failed", 2);
    expect(failed.map(({ message, error }) => [message.sequence, (error as Error).message])).toEqual([
      [2, "of the handler"],
      [3, "of its promise"],
    ]);
    expect(failed.every((status) => status.subscription === subscription)).toBe(true);
  });

  test("that is delivered again while it waits or runs starts nothing; finished, it is acknowledged again", async () => {
    const client = await open(fake);
    const received = new Received();
    const running = gate();
    await client.subscribe("fake", (message) => {
      received.handler(message);
      return message.sequence === 1 ? running.promise : undefined;
    }, { concurrency: 1 });
    deliver(1);
    deliver(2);
    for (const sequence of [1, 2, 1, 2]) deliver(sequence, { redelivered: true, redeliveryCount: 1 });
    deliver(3);
    running.open();
    await until("all are acknowledged", () => acks().length === 3);
    expect(received.sequences).toEqual([1, 2, 3]);
    deliver(2, { redelivered: true, redeliveryCount: 2 });
    await until("it is acknowledged again", () => acks().length === 4);
    expect(acks()).toEqual([1, 2, 3, 2]);
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
    await until("it is acknowledged", () => acks().length === 1);
    expect(received.sequences).toEqual([1, 1]);
    expect(received.all[1].redelivered).toBe(true);
  });

  test("is told about from its fifth delivery on", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    await client.subscribe("fake", () => {}, { manualAck: true });
    for (let redeliveryCount = 0; redeliveryCount < 7; redeliveryCount++) deliver(1, { redelivered: redeliveryCount > 0, redeliveryCount });
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
    expect(acks()).toEqual([]);
  });
});

describe("handlers", () => {
  test("run as many at once as concurrency says, in the order of the messages", async () => {
    await forEachSeed(3, async (random) => {
      const concurrency = random.int(1, 5);
      const count = 25;
      const client = await open(fake);
      const started: number[] = [];
      const running = new Map<number, ReturnType<typeof gate>>();
      const subscription = await client.subscribe("fake", (message) => {
        started.push(message.sequence);
        const own = gate();
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
        if (random.bool(0.2)) own.fail(new Error("of the handler"));
        else own.open();
      }
      expect(started).toEqual(range(1, count));
      await subscription.close();
      await client.close();
    });
  });

  test("wait within maxWaitingBytes; what is beyond is dropped, told once, and handled when it comes again", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus, maxWaitingBytes: 2_000 });
    const received = new Received();
    const first = gate();
    const subscription = await client.subscribe("fake", (message) => {
      received.handler(message);
      return first.promise;
    }, { concurrency: 1, maxInFlight: 100 });
    for (const sequence of range(1, 30)) deliver(sequence);
    await until("all have come", () => subscription.stats().received === 30);
    const [told] = await statuses.until("error");
    expect(told.error.code).toBe("QUEUE_FULL");
    first.open();
    await until("what waits is handled", () => acks().length === received.all.length && received.all.length > 1);
    expect(received.all.length).toBeLessThan(12);
    while (received.all.length < 30) {
      const next = received.all.length + 1;
      deliver(next, { redelivered: true, redeliveryCount: 1 });
      await until("it is acknowledged", () => acks().length === next);
    }
    expect(received.sequences).toEqual(range(1, 30));
    expect(statuses.of("error").length).toBe(1);
  });
});

describe("leaving", () => {
  test("by close or unsubscribe tells the server which, once", async () => {
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

  test.each(["stan: unknown channel", "stan: invalid subscription"])("counts as done when the server says %j", async (words) => {
    const client = await open(fake);
    const subscription = await client.subscribe("fake", () => {}, { durable: "d" });
    fake.onLeave = (ask) => ask.answer(subscriptionResponse("", words));
    await subscription.unsubscribe();
    expect(fake.leaves.length).toBe(1);
  });

  test("starts no more handlers, and drops what waits; a drain hands that over", async () => {
    const client = await open(fake);
    const received = new Received();
    const own = gate();
    const subscription = await client.subscribe("fake", (message) => {
      received.handler(message);
      return own.promise;
    }, { concurrency: 1, maxInFlight: 10 });
    for (const sequence of range(1, 4)) deliver(sequence);
    await received.until(1);
    await client.publish("fake", "after them");
    const draining = subscription.drain();
    own.open();
    const report = await draining;
    expect(report.unhandled.map((message: Message) => message.sequence)).toEqual([2, 3, 4]);
    expect(received.sequences).toEqual([1]);
    expect(acks()).toEqual([1]);
    expect(fake.leaves.length).toBe(1);
  });

  test("by a drain ends after its timeout, and names what still ran", async () => {
    const client = await open(fake);
    const received = new Received();
    const never = gate();
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
      return gate().promise;
    }, { manualAck: true });
    deliver(1);
    deliver(2);
    await until("the first is acknowledged", () => acks().length === 1);
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
    await expect(durable.unsubscribe()).rejects.toMatchObject({ code: "CLOSED", message: /the subscription was closed before/ });
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
