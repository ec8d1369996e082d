import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { deferred } from "../../../src/core-nats/async.ts";
import type { Client, DrainReport, Message, Messages, SubscribeOptions } from "../../../src/index.ts";
import type { StreamingServer } from "../../../src/testing/server.ts";
import { embedded, open } from "../../support/clients.ts";
import { FakeStreaming, msgProto } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

let server: StreamingServer;
let client: Client;

beforeEach(async () => {
  server = await embedded();
  client = await open(server, { clientId: "me" });
});

/** A loop over `count` messages, by a durable: the server keeps what the loop leaves. */
async function start(options: SubscribeOptions = {}, count = 0): Promise<Messages> {
  const messages = await client.messages("c", { durable: "d", ...options });
  for (let sequence = 1; sequence <= count; sequence++) server.publish("c", `message ${sequence}`);
  return messages;
}

/** The sequences that are not acknowledged, once all that was said before has arrived. */
async function pending(): Promise<readonly number[]> {
  await server.idle();
  return server.subscriptions("c")[0]!.pending;
}

describe("a loop over messages", () => {
  test("gets them in order, and acknowledges each when it comes back for the next", async () => {
    const seen: number[] = [];
    for await (const message of await start({}, 5)) {
      seen.push(message.sequence);
      expect(await pending()).toEqual([1, 2, 3, 4, 5].slice(message.sequence - 1));
      if (message.sequence === 5) break;
    }
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(await pending()).toEqual([5]);
  });

  test("left by break leaves its message unacknowledged and closes the subscription", async () => {
    const messages = await start({}, 2);
    for await (const message of messages) if (message.sequence === 2) break;
    expect(messages.subscription.state).toBe("closed");
    expect(server.subscriptions("c")).toMatchObject([{ online: false, pending: [2] }]);
  });

  test("left by throw does so, too", async () => {
    const messages = await start({}, 2);
    const loop = async (): Promise<void> => {
      for await (const message of messages) if (message.sequence === 2) throw new RangeError("of the loop");
    };
    await expect(loop()).rejects.toThrow(new RangeError("of the loop"));
    expect(messages.subscription.state).toBe("closed");
    expect(server.subscriptions("c")).toMatchObject([{ online: false, pending: [2] }]);
  });

  test("with manualAck acknowledges nothing by itself", async () => {
    for await (const message of await start({ manualAck: true }, 4)) {
      if (message.sequence === 2) message.ack();
      if (message.sequence === 4) break;
    }
    expect(await pending()).toEqual([1, 3, 4]);
  });

  test("ends when the subscription is closed, and when the client is", async () => {
    for (const end of ["subscription", "client"] as const) {
      const messages = await start();
      const loop = (async () => {
        for await (const _ of messages) expect.fail("nothing was sent");
        return "ended";
      })();
      await (end === "client" ? client.close() : messages.subscription.close());
      expect(await loop).toBe("ended");
    }
  });

  test("throws when the server refuses the subscription for good, later on", async () => {
    const messages = await start();
    server.refuse("subscribe", "too many subscriptions per channel");
    server.forget("me");
    server.cut();
    for (const next of [messages.next(), messages.next()]) {
      const message = "subscribe c: too many subscriptions per channel";
      await expect(next).rejects.toMatchObject({ code: "REFUSED", message });
    }
    await expect(messages.next()).rejects.toMatchObject({ code: "REFUSED" });
  });
});

describe("next", () => {
  test("asked for several times at once gives as many messages, in order", async () => {
    const messages = await start();
    const wanted = [messages.next(), messages.next(), messages.next()];
    for (const text of ["1", "2", "3"]) server.publish("c", text);
    const first = await wanted[0];
    expect(first.value?.sequence).toBe(1);
    void messages.next();
    expect((await wanted[1]).value?.sequence).toBe(2);
    void messages.next();
    expect((await wanted[2]).value?.sequence).toBe(3);
  });

  test("after the end says that it is the end, as often as it is asked", async () => {
    const messages = await start({}, 1);
    expect((await messages.next()).value?.sequence).toBe(1);
    expect(await messages.return()).toEqual({ done: true, value: undefined });
    expect(await messages.next()).toEqual({ done: true, value: undefined });
    expect(await messages.return()).toEqual({ done: true, value: undefined });
    expect(await pending()).toEqual([1]);
  });

  test("that waits is answered when the loop is left elsewhere", async () => {
    const messages = await start();
    const waiting = messages.next();
    await messages.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });

  test("counts the message as done with only when it is asked after it was given", async () => {
    const messages = await start({}, 3);
    await messages.next();
    await messages.next();
    expect(await pending()).toEqual([2, 3]);
  });
});

describe("a drain", () => {
  /** Waits until `count` messages have come, taken by the loop or not. */
  const received = (messages: Messages, count: number): Promise<boolean> =>
    until(`${count} messages have come`, () => messages.subscription.stats().received === count);
  const sequences = (unhandled: readonly Message[]): number[] => unhandled.map(({ sequence }) => sequence);

  test.each(["subscription", "client"] as const)(
    "of the %s does not wait for a loop that has not begun; what came for it is unhandled, and comes again to others",
    async (what) => {
      const messages = await start({ queue: "q" }, 2);
      await received(messages, 2);
      const { unhandled } = await (what === "client" ? client : messages.subscription).drain({ timeout: 600_000 });
      expect(sequences(unhandled)).toEqual([1, 2]);
      expect(await pending()).toEqual([1, 2]);
      expect(await messages.next()).toEqual({ done: true, value: undefined });

      const other = await open(server);
      const again = await other.messages("c", { durable: "d", queue: "q" });
      expect((await again.next()).value).toMatchObject({ sequence: 1, redelivered: true });
    },
  );

  const kinds = ["subscription", "client"] as const;
  test.each(kinds)("of the %s waits until the loop comes back from its message, and ends the loop", async (what) => {
    const messages = await start({}, 3);
    await received(messages, 3);
    const seen: number[] = [];
    const steps: string[] = [];
    let drained: Promise<Pick<DrainReport, "unhandled">> | undefined;
    for await (const message of messages) {
      seen.push(message.sequence);
      drained = (what === "client" ? client : messages.subscription).drain({ timeout: 600_000 });
      void drained.then(() => steps.push("drained"));
      await client.publish("elsewhere", "the loop still works");
      steps.push("done");
    }
    expect(sequences((await drained!).unhandled)).toEqual([2, 3]);
    expect(steps).toEqual(["done", "drained"]);
    expect(seen).toEqual([1]);
    expect(await pending()).toEqual([2, 3]);
  });

  test("does not wait any longer once the loop is left, by whatever way", async () => {
    const messages = await start({}, 2);
    await received(messages, 2);
    expect((await messages.next()).value?.sequence).toBe(1);
    const drained = client.drain({ timeout: 600_000 });
    await messages.return();
    expect(sequences((await drained).unhandled)).toEqual([1, 2]);
    expect(await pending()).toEqual([1, 2]);
  });

  test("gives a loop that begins meanwhile nothing but its end", async () => {
    const messages = await start({}, 1);
    await received(messages, 1);
    const gate = deferred();
    const other = await client.subscribe("other", () => gate.promise);
    server.publish("other", "of a handler that runs");
    await until("the handler runs", () => other.stats().running === 1);
    const drained = client.drain({ timeout: 600_000 });
    const next = messages.next();
    gate.resolve();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(sequences((await drained).unhandled)).toEqual([1]);
  });

  test("that runs out of time reports the message that the loop has never come back from", async () => {
    const messages = await start({}, 2);
    await received(messages, 2);
    const { value } = await messages.next();
    expect((await client.drain({ timeout: 50 })).unhandled).toMatchObject([{ sequence: 1 }, { sequence: 2 }]);
    expect(value!.ack()).toBe(false);
  });
});

test("messages wait until the loop asks for them, and are handled once it has left them", async () => {
  const messages = await start({}, 2);
  const stats = () => messages.subscription.stats();
  await until("both have come", () => stats().received === 2);
  expect(stats()).toMatchObject({ waiting: 2, running: 0, handled: 0 });
  await messages.next();
  expect(stats()).toMatchObject({ waiting: 1, running: 1, handled: 0 });
  await messages.next();
  expect(stats()).toMatchObject({ waiting: 0, running: 1, handled: 1 });
  await messages.return();
  expect(stats()).toMatchObject({ waiting: 0, running: 0 });
});

test("a listener that hears of a message that comes often may call next() at once, and gets the next one", async () => {
  const fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
  const asked: Promise<IteratorResult<Message, undefined>>[] = [];
  const other = await open(fake, {
    onStatus: (status) => {
      if (status.type === "redelivered-often") asked.push(messages.next());
    },
  });
  const messages: Messages = await other.messages("fake");
  fake.deliver(msgProto({ sequence: 1n, redelivered: true, redeliveryCount: 4 }));
  fake.deliver(msgProto({ sequence: 2n }));
  await until("both have come", () => messages.subscription.stats().received === 2);
  expect((await messages.next()).value?.sequence).toBe(1);
  expect(messages.subscription.stats()).toMatchObject({ running: 1, waiting: 1 });
  void messages.next();
  expect((await asked[0])?.value?.sequence).toBe(2);
  expect(messages.subscription.stats()).toMatchObject({ running: 1, acknowledged: 1 });
});

test("leaving while disconnected does not wait for the server", async () => {
  const messages = await start({}, 1);
  await messages.next();
  await server.down();
  await until("the link is lost", () => client.state !== "registered");
  expect(await messages.return()).toEqual({ done: true, value: undefined });
  await server.up();
  await until("the server has closed it", () => server.subscriptions("c")[0]?.online === false);
});

test("leaving while nobody is in charge waits for an answer no longer than requestTimeout", async () => {
  const other = await open(server, { requestTimeout: 50 });
  const messages = await other.messages("c", { durable: "d" });
  server.publish("c", "one");
  for await (const _ of messages) {
    server.stepDown();
    break;
  }
  expect(messages.subscription.state).not.toBe("closed");
  expect(await messages.next()).toEqual({ done: true, value: undefined });
  server.lead();
  await messages.subscription.closed;
  await server.idle();
  expect(server.subscriptions("c")).toMatchObject([{ online: false, pending: [1] }]);
});

test("wrong arguments reject before anything is sent", async () => {
  await expect(client.messages("a.*")).rejects.toBeInstanceOf(TypeError);
  await expect(client.messages("a", { ackWait: 1 })).rejects.toBeInstanceOf(TypeError);
  expect(server.subscriptions("a")).toEqual([]);
});
