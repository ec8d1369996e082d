import { expect, test } from "vitest";
import type { Client, Message } from "../../src/index.ts";
import { fresh, open, publishAll, range, Received } from "../support/clients.ts";
import { subscriptionPages, untilAcknowledged } from "../support/monitor.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

describeWithServer("a queue group", () => {
  const server = serverForSuite();

  test.each(["in one client", "in two clients"])("shares the messages among its members: %s", async (where) => {
    const one = await open(server());
    const other = where === "in one client" ? one : await open(server());
    const channel = fresh("channel");
    const queue = fresh("queue");
    const gates: (() => void)[] = [];
    const held = (got: Received) => (message: Message): Promise<void> => {
      got.handler(message);
      return new Promise((resolve) => gates.push(resolve));
    };
    const got = [new Received(), new Received()];
    await one.subscribe(channel, held(got[0]!), { queue, maxInFlight: 1 });
    await other.subscribe(channel, held(got[1]!), { queue, maxInFlight: 1 });

    await publishAll(one, channel, ["1", "2"]);
    await until("each has one", () => got.every(({ all }) => all.length === 1));
    expect(got.flatMap(({ sequences }) => sequences).sort()).toEqual([1, 2]);

    await one.publishMany(channel, range(3, 100).map(String));
    await until("all are handled", () => {
      for (const gate of gates.splice(0)) gate();
      return got[0]!.all.length + got[1]!.all.length === 100;
    });
    for (const gate of gates.splice(0)) gate();
    await until("all are acknowledged", async () => {
      const pages = await subscriptionPages(server(), channel);
      return pages.every((page) => page.pending_count === 0);
    });
    const sequences = got.flatMap(({ sequences }) => sequences).sort((a, b) => a - b);
    expect(sequences).toEqual(range(1, 100));
    for (const { sequences } of got) expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
  });

  test("who is not in the group, or in another one, gets all messages", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const alone = new Received();
    const groups = [new Received(), new Received()];
    await client.subscribe(channel, alone.handler);
    for (const group of groups) {
      const queue = fresh("queue");
      await client.subscribe(channel, group.handler, { queue });
      await client.subscribe(channel, group.handler, { queue });
    }
    await client.publishMany(channel, range(1, 20).map(String));
    for (const got of [alone, ...groups]) {
      await got.until(20);
      expect(got.sequences.sort((a, b) => a - b)).toEqual(range(1, 20));
    }
  });

  test.each(["in one client", "in two clients"])("what one leaves unfinished goes to another: %s", async (where) => {
    const one = await open(server());
    const other = where === "in one client" ? one : await open(server());
    const channel = fresh("channel");
    const queue = fresh("queue");
    const left = new Received();
    const leaving = await one.subscribe(channel, left.handler, { queue, manualAck: true });
    await publishAll(one, channel, ["1", "2", "3"]);
    await left.until(3);
    left.all[1]!.ack();

    const got = new Received();
    await other.subscribe(channel, got.handler, { queue });
    await leaving.close();
    await got.until(2);
    expect(got.texts.sort()).toEqual(["1", "3"]);
    expect(got.all.every(({ redelivered }) => redelivered)).toBe(true);
    await until("the rest is acknowledged", async () => {
      const [page] = await subscriptionPages(server(), channel);
      return page?.pending_count === 0;
    });
  });

  test("who joins later gets no history, whatever its startAt", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const queue = fresh("queue");
    await publishAll(client, channel, ["1", "2"]);
    const first = new Received();
    const member = await client.subscribe(channel, first.handler, { queue, startAt: "first" });
    await first.until(2);
    await untilAcknowledged(server(), channel, 2);
    const second = new Received();
    await client.subscribe(channel, second.handler, { queue, startAt: "first" });
    await member.close();
    await client.publish(channel, "3");
    await second.until(1);
    expect(second.texts).toEqual(["3"]);
  });

  test("that is not durable is gone with its last member", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const queue = fresh("queue");
    await publishAll(client, channel, ["1"]);
    for (let round = 1; round <= 2; round++) {
      const got = new Received();
      const member = await client.subscribe(channel, got.handler, { queue, startAt: "first" });
      await got.until(1);
      expect(got.texts).toEqual(["1"]);
      await member.close();
      expect(await subscriptionPages(server(), channel)).toEqual([]);
    }
  });
});

describeWithServer("a durable queue group", () => {
  const server = serverForSuite();

  interface Group {
    readonly client: Client;
    readonly channel: string;
    readonly queue: string;
    readonly durable: string;
  }

  async function group(): Promise<Group> {
    const client = await open(server());
    return { client, channel: fresh("channel"), queue: fresh("queue"), durable: fresh("durable") };
  }

  test("goes on where it was after its last member has closed, for any client", async () => {
    const { client, channel, queue, durable } = await group();
    const first = new Received();
    const member = await client.subscribe(channel, first.handler, { queue, durable, manualAck: true });
    await publishAll(client, channel, ["1", "2"]);
    await first.until(2);
    first.all[0]!.ack();
    await member.close();
    await client.publish(channel, "3");

    const other = await open(server());
    const second = new Received();
    await other.subscribe(channel, second.handler, { queue, durable, startAt: "first" });
    await second.until(2);
    expect(second.texts).toEqual(["2", "3"]);
    await untilAcknowledged(server(), channel, 3);
  });

  test("may have several members in one client, which share the messages", async () => {
    const { client, channel, queue, durable } = await group();
    const got = [new Received(), new Received()];
    for (const { handler } of got) await client.subscribe(channel, handler, { queue, durable });
    await client.publishMany(channel, range(1, 50).map(String));
    await until("all are received", () => got[0]!.all.length + got[1]!.all.length === 50);
    expect(got.flatMap(({ sequences }) => sequences).sort((a, b) => a - b)).toEqual(range(1, 50));
  });

  test("stays when a member unsubscribes that is not the last, and is forgotten when the last one does", async () => {
    const { client, channel, queue, durable } = await group();
    const got = new Received();
    const one = await client.subscribe(channel, got.handler, { queue, durable });
    const other = await client.subscribe(channel, got.handler, { queue, durable });
    await client.publish(channel, "1");
    await got.until(1);
    await one.unsubscribe();
    await client.publish(channel, "2");
    await got.until(2);
    await other.unsubscribe();
    expect(await subscriptionPages(server(), channel)).toEqual([]);

    const anew = new Received();
    await client.subscribe(channel, anew.handler, { queue, durable, startAt: "first" });
    await anew.until(2);
    expect(anew.texts).toEqual(["1", "2"]);
  });
});
