import { expect, test } from "vitest";
import type { Message } from "../../src/index.ts";
import { fresh, open, publishAll } from "../support/clients.ts";
import { subscriptionPages, untilAcknowledged } from "../support/monitor.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

describeWithServer("looping over messages", () => {
  const server = serverForSuite();

  test("gives each message once and in order, and acknowledges it when the loop comes back", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    await publishAll(client, channel, ["a", "b", "c"]);
    const messages = await client.messages(channel, { startAt: "first" });
    const seen: string[] = [];
    for await (const message of messages) {
      seen.push(message.text());
      if (seen.length === 3) {
        // The loop is still at the last one.
        await until("two acks are heard", async () => {
          const [page] = await subscriptionPages(server(), channel);
          return page?.pending_count === 1;
        });
        break;
      }
    }
    expect(seen).toEqual(["a", "b", "c"]);
  });

  test("waits for messages that come later, and acknowledges the last one when it waits for the next", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const messages = await client.messages(channel);
    const seen: string[] = [];
    const loop = (async () => {
      for await (const message of messages) seen.push(message.text());
    })();
    for (const text of ["a", "b"]) {
      await client.publish(channel, text);
      await until(`${text} is seen`, () => seen.at(-1) === text);
    }
    await untilAcknowledged(server(), channel, 2);
    await messages.subscription.close();
    await loop;
    expect(seen).toEqual(["a", "b"]);
  });

  test.each(["break", "throw", "return"] as const)(
    "leaving by %s closes the subscription and leaves the message for the next time, but not those before",
    async (how) => {
      const client = await open(server());
      const channel = fresh("channel");
      const durable = fresh("durable");
      await publishAll(client, channel, ["a", "b", "c", "d"]);
      const seen: string[] = [];
      const messages = await client.messages(channel, { startAt: "first", durable });
      const loop = async (): Promise<void> => {
        for await (const message of messages) {
          seen.push(message.text());
          if (message.text() !== "c") continue;
          if (how === "break") break;
          if (how === "return") return;
          throw new Error("thrown in the loop");
        }
      };
      if (how === "throw") await expect(loop()).rejects.toThrow("thrown in the loop");
      else await loop();
      expect(seen).toEqual(["a", "b", "c"]);
      expect(messages.subscription.state).toBe("closed");
      expect(await subscriptionPages(server(), channel)).toMatchObject([{ is_offline: true, pending_count: 2 }]);

      const again = await client.messages(channel, { durable });
      const rest: Message[] = [];
      for await (const message of again) {
        rest.push(message);
        if (rest.length === 2) break;
      }
      expect(rest.map((message) => message.text())).toEqual(["c", "d"]);
      expect(rest[0]!.redelivered).toBe(true);
    },
  );

  test("with manualAck nothing is acknowledged but by ack(), so that batches can be collected", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const durable = fresh("durable");
    await publishAll(client, channel, ["a", "b", "c", "d", "e"]);
    const batch: Message[] = [];
    const pending = async (): Promise<number | undefined> => {
      const [page] = await subscriptionPages(server(), channel);
      return page?.pending_count;
    };
    for await (const message of await client.messages(channel, { startAt: "first", durable, manualAck: true })) {
      batch.push(message);
      if (batch.length < 3) continue;
      expect(await pending()).toBe(5);
      for (const collected of batch) expect(collected.ack()).toBe(true);
      await until("the batch is acknowledged", async () => (await pending()) === 2);
      break;
    }
    const rest: string[] = [];
    for await (const message of await client.messages(channel, { durable, manualAck: true })) {
      rest.push(message.text());
      if (rest.length === 2) break;
    }
    expect(rest).toEqual(["d", "e"]);
  });

  test("with maxInFlight 1, one that was not acknowledged comes again before any other", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    await publishAll(client, channel, ["a", "b"]);
    const seen: string[] = [];
    const options = { startAt: "first", maxInFlight: 1, manualAck: true, ackWait: 1_000 } as const;
    for await (const message of await client.messages(channel, options)) {
      seen.push(`${message.text()} ${message.redeliveryCount}`);
      if (message.redelivered || message.text() === "b") message.ack();
      if (seen.length === 3) break;
    }
    expect(seen).toEqual(["a 0", "a 1", "b 0"]);
  });

  test("closing the subscription, or the client, ends the loop", async () => {
    for (const end of ["subscription", "client"] as const) {
      const client = await open(server());
      const messages = await client.messages(fresh("channel"));
      const next = messages.next();
      if (end === "subscription") await messages.subscription.close();
      else await client.close();
      expect(await next).toEqual({ done: true, value: undefined });
      expect(await messages.next()).toEqual({ done: true, value: undefined });
    }
  });

  test("while the loop is at a message, drain() waits for it, and its ack counts", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const durable = fresh("durable");
    await publishAll(client, channel, ["a", "b"]);
    const messages = await client.messages(channel, { startAt: "first", durable });
    const first = await messages.next();
    expect(first.value?.text()).toBe("a");
    // A drain reports what has come.
    await until("b has come, too", () => messages.subscription.stats().received === 2);
    const drained = messages.subscription.drain();
    expect(await messages.next()).toEqual({ done: true, value: undefined });
    expect((await drained).unhandled.map((message) => message.text())).toEqual(["b"]);
    expect(await subscriptionPages(server(), channel)).toMatchObject([{ is_offline: true, pending_count: 1 }]);
  });
});
