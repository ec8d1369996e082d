import { expect, test } from "vitest";
import type { Message, SubscribeOptions } from "../../src/index.ts";
import { fresh, open, proxyTo, publishAll, range, Received } from "../support/clients.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

describeWithServer("with concurrency 1 and messages sent ahead", () => {
  const server = serverForSuite();
  const options: SubscribeOptions = { concurrency: 1, maxInFlight: 10, ackWait: 1_000 };

  test.each([{}, { durable: "d" }])("what is behind a failed message waits until it comes again: %o", async (more) => {
    const client = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    let failures = 0;
    const handler = (message: Message): void => {
      got.handler(message);
      if (message.sequence === 2 && failures++ < 2) throw new Error("not yet");
    };
    await client.subscribe(channel, handler, { ...options, ...more });
    await publishAll(client, channel, range(1, 6).map(String));
    await got.until(8);
    expect(got.sequences).toEqual([1, 2, 2, 2, 3, 4, 5, 6]);
  });

  const groups = [{ queue: "q" }, { queue: "q", durable: "d" }];
  test.each(groups)("a group of one is in order with maxInFlight 1 alone: %o", async (more) => {
    const client = await open(server());
    for (const maxInFlight of [1, 10]) {
      const channel = fresh("channel");
      const got = new Received();
      let failures = 0;
      await client.subscribe(channel, (message) => {
        got.handler(message);
        if (message.sequence === 2 && failures++ < 1) throw new Error("not yet");
      }, { ...options, ...more, maxInFlight });
      await publishAll(client, channel, range(1, 6).map(String));
      await got.until(7);
      expect(got.sequences).toEqual(maxInFlight === 1 ? [1, 2, 2, 3, 4, 5, 6] : [1, 2, 3, 4, 5, 6, 2]);
    }
  });

  test("also through an outage, and nothing is handled twice", async () => {
    const proxy = await proxyTo(server());
    const client = await open(proxy);
    const other = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    let failing = true;
    await client.subscribe(channel, (message) => {
      got.handler(message);
      if (message.sequence === 2 && failing) throw new Error("not yet");
    }, options);
    await publishAll(other, channel, range(1, 4).map(String));
    await until("the second has failed", () => got.sequences.includes(2));
    proxy.cut();
    await publishAll(other, channel, range(5, 8).map(String));
    await until("the client is back", () => client.ready);
    failing = false;
    await until("all is handled", () => got.sequences.at(-1) === 8);
    const { sequences } = got;
    expect(sequences.filter((sequence) => sequence !== 2)).toEqual([1, 3, 4, 5, 6, 7, 8]);
    expect(sequences.lastIndexOf(2)).toBe(sequences.indexOf(3) - 1);
  });

  test("one acknowledged before its handler failed holds back nothing, nor one that waits for its ack", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, (message) => {
      got.handler(message);
      if (message.sequence !== 2) return;
      message.ack();
      throw new Error("too late to count");
    }, { ...options, manualAck: true, ackWait: 30_000 });
    await publishAll(client, channel, range(1, 5).map(String));
    await got.until(5);
    expect(got.sequences).toEqual(range(1, 5));
  });

  test("one that failed and is acknowledged by hand after all lets the rest go on", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, (message) => {
      got.handler(message);
      if (message.sequence === 2) throw new Error("given up");
    }, { ...options, ackWait: 30_000 });
    await publishAll(client, channel, range(1, 4).map(String));
    await got.until(2);
    expect(got.sequences).toEqual([1, 2]);
    expect(got.all[1]!.ack()).toBe(true);
    await got.until(4);
    expect(got.sequences).toEqual(range(1, 4));
  });
});
