import { beforeEach, describe, expect, test } from "vitest";
import type { Client, Messages, SubscribeOptions } from "../../src/index.ts";
import type { StreamingServer } from "../../src/testing/server.ts";
import { embedded, open } from "../support/clients.ts";
import { until } from "../support/until.ts";

let server: StreamingServer;
let client: Client;

beforeEach(async () => {
  server = await embedded();
  client = await open(server, { clientId: "me" });
});

/** A loop over so many messages, by a durable: what it leaves is kept. */
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
      await expect(next).rejects.toMatchObject({ code: "REFUSED", message: "subscribe c: too many subscriptions per channel" });
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

test("leaving while disconnected does not wait for the server", async () => {
  const messages = await start({}, 1);
  await messages.next();
  await server.down();
  await until("the link is lost", () => client.state !== "registered");
  expect(await messages.return()).toEqual({ done: true, value: undefined });
  await server.up();
  await until("the server is told", () => server.subscriptions("c")[0]?.online === false);
});

test("wrong arguments reject before anything is sent", async () => {
  await expect(client.messages("a.*")).rejects.toBeInstanceOf(TypeError);
  await expect(client.messages("a", { ackWait: 1 })).rejects.toBeInstanceOf(TypeError);
  expect(server.subscriptions("a")).toEqual([]);
});
