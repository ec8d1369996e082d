import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Client, Messages, SubscribeOptions } from "../../src/index.ts";
import { Ack } from "../../src/pb/protocol.ts";
import { open } from "../support/clients.ts";
import { FakeStreaming, msgProto, pingResponse, subjects, subscriptionResponse } from "../support/fake-streaming.ts";
import { until } from "../support/until.ts";

let fake: FakeStreaming;
let client: Client;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
  client = await open(fake);
});

async function start(options: SubscribeOptions = {}, count = 0): Promise<Messages> {
  const messages = await client.messages("fake", options);
  deliver(1, count);
  return messages;
}

function deliver(first: number, last: number): void {
  for (let sequence = first; sequence <= last; sequence++) fake.deliver(msgProto({ sequence: BigInt(sequence) }));
}

/** The sequences that were acknowledged, once all that was said before has arrived. */
async function acked(): Promise<number[]> {
  await client.close();
  return fake.others.map(({ payload }) => Number(Ack.read(payload).sequence));
}

describe("a loop over messages", () => {
  test("gets them in order, and acknowledges each when it comes back for the next", async () => {
    const seen: number[] = [];
    for await (const message of await start({}, 5)) {
      seen.push(message.sequence);
      if (message.sequence > 1) {
        await until("the one before is acknowledged", () => fake.others.length === message.sequence - 1);
      } else expect(fake.others).toEqual([]);
      if (message.sequence === 5) break;
    }
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    expect(await acked()).toEqual([1, 2, 3, 4]);
  });

  test("left by break leaves its message unacknowledged and closes the subscription", async () => {
    const messages = await start({}, 2);
    for await (const message of messages) if (message.sequence === 2) break;
    expect(messages.subscription.state).toBe("closed");
    expect(fake.leaves.map(({ subject }) => subject)).toEqual([subjects.subCloseRequests]);
    expect(await acked()).toEqual([1]);
  });

  test("left by throw does so, too", async () => {
    const messages = await start({}, 2);
    const loop = async (): Promise<void> => {
      for await (const message of messages) if (message.sequence === 2) throw new RangeError("of the loop");
    };
    await expect(loop()).rejects.toThrow(new RangeError("of the loop"));
    expect(messages.subscription.state).toBe("closed");
    expect(await acked()).toEqual([1]);
  });

  test("with manualAck acknowledges nothing by itself", async () => {
    for await (const message of await start({ manualAck: true }, 4)) {
      if (message.sequence === 2) message.ack();
      if (message.sequence === 4) break;
    }
    expect(await acked()).toEqual([2]);
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
    fake.onSubscribe = (ask) => ask.answer(subscriptionResponse("", "too many subscriptions per channel"));
    fake.onPing = (ask) => ask.answer(pingResponse("client has been replaced or is no longer registered"));
    fake.link.destroy();
    for (const next of [messages.next(), messages.next()]) {
      await expect(next).rejects.toMatchObject({ code: "REFUSED", message: "subscribe fake: too many subscriptions per channel" });
    }
    await expect(messages.next()).rejects.toMatchObject({ code: "REFUSED" });
  });
});

describe("next", () => {
  test("asked for several times at once gives as many messages, in order", async () => {
    const messages = await start();
    const wanted = [messages.next(), messages.next(), messages.next()];
    deliver(1, 3);
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
    expect(await acked()).toEqual([]);
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
    await until("the first is acknowledged", () => fake.others.length === 1);
    expect(await acked()).toEqual([1]);
  });
});

test("leaving while disconnected does not wait for the server", async () => {
  const messages = await start({}, 1);
  await messages.next();
  fake.onPing = () => {};
  fake.link.destroy();
  await until("the link is lost", () => client.state !== "registered");
  expect(await messages.return()).toEqual({ done: true, value: undefined });
  fake.onPing = (ask) => ask.answer(pingResponse());
  await until("the server is told", () => fake.leaves.length === 1);
});

test("wrong arguments reject before anything is sent", async () => {
  await expect(client.messages("a.*")).rejects.toBeInstanceOf(TypeError);
  await expect(client.messages("a", { ackWait: 1 })).rejects.toBeInstanceOf(TypeError);
  expect(fake.subscribes).toEqual([]);
});
