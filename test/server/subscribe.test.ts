import { expect, test } from "vitest";
import type { Message, SubscribeOptions } from "../../src/index.ts";
import { MsgProto } from "../../src/testing/messages.ts";
import { deferred } from "../../src/core-nats/async.ts";
import type { Frame } from "../support/frames.ts";
import { fresh, open, proxyTo, publishAll, range, Received, Statuses } from "../support/clients.ts";
import { subscriptionPages, untilAcknowledged } from "../support/monitor.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

describeWithServer("where a subscription begins", () => {
  const server = serverForSuite();

  const requestTimeout = 1_000;

  /**
   * What a subscription to a channel with the messages 1 to 5 gets of them and of message 6, which is published later.
   * Between 2 and 3 there are so many milliseconds.
   */
  async function received(options: (messages: readonly Message[]) => SubscribeOptions, gap = 0): Promise<number[]> {
    const client = await open(server(), { requestTimeout });
    const channel = fresh("channel");
    await publishAll(client, channel, ["1", "2"]);
    const before = Date.now();
    await until("the gap is over", () => Date.now() >= before + gap);
    await publishAll(client, channel, ["3", "4", "5"]);
    const all = new Received();
    await client.subscribe(channel, all.handler, { startAt: "first" });
    await all.until(5);

    const from = new Received();
    await client.subscribe(channel, from.handler, options(all.all));
    await client.publish(channel, "6");
    await until("message 6 is received", () => from.sequences.includes(6));
    expect(from.texts).toEqual(from.sequences.map(String));
    return from.sequences;
  }

  test('by default and with "newOnly" only new messages come', async () => {
    expect(await received(() => ({}))).toEqual([6]);
    expect(await received(() => ({ startAt: "newOnly" }))).toEqual([6]);
  });

  test('with "lastReceived" the last one and new ones', async () => {
    expect(await received(() => ({ startAt: "lastReceived" }))).toEqual([5, 6]);
  });

  test('with "first" all that are stored', async () => {
    expect(await received(() => ({ startAt: "first" }))).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("with a sequence that one and later", async () => {
    expect(await received(() => ({ startAt: { sequence: 4 } }))).toEqual([4, 5, 6]);
  });

  test("with a sequence beyond the last, new ones", async () => {
    expect(await received(() => ({ startAt: { sequence: 100 } }))).toEqual([6]);
  });

  test("with a time what was stored since", async () => {
    // It begins a little earlier, by what the request may take: the gap is longer than that.
    const atThird = (messages: readonly Message[]): SubscribeOptions => ({ startAt: { time: messages[2]!.time } });
    expect(await received(atThird, 2 * requestTimeout)).toEqual([3, 4, 5, 6]);
    expect(await received(() => ({ startAt: { time: new Date(0) } }))).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await received(() => ({ startAt: { time: new Date(-8.64e15) } }))).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await received(() => ({ startAt: { time: new Date(Date.now() + 60_000) } }))).toEqual([6]);
  });

  test("with a number of milliseconds ago what was stored since", async () => {
    const ago = ([, , third]: readonly Message[]): number => Date.now() - third!.time.getTime() + 300;
    expect(await received((messages) => ({ startAt: { ago: ago(messages) } }), 600)).toEqual([3, 4, 5, 6]);
    for (const ago of [3_600_000, 1.2e13, Number.MAX_SAFE_INTEGER]) {
      expect(await received(() => ({ startAt: { ago } }))).toEqual([1, 2, 3, 4, 5, 6]);
    }
    expect(await received(() => ({ startAt: { ago: 0 } }))).toEqual([6]);
  });

  test("on a channel that does not exist yet, all positions get the first message", async () => {
    const client = await open(server());
    const named = ["newOnly", "lastReceived", "first"] as const;
    for (const startAt of [...named, { sequence: 7 }, { ago: 1_000 }, { time: new Date() }]) {
      const channel = fresh("channel");
      const got = new Received();
      await client.subscribe(channel, got.handler, { startAt });
      await client.publish(channel, "1");
      await got.until(1);
      expect(got.sequences).toEqual([1]);
    }
  });
});

describeWithServer("receiving", () => {
  const server = serverForSuite();

  test("a message has all that was published, and its place and time of storage", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, got.handler);
    const before = Date.now();
    await client.publish(channel, '{"answer":42}', { reply: "to.me" });
    await client.publish(channel, "no json");
    const [first, second] = await got.until(2);
    const after = Date.now();
    expect(first).toMatchObject({ subject: channel, reply: "to.me", sequence: 1 });
    expect(first).toMatchObject({ redelivered: false, redeliveryCount: 0 });
    expect(first!.text()).toBe('{"answer":42}');
    expect(first!.json<{ answer: number }>().answer).toBe(42);
    expect(first!.time.getTime()).toBeGreaterThanOrEqual(before);
    expect(first!.time.getTime()).toBeLessThanOrEqual(after);
    expect(second).toMatchObject({ reply: "", sequence: 2 });
    expect(second!.timestamp).toBeGreaterThanOrEqual(first!.timestamp);
    expect(() => second!.json()).toThrow(SyntaxError);
  });

  test("timestamps are exact to the nanosecond, as they were on the wire", async () => {
    const proxy = await proxyTo(server());
    const onTheWire: MsgProto[] = [];
    let inbox = "";
    const spy = (frame: Frame): boolean => {
      if (frame.verb === "MSG" && frame.subject === inbox) onTheWire.push(MsgProto.read(frame.payload));
      return false;
    };
    void proxy.eat(spy, "down");
    const client = await open(proxy);
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, got.handler);
    inbox = (await subscriptionPages(server(), channel))[0]!.inbox;
    await client.publishMany(channel, range(1, 100).map(String));
    await got.until(100);
    expect(got.all.map(({ timestamp }) => timestamp)).toEqual(onTheWire.map(({ timestamp }) => timestamp));
    for (const { timestamp, time } of got.all) expect(BigInt(time.getTime())).toBe(timestamp / 1_000_000n);
    // Not rounded to what a double can hold.
    expect(got.all.some(({ timestamp }) => BigInt(Number(timestamp)) !== timestamp)).toBe(true);
  });

  test("what was handled is acknowledged: the server waits for nothing", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, got.handler);
    await client.subscribe(channel, async () => {
      await Promise.resolve();
    });
    await client.publishMany(channel, range(1, 300).map(String));
    await got.until(300);
    await untilAcknowledged(server(), channel, 300);
    expect(got.sequences).toEqual(range(1, 300));
  });

  test("messages that come with the very answer to the subscription are handled, and their acks reach it", async () => {
    const proxy = await proxyTo(server());
    const client = await open(proxy, { requestTimeout: 30_000 });
    for (let round = 1; round <= 3; round++) {
      const channel = fresh("channel");
      await client.publishMany(channel, range(1, 100).map(String));
      const asked = deferred();
      const spy = ({ verb, subject }: Frame): boolean => {
        if (verb !== "PUB" || !subject.startsWith("_STAN.sub.")) return false;
        proxy.stall();
        asked.resolve();
        return false;
      };
      void proxy.eat(spy, "up");
      const got = new Received();
      const subscribing = client.subscribe(channel, got.handler, { startAt: "first" });
      await asked.promise;
      // All of it waits in the network, so that it arrives in one piece.
      await until("all is sent", async () => (await subscriptionPages(server(), channel))[0]?.last_sent === 100);
      proxy.heal();
      await subscribing;
      await got.until(100);
      await untilAcknowledged(server(), channel, 100);
      expect(got.sequences).toEqual(range(1, 100));
    }
  });

  test("with manualAck nothing is acknowledged but by ack(), which may be called at any time and twice", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, got.handler, { manualAck: true });
    await client.publishMany(channel, range(1, 10).map(String));
    await got.until(10);
    expect(await subscriptionPages(server(), channel)).toMatchObject([{ pending_count: 10 }]);
    for (const message of [...got.all].reverse()) {
      expect(message.ack()).toBe(true);
      expect(message.ack()).toBe(true);
    }
    await untilAcknowledged(server(), channel, 10);
  });

  test("a handler may acknowledge before it is done, also without manualAck", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const gate = deferred();
    const subscription = await client.subscribe(channel, (message) => {
      message.ack();
      return gate.promise;
    });
    await client.publish(channel, "x");
    await untilAcknowledged(server(), channel, 1);
    gate.resolve();
    await subscription.drain();
  });

  test("a handler that throws or rejects gets the message again after ackWait; the failure is reported", async () => {
    const statuses = new Statuses();
    const client = await open(server(), { onStatus: statuses.onStatus });
    const thrown = new Error("by the handler");
    const handlers = {
      throws: (message: Message): void => {
        if (!message.redelivered) throw thrown;
      },
      rejects: async (message: Message): Promise<void> => {
        await Promise.resolve();
        if (!message.redelivered) throw thrown;
      },
    };
    const channels = { throws: fresh("channel"), rejects: fresh("channel") };
    const got = { throws: new Received(), rejects: new Received() };
    for (const how of ["throws", "rejects"] as const) {
      const handler = (message: Message): unknown => (got[how].handler(message), handlers[how](message));
      await client.subscribe(channels[how], handler, { ackWait: 1_000 });
      await client.publish(channels[how], "x");
    }
    for (const how of ["throws", "rejects"] as const) {
      await got[how].until(2);
      await untilAcknowledged(server(), channels[how], 1);
      expect(got[how].all).toMatchObject([
        { sequence: 1, redelivered: false, redeliveryCount: 0 },
        { sequence: 1, redelivered: true, redeliveryCount: 1 },
      ]);
      expect(statuses.of("handler-failed").filter(({ message }) => message.subject === channels[how])).toMatchObject([
        { error: thrown, message: { sequence: 1 } },
      ]);
    }
    expect(statuses.of("error")).toEqual([]);
  });

  test("a handler that fails four times is told of at the fifth delivery", async () => {
    const statuses = new Statuses();
    const client = await open(server(), { onStatus: statuses.onStatus });
    const channel = fresh("channel");
    const counts: number[] = [];
    const handler = ({ redeliveryCount }: Message): void => {
      counts.push(redeliveryCount);
      if (redeliveryCount < 4) throw new Error("not yet");
    };
    await client.subscribe(channel, handler, { ackWait: 1_000 });
    await client.publish(channel, "x");
    await untilAcknowledged(server(), channel, 1);
    expect(counts).toEqual([0, 1, 2, 3, 4]);
    expect(statuses.of("redelivered-often").map(({ message }) => message.redeliveryCount)).toEqual([4]);
  });

  test("a message whose handler outlasts ackWait is not handled twice at once, and is acknowledged", async () => {
    const proxy = await proxyTo(server());
    const client = await open(proxy);
    const channel = fresh("channel");
    const gate = deferred();
    const got = new Received();
    await client.subscribe(channel, (message) => (got.handler(message), gate.promise), { ackWait: 1_000 });
    const [page] = await subscriptionPages(server(), channel);
    let deliveries = 0;
    void proxy.eat((frame) => frame.subject === page!.inbox && ++deliveries < 0, "down");
    await client.publish(channel, "x");
    await until("it was delivered three times", () => deliveries === 3);
    expect(got.all.length).toBe(1);
    gate.resolve();
    await untilAcknowledged(server(), channel, 1);
    expect(got.all.length).toBe(1);
  });

  test("no more than maxInFlight messages are sent ahead of their acks", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const gates: (() => void)[] = [];
    const got = new Received();
    const handler = (message: Message): Promise<void> => {
      got.handler(message);
      return new Promise((resolve) => gates.push(resolve));
    };
    await client.subscribe(channel, handler, { maxInFlight: 3 });
    await client.publishMany(channel, range(1, 10).map(String));
    await got.until(3);
    const full = { max_inflight: 3, pending_count: 3, last_sent: 3, is_stalled: true };
    expect(await subscriptionPages(server(), channel)).toMatchObject([full]);
    for (let done = 0; done < 10; done++) {
      await until(`handler ${done} runs`, () => gates.length > done);
      expect(got.all.length).toBeLessThanOrEqual(done + 3);
      gates[done]!();
    }
    await untilAcknowledged(server(), channel, 10);
    expect(got.sequences).toEqual(range(1, 10));
  });

  test("no more than concurrency handlers run at once, while maxInFlight messages are fetched ahead", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    let running = 0;
    let most = 0;
    const handler = async (): Promise<void> => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => setImmediate(() => resolve()));
      running--;
    };
    await client.subscribe(channel, handler, { maxInFlight: 50, concurrency: 4 });
    expect(await subscriptionPages(server(), channel)).toMatchObject([{ max_inflight: 50 }]);
    await client.publishMany(channel, range(1, 200).map(String));
    await untilAcknowledged(server(), channel, 200);
    expect(most).toBe(4);
  });

  test("with concurrency 1 messages are strictly in order, also when a handler fails", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const seen: string[] = [];
    const failing = new Set([2, 4]);
    const handler = async ({ sequence, redeliveryCount }: Message): Promise<void> => {
      seen.push(`${sequence} begins`);
      await new Promise<void>((resolve) => setImmediate(() => resolve()));
      seen.push(`${sequence} ends`);
      if (failing.has(sequence) && redeliveryCount === 0) throw new Error("once");
    };
    await client.subscribe(channel, handler, { concurrency: 1, ackWait: 1_000 });
    await client.publishMany(channel, range(1, 5).map(String));
    await untilAcknowledged(server(), channel, 5);
    const order = [1, 2, 2, 3, 4, 4, 5];
    expect(seen).toEqual(order.flatMap((sequence) => [`${sequence} begins`, `${sequence} ends`]));
  });

  test("several subscriptions to one channel get each message, each on its own", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const got = [new Received(), new Received(), new Received()];
    for (const { handler } of got) await client.subscribe(channel, handler);
    await client.publishMany(channel, ["a", "b"]);
    for (const one of got) {
      await one.until(2);
      expect(one.texts).toEqual(["a", "b"]);
    }
  });

  test("close() takes the subscription from the server, no handler starts any more, acks return false", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    const other = new Received();
    const subscription = await client.subscribe(channel, got.handler, { manualAck: true });
    await client.subscribe(channel, other.handler);
    await client.publish(channel, "a");
    await got.until(1);
    expect(subscription.state).toBe("subscribed");
    await subscription.close();
    expect(subscription.state).toBe("closed");
    expect(await subscription.closed).toBeUndefined();
    expect(got.all[0]!.ack()).toBe(false);
    expect(await subscriptionPages(server(), channel)).toHaveLength(1);
    await client.publish(channel, "b");
    await other.until(2);
    expect(got.texts).toEqual(["a"]);
    expect(client.ready).toBe(true);
    // Once more does no harm.
    await subscription.close();
    await subscription.unsubscribe();
    expect(await subscription.drain()).toEqual({ unhandled: [] });
  });

  test("wrong arguments reject with a TypeError, and the server is not asked", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const handler = (): void => undefined;
    const options: object[] = [
      { startAt: "last" }, { startAt: { sequence: 0 } }, { startAt: { ago: -1 } }, { startAt: { time: new Date(NaN) } },
      { maxInFlight: 0 }, { concurrency: 0.5 }, { ackWait: 500 }, { ackWait: 1_500 }, { manualAcks: true },
      { durable: "" }, { durable: "a\nb" }, { durable: "a:b", queue: "q" }, { queue: "a\rb" },
    ];
    const wrong: [unknown, unknown, unknown?][] = [
      ["", handler], ["a b", handler], ["a.*", handler], ["a/b", handler], ["a\r\n", handler],
      [channel, undefined], [channel, {}],
      ...options.map((each) => [channel, handler, each] as [unknown, unknown, unknown]),
    ];
    for (const [subject, callback, options] of wrong) {
      const subscribed = client.subscribe(subject as string, callback as () => void, options as SubscribeOptions);
      await expect(subscribed).rejects.toBeInstanceOf(TypeError);
    }
    expect(await subscriptionPages(server(), channel)).toEqual([]);
    expect(client.ready).toBe(true);
  });
});
