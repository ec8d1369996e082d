import { beforeEach, describe, expect, test } from "vitest";
import type { Client, Message, SubscribeOptions } from "../../../src/index.ts";
import { readDeadLetter, StreamingError } from "../../../src/index.ts";
import type { StreamingServer } from "../../../src/testing/server.ts";
import { embedded, open, publishAll, range, Received, Statuses } from "../../support/clients.ts";
import { until } from "../../support/until.ts";

let server: StreamingServer;
let client: Client;
let statuses: Statuses;
let got: Received;

beforeEach(async () => {
  server = await embedded();
  statuses = new Statuses();
  client = await open(server, { onStatus: statuses.onStatus });
  got = new Received();
});

const exact: SubscribeOptions = { backoffJitter: false, startAt: "first" };

/** A handler that fails for these texts the first so many times. */
function failing(failures: Record<string, number>): (message: Message) => Promise<void> {
  const left = new Map(Object.entries(failures));
  return async (message) => {
    got.handler(message);
    await Promise.resolve();
    const failuresLeft = left.get(message.text()) ?? 0;
    left.set(message.text(), failuresLeft - 1);
    if (failuresLeft > 0) throw new Error(`no ${message.text()}`);
  };
}

describe("backoff", () => {
  test("has a message run again in this process, which takes no handler's place meanwhile", async () => {
    await publishAll(client, "c", ["a", "b", "c"]);
    const options = { ...exact, backoff: [20, 40], concurrency: 2 };
    const subscription = await client.subscribe("c", failing({ a: 2 }), options);
    await got.until(3);
    await until("it waits", () => subscription.stats().retrying === 1);
    expect(subscription.stats()).toMatchObject({ running: 0, retrying: 1, acknowledged: 2 });
    await got.until(5);
    expect(got.texts).toEqual(["a", "b", "c", "a", "a"]);
    await until("all is acknowledged", () => subscription.stats().acknowledged === 3);
    expect(statuses.of("retrying")).toMatchObject([{ delay: 20, deliveries: 1, error: new Error("no a") }]);
    expect(statuses.of("handler-failed")).toHaveLength(2);
    expect(client.stats().waitingBytes).toBe(0);
    expect(subscription.stats()).toMatchObject({ retrying: 0, redelivered: 0 });
  });

  test("lets redeliveries start nothing", async () => {
    await publishAll(client, "c", ["a"]);
    const subscription = await client.subscribe("c", failing({ a: 1 }), { ...exact, backoff: 300, ackWait: 1_000 });
    await until("it waits", () => subscription.stats().retrying === 1);
    await server.advance(3_500);
    await until("it came again", () => subscription.stats().redelivered === 3);
    expect(got.texts).toEqual(["a"]);
    await got.until(2);
    await until("it is acknowledged", () => subscription.stats().acknowledged >= 1);
  });

  test("above ackWait in a queue group is told once: another process may run the message, too", async () => {
    await publishAll(client, "c", ["a", "b"]);
    const options = { ...exact, queue: "q", ackWait: 1_000, backoff: [5, 2_000] };
    const subscription = await client.subscribe("c", failing({ a: 9, b: 9 }), options);
    await until("both wait for long", () => subscription.stats().failed === 4);
    const [told, ...others] = statuses.of("error");
    expect(told!.error.message).toMatch(/a message waits 2000 ms to run again, .* 1000 ms \(ackWait\)/);
    expect(others).toEqual([]);
  });

  test("does not keep a drain waiting, which reports what waits", async () => {
    await publishAll(client, "c", ["a", "b"]);
    const subscription = await client.subscribe("c", failing({ a: 9 }), { ...exact, backoff: 60_000 });
    await until("it waits", () => subscription.stats().retrying === 1 && subscription.stats().acknowledged === 1);
    const { unhandled } = await client.drain();
    expect(unhandled.map((message) => message.text())).toEqual(["a"]);
    expect(client.stats().waitingBytes).toBe(0);
  });

  test("forgets what was to run again when the channel was reset", async () => {
    await publishAll(client, "c", ["a"]);
    const subscription = await client.subscribe("c", failing({ a: 9 }), { ...exact, backoff: 60_000 });
    await until("it waits", () => subscription.stats().retrying === 1);
    server.restart();
    await statuses.until("registered", 2);
    await client.publish("c", "new");
    await statuses.until("gap");
    expect(subscription.stats().retrying).toBe(0);
    await until("the new one is handled", () => got.texts.includes("new"));
    expect(client.stats().waitingBytes).toBe(0);
  });
});

describe("maxDeliver and deadLetter", () => {
  const options: SubscribeOptions = { ...exact, backoff: 5, maxDeliver: 3, deadLetter: "dead" };

  test("put a message into another channel after its last run, and then acknowledge it", async () => {
    await client.publish("c", "bad", { reply: "id-7" });
    await publishAll(client, "c", ["good"]);
    const subscription = await client.subscribe("c", failing({ bad: 9 }), options);
    const [status] = await statuses.until("dead-lettered");
    expect(got.texts.filter((text) => text === "bad")).toHaveLength(3);
    const error = new Error("no bad");
    expect(status).toMatchObject({ deliveries: 3, replyKept: true, error, message: { sequence: 1 } });
    await until("both are acknowledged", () => subscription.stats().acknowledged === 2);
    const dead = new Received();
    await client.subscribe("dead", dead.handler, { startAt: "first" });
    const [letter] = await dead.until(1);
    expect(letter!.text()).toBe("bad");
    expect(readDeadLetter(letter!)).toEqual({
      channel: "c", sequence: 1, timestamp: got.all[0]!.timestamp, deliveries: 3, error: "no bad", reply: "id-7",
    });
    expect(client.stats().waitingBytes).toBe(0);
  });

  test("without an error there is no text of one: after a nak, and a term without a reason", async () => {
    await publishAll(client, "c", ["term", "nak"]);
    const handler = (message: Message): unknown => (message.text() === "term" ? message.term() : message.nak(0));
    await client.subscribe("c", handler, { ...options, maxDeliver: 2 });
    await statuses.until("dead-lettered", 2);
    expect(server.messages("dead").map((letter) => readDeadLetter(letter)?.error)).toEqual(["", ""]);
    expect(statuses.of("dead-lettered").map(({ error }) => error)).toEqual([undefined, undefined]);
  });

  test("refuse the channel itself, where a dead letter would be handled again for ever", async () => {
    await expect(client.subscribe("c", got.handler, { deadLetter: "c" })).rejects.toThrow(
      new TypeError('deadLetter must be another channel, not "c"'),
    );
    await expect(client.messages("c", { deadLetter: "c" })).rejects.toThrow(TypeError);
    await expect(client.batches("c", { size: 1, wait: 0, deadLetter: "c" })).rejects.toThrow(TypeError);
    expect(server.subscriptions("c")).toEqual([]);
  });

  test("count the runs of earlier processes: what kills the process ends there as well", async () => {
    await publishAll(client, "c", ["killer"]);
    const endless = (): Promise<void> => new Promise(() => undefined);
    const first = await client.subscribe("c", endless, { durable: "d", startAt: "first", ackWait: 1_000 });
    await until("it runs", () => first.stats().running === 1);
    await server.advance(3_500);
    await until("it was delivered four times", () => first.stats().received >= 4);
    await first.close();
    await client.subscribe("c", got.handler, { ...options, durable: "d", ackWait: 1_000 });
    await statuses.until("dead-lettered");
    expect(got.all).toEqual([]);
    expect(server.messages("dead").map(({ text }) => text)).toEqual(["killer"]);
  });

  test.each([{}, { durable: "d" }])("do not count what the server sent in vain: only runs (%j)", async (position) => {
    const subscription = await client.subscribe("c", failing({ b: 2 }), { ...options, ...position, ackWait: 1_000 });
    await publishAll(client, "c", ["a"]);
    server.swallow("MsgProto", 5);
    await publishAll(client, "c", ["b"]);
    for (let i = 0; i < 6; i++) await server.advance(1_100);
    await until("both are acknowledged", () => subscription.stats().acknowledged === 2);
    expect(got.texts).toEqual(["a", "b", "b", "b"]);
    expect(statuses.of("dead-lettered")).toEqual([]);
  });

  test("count the runs of all members of a queue group in this client, and no swallowed delivery", async () => {
    const settings: SubscribeOptions = { ...exact, queue: "q", maxDeliver: 3, deadLetter: "dead", ackWait: 60_000 };
    let runs = 0;
    let fail = (): void => undefined;
    const handler = (): Promise<void> => {
      runs++;
      return new Promise((_, reject) => (fail = () => reject(new Error("no"))));
    };
    const members = [await client.subscribe("c", handler, settings), await client.subscribe("c", handler, settings)];
    await publishAll(client, "c", ["bad"]);
    for (let run = 1; run <= 3; run++) {
      await until(`run ${run} begins`, async () => {
        if (runs < run) await server.advance(60_100);
        return runs === run;
      });
      // Its redeliveries start nothing, to whomever they come.
      await server.advance(121_000);
      fail();
    }
    const [status] = await statuses.until("dead-lettered");
    expect({ runs, deliveries: status!.deliveries }).toEqual({ runs: 3, deliveries: 3 });
    expect(members.every((member) => member.stats().received > 1)).toBe(true);
  });

  test("allow no more runs, also where there is no room for what is to be stored", async () => {
    const own = await open(server, { maxWaitingBytes: 300 });
    await publishAll(client, "other", ["o"]);
    const one = { maxInFlight: 1, concurrency: 1, manualAck: true };
    const other = await own.subscribe("other", got.handler, { ...one, startAt: "lastReceived" });
    await got.until(1);
    other.pause();
    await publishAll(client, "other", ["takes room"]);
    got.all[0]!.ack();
    await until("that waits", () => other.stats().waiting === 1);
    const subscription = await own.subscribe("c", failing({ bad: 9 }), { ...options, maxDeliver: 1, ackWait: 1_000 });
    await publishAll(client, "c", ["bad"]);
    for (let i = 0; i < 3; i++) await server.advance(1_100);
    expect(got.texts).toEqual(["o", "bad"]);
    other.resume();
    await until("it is acknowledged", async () => {
      await server.advance(1_100);
      return subscription.stats().acknowledged === 1;
    });
    expect(got.texts).toEqual(["o", "bad", "takes room"]);
    expect(server.messages("dead").map(({ text }) => text)).toEqual(["bad"]);
  });

  test("leave the original unacknowledged until the dead letter is stored, and tell what prevents it", async () => {
    await publishAll(client, "c", ["bad"]);
    const stored: string[] = [];
    let away = 2;
    const subscription = await client.subscribe("c", failing({ bad: 9 }), {
      ...options,
      deadLetter: async (message, error, deliveries) => {
        await Promise.resolve();
        if (away-- > 0) throw new StreamingError("NO_SERVER", "away");
        stored.push(`${message.text()}: ${(error as Error).message} after ${deliveries}`);
      },
    });
    await statuses.until("error");
    expect(subscription.stats()).toMatchObject({ acknowledged: 0, retrying: 1 });
    await statuses.until("dead-lettered");
    expect(stored).toEqual(["bad: no bad after 3"]);
    expect(subscription.stats()).toMatchObject({ acknowledged: 1, retrying: 0 });
    const cause = { error: { code: "NO_SERVER", cause: { message: "away" } } };
    expect(statuses.of("error")).toMatchObject([cause, cause]);
  });

  test("work without backoff: the server sends the message again", async () => {
    await publishAll(client, "c", ["bad"]);
    await client.subscribe("c", failing({ bad: 9 }), { ...exact, maxDeliver: 2, deadLetter: "dead", ackWait: 1_000 });
    await got.until(1);
    await server.advance(1_100);
    await statuses.until("dead-lettered");
    expect(got.all).toHaveLength(2);
  });

  test("a drain lets a dead letter that is on its way arrive", async () => {
    await publishAll(client, "c", ["bad"]);
    let stored: () => void = () => undefined;
    const subscription = await client.subscribe("c", failing({ bad: 9 }), {
      ...options,
      maxDeliver: 1,
      deadLetter: () => new Promise<void>((resolve) => (stored = () => resolve())),
    });
    await until("it is on its way", () => subscription.stats().retrying === 1);
    const draining = client.drain();
    stored();
    await draining;
    expect(statuses.of("dead-lettered")).toHaveLength(1);
    expect(subscription.stats().acknowledged).toBe(1);
  });
});

describe("nak and term", () => {
  test("win over what the handler returns, and return false once the message is acknowledged", async () => {
    await publishAll(client, "c", ["later", "never", "acked"]);
    let asked = 0;
    const answers: boolean[] = [];
    const subscription = await client.subscribe("c", (message) => {
      got.handler(message);
      if (message.text() === "later" && asked++ === 0) answers.push(message.nak(20));
      if (message.text() === "never") answers.push(message.term("no such thing"));
      if (message.text() !== "acked") return;
      message.ack();
      answers.push(message.nak(), message.term());
    }, { ...exact, deadLetter: "dead" });
    await got.until(4);
    await until("all is acknowledged", () => subscription.stats().acknowledged === 3);
    expect(answers).toEqual([true, true, false, false]);
    expect(got.texts).toEqual(["later", "never", "acked", "later"]);
    const [letter] = server.messages("dead");
    expect(readDeadLetter(letter!)).toMatchObject({ error: "no such thing", deliveries: 1 });
  });

  test("do nothing for a message whose next delivery is in hand: no two runs at once", async () => {
    await publishAll(client, "c", ["a"]);
    let end = (): void => undefined;
    const subscription = await client.subscribe("c", (message) => {
      got.handler(message);
      return got.all.length === 1 ? undefined : new Promise<void>((resolve) => (end = resolve));
    }, { ...exact, manualAck: true, ackWait: 1_000 });
    await got.until(1);
    await server.advance(1_100);
    await got.until(2);
    expect(got.all[0]!.nak(0)).toBe(false);
    await new Promise<void>((resolve) => setTimeout(resolve, 20));
    expect(subscription.stats()).toMatchObject({ running: 1, retrying: 0, handled: 1 });
    end();
  });

  test("refuse what cannot be: a term without dead letters, a delay that is none", async () => {
    const [message] = await read1();
    expect(() => message!.term()).toThrow(TypeError);
    expect(() => message!.nak(-1)).toThrow("delay must be a number of milliseconds");
  });

  async function read1(): Promise<Message[]> {
    await publishAll(client, "c", ["a"]);
    await client.subscribe("c", got.handler, { ...exact, manualAck: true });
    return got.until(1);
  }

  test("count in a loop over messages", async () => {
    await publishAll(client, "c", ["a", "b"]);
    const texts: string[] = [];
    for await (const message of await client.messages("c", { ...exact, ackWait: 30_000 })) {
      texts.push(message.text());
      if (texts.length === 1) message.nak(10);
      if (texts.length === 3) break;
    }
    expect(texts.sort()).toEqual(["a", "a", "b"]);
  });
});

describe("key", () => {
  test("has messages with one key handled one at a time and in order, others beside them", async () => {
    await publishAll(client, "c", ["a1", "a2", "b1", "a3", "b2"]);
    const running = new Set<string>();
    let most = 0;
    await client.subscribe("c", async (message) => {
      const key = message.text()[0]!;
      expect(running.has(key)).toBe(false);
      running.add(key);
      most = Math.max(most, running.size);
      await new Promise<void>((resolve) => setTimeout(resolve, 5));
      running.delete(key);
      got.handler(message);
    }, { ...exact, key: (message) => message.text()[0]!, concurrency: 10 });
    await got.until(5);
    expect(most).toBe(2);
    expect(got.texts.filter((text) => text.startsWith("a"))).toEqual(["a1", "a2", "a3"]);
    expect(got.texts.filter((text) => text.startsWith("b"))).toEqual(["b1", "b2"]);
  });

  test("holds back what is behind a retry, and nothing else; after a dead letter the key goes on", async () => {
    await publishAll(client, "c", ["a1", "a2", "b1"]);
    const subscription = await client.subscribe("c", failing({ a1: 9 }), {
      ...exact, key: (message) => message.text()[0]!, backoff: 30, maxDeliver: 2, deadLetter: "dead",
    });
    await got.until(4);
    expect(got.texts).toEqual(["a1", "b1", "a1", "a2"]);
    await until("all is acknowledged", () => subscription.stats().acknowledged === 3);
    expect(server.messages("dead").map(({ text }) => text)).toEqual(["a1"]);
  });

  test("handles the message that others wait for, also where these take all the room that there is", async () => {
    const own = await open(server, { maxWaitingBytes: 1_000 });
    await publishAll(client, "c", range(1, 8).map(String));
    let failures = 1;
    await own.subscribe("c", (message) => {
      got.handler(message);
      if (failures-- > 0) throw new Error("no 1");
    }, { ...exact, key: () => "k", ackWait: 1_000 });
    await until("all room is taken", () => own.stats().waitingBytes > 700);
    await until("all are handled", async () => {
      await server.advance(1_100);
      return got.all.length >= 9;
    });
    expect(got.texts).toEqual(["1", "1", "2", "3", "4", "5", "6", "7", "8"]);
    expect(own.stats().waitingBytes).toBe(0);
  });

  test("forgets at a reset also what had found no room and has come again: it holds no room any more", async () => {
    const own = await open(server, { maxWaitingBytes: 400, onStatus: statuses.onStatus });
    await publishAll(client, "other", ["o"]);
    await publishAll(client, "c", ["1", "2"]);
    const other = await own.subscribe("other", got.handler);
    other.pause();
    await client.publish("other", "takes room");
    await until("that waits", () => other.stats().waiting === 1);
    let end = (): void => undefined;
    const subscription = await own.subscribe("c", (message) => {
      got.handler(message);
      return message.text() === "1" ? new Promise<void>((resolve) => (end = resolve)) : undefined;
    }, { ...exact, ackWait: 1_000, key: () => "k" });
    await statuses.until("error");
    other.resume();
    await server.advance(1_100);
    await until("it came again", () => subscription.stats().waiting === 1);
    server.restart();
    server.publish("c", "new");
    await statuses.until("gap");
    end();
    await until("the new one is handled", () => got.texts.includes("new"));
    expect(subscription.stats()).toMatchObject({ waiting: 0, retrying: 0 });
    expect(own.stats().waitingBytes).toBe(0);
  });

  test("holds nothing back in a queue group for a failed message: another member may get that", async () => {
    const other = await open(server);
    const runs: string[] = [];
    const member = (name: string) => (message: Message): void => {
      runs.push(`${name}${message.text()}`);
      if (runs.length === 1) throw new Error("no 1");
    };
    const options: SubscribeOptions = { ...exact, queue: "q", key: () => "k", ackWait: 60_000 };
    await client.subscribe("c", member("a"), options);
    await other.subscribe("c", member("b"), options);
    await publishAll(client, "c", ["1"]);
    await until("it is run again, by the other", async () => {
      await server.advance(60_100);
      return runs.length === 2;
    });
    expect(runs.sort()).toEqual(["a1", "b1"]);
    await publishAll(client, "c", ["2", "3", "4", "5"]);
    await until("all are handled", () => runs.length === 6);
  });

  test("forgets in all members of a queue group what was to run again when the channel was reset", async () => {
    const options: SubscribeOptions = { ...exact, queue: "q", key: () => "k", backoff: 60_000, ackWait: 1_000 };
    const handler = failing({ 1: 9, 2: 9, 3: 9, 4: 9 });
    const members = [await client.subscribe("c", handler, options), await client.subscribe("c", handler, options)];
    await publishAll(client, "c", ["1", "2", "3", "4"]);
    await until("one waits in each", () => members.every((member) => member.stats().retrying === 1));
    server.restart();
    for (let i = 5; i <= 12; i++) server.publish("c", `${i}`);
    await statuses.until("gap");
    const acknowledged = (): number => members.reduce((sum, member) => sum + member.stats().acknowledged, 0);
    await until("the new ones are handled", () => acknowledged() === 8);
    expect(members.map((member) => member.stats().retrying)).toEqual([0, 0]);
    expect(client.stats().waitingBytes).toBe(0);
  });

  test("that throws is a failed handler", async () => {
    await publishAll(client, "c", ["a"]);
    let failures = 1;
    await client.subscribe("c", got.handler, {
      ...exact,
      backoff: 10,
      key: () => {
        if (failures-- > 0) throw new Error("no key");
        return "k";
      },
    });
    await got.until(1);
    expect(statuses.of("handler-failed")).toMatchObject([{ error: new Error("no key") }]);
  });

  test("with concurrency 1, backoff keeps all messages in order", async () => {
    await publishAll(client, "c", range(1, 5).map(String));
    await client.subscribe("c", failing({ 2: 2 }), { ...exact, backoff: 10, concurrency: 1, maxInFlight: 10 });
    await got.until(7);
    expect(got.texts).toEqual(["1", "2", "2", "2", "3", "4", "5"]);
  });
});

describe("pause and resume", () => {
  test("no handler starts in between; what is at hand waits, and a drain works", async () => {
    const subscription = await client.subscribe("c", got.handler, { startAt: "first", maxInFlight: 10 });
    subscription.pause();
    await publishAll(client, "c", ["a", "b"]);
    await until("they wait", () => subscription.stats().waiting === 2);
    expect(subscription.stats()).toMatchObject({ paused: true, handled: 0 });
    subscription.resume();
    expect(got.texts).toEqual(["a", "b"]);
    subscription.pause();
    await client.publish("c", "c");
    await until("it waits", () => subscription.stats().waiting === 1);
    expect((await client.drain()).unhandled.map((message) => message.text())).toEqual(["c"]);
  });
});

test.each<SubscribeOptions>([{}, { startAt: "first" }, { durable: "d" }, { startAt: "first", key: () => "k" }])(
  "what was sent into a dead link before anything had come is not overtaken where messages are handled in order (%j)",
  async (options) => {
    const concurrency = options.key === undefined ? 1 : 8;
    await client.subscribe("c", got.handler, { concurrency, maxInFlight: 10, ackWait: 60_000, ...options });
    const down = server.down();
    for (const text of ["1", "2"]) server.publish("c", text);
    await down;
    await server.up();
    await statuses.until("subscribed", 2);
    server.publish("c", "3");
    await got.until(3);
    expect(got.texts).toEqual(["1", "2", "3"]);
  },
);

test("nor where only messages had come that an earlier process of a durable had left", async () => {
  const inOrder = { concurrency: 1, maxInFlight: 10, ackWait: 60_000 };
  const options: SubscribeOptions = { ...inOrder, durable: "d", startAt: "first" };
  const before = await client.subscribe("c", () => new Promise(() => undefined), options);
  await publishAll(client, "c", ["1"]);
  await until("it runs", () => before.stats().running === 1);
  await before.close();
  await client.subscribe("c", got.handler, options);
  await got.until(1);
  const down = server.down();
  server.publish("c", "2");
  await down;
  await server.up();
  await statuses.until("subscribed", 3);
  server.publish("c", "3");
  await got.until(3);
  expect(got.texts).toEqual(["1", "2", "3"]);
});

test("what was missing in a pause is handled in order after it, whatever has come behind it", async () => {
  const subscription = await client.subscribe("c", got.handler, { startAt: "first", concurrency: 1, maxInFlight: 100 });
  await publishAll(client, "c", ["1"]);
  await got.until(1);
  subscription.pause();
  server.swallow("MsgProto");
  await publishAll(client, "c", ["2", "3"]);
  await until("the missing one was read from the channel", () => subscription.stats().waiting === 2);
  await publishAll(client, "c", ["4", "5", "6"]);
  await until("those behind it wait as well", () => subscription.stats().waiting === 5);
  subscription.resume();
  await got.until(6);
  expect(got.texts).toEqual(["1", "2", "3", "4", "5", "6"]);
});

describe("batches", () => {
  test("come full, or after the wait; all are acknowledged when the loop comes back, none if it is left", async () => {
    await publishAll(client, "c", range(1, 7).map(String));
    const sizes: number[] = [];
    const batches = await client.batches("c", { ...exact, size: 3, wait: 20 });
    for await (const batch of batches) {
      sizes.push(batch.length);
      if (sizes.length === 3) break;
      expect(batches.subscription.stats().acknowledged).toBe((sizes.length - 1) * 3);
    }
    expect(sizes).toEqual([3, 3, 1]);
    expect(batches.subscription.stats().acknowledged).toBe(6);
    expect(batches.subscription.state).toBe("closed");
  });

  test("let single messages be retried, and end with a drain", async () => {
    await publishAll(client, "c", ["a", "b"]);
    const seen: string[][] = [];
    const batches = await client.batches("c", { ...exact, size: 2, wait: 10 });
    const loop = (async () => {
      for await (const batch of batches) {
        seen.push(batch.map((message) => message.text()));
        if (seen.length === 1) batch[0]!.nak(5);
      }
    })();
    await until("it came again", () => seen.length === 2 && batches.subscription.stats().acknowledged === 2);
    const draining = client.drain({ timeout: 1_000 });
    await Promise.all([draining, loop]).catch(() => undefined);
    expect(seen).toEqual([["a", "b"], ["a"]]);
  });
});
