import { expect, test } from "vitest";
import { fresh, open, publishAll, Received } from "../support/clients.ts";
import { subscriptionPages, untilAcknowledged } from "../support/monitor.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";

describeWithServer("a durable subscription", () => {
  const server = serverForSuite();

  test("goes on where it was after close(), with what was published meanwhile, and ignores startAt", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const durable = fresh("durable");
    await publishAll(client, channel, ["1", "2"]);
    const first = new Received();
    const subscription = await client.subscribe(channel, first.handler, { durable, startAt: "first" });
    await first.until(2);
    await subscription.close();
    expect(await subscriptionPages(server(), channel)).toMatchObject([
      { durable_name: durable, is_offline: true, last_sent: 2, pending_count: 0 },
    ]);

    await publishAll(client, channel, ["3", "4"]);
    const second = new Received();
    await client.subscribe(channel, second.handler, { durable, startAt: "first" });
    await client.publish(channel, "5");
    await second.until(3);
    expect(second.texts).toEqual(["3", "4", "5"]);
    await untilAcknowledged(server(), channel, 5);
  });

  test("goes on in another process of the same client ID, after the client has closed", async () => {
    const clientId = fresh("client");
    const channel = fresh("channel");
    const durable = fresh("durable");
    const before = await open(server(), { clientId });
    const first = new Received();
    await before.subscribe(channel, first.handler, { durable });
    await before.publish(channel, "1");
    await first.until(1);
    await before.close();

    const other = await open(server());
    await other.publish(channel, "2");
    const after = await open(server(), { clientId });
    const second = new Received();
    await after.subscribe(channel, second.handler, { durable });
    await second.until(1);
    expect(second.texts).toEqual(["2"]);
  });

  test("what was not acknowledged when it closed comes again first", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const durable = fresh("durable");
    const first = new Received();
    const subscription = await client.subscribe(channel, first.handler, { durable, manualAck: true });
    await publishAll(client, channel, ["1", "2", "3"]);
    await first.until(3);
    first.all[1]!.ack();
    await subscription.close();

    const second = new Received();
    await client.subscribe(channel, second.handler, { durable });
    await client.publish(channel, "4");
    await second.until(3);
    expect(second.texts).toEqual(["1", "3", "4"]);
    expect(second.all.map(({ redelivered }) => redelivered)).toEqual([true, true, false]);
    await untilAcknowledged(server(), channel, 4);
  });

  test("is forgotten after unsubscribe(): the same name begins anew", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const durable = fresh("durable");
    await publishAll(client, channel, ["1", "2"]);
    const first = new Received();
    const subscription = await client.subscribe(channel, first.handler, { durable, startAt: "first" });
    await first.until(2);
    await subscription.unsubscribe();
    expect(subscription.state).toBe("closed");
    expect(await subscriptionPages(server(), channel)).toEqual([]);

    const second = new Received();
    await client.subscribe(channel, second.handler, { durable, startAt: "first" });
    await second.until(2);
    expect(second.texts).toEqual(["1", "2"]);
  });

  test("a second one of the same client, channel and name is refused at once, and the first goes on", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const durable = fresh("durable");
    const got = new Received();
    const subscription = await client.subscribe(channel, got.handler, { durable });
    await expect(client.subscribe(channel, () => undefined, { durable })).rejects.toMatchObject({
      name: "StreamingError",
      code: "REFUSED",
      message: expect.stringContaining(durable),
    });
    // Other channels, names and clients are no matter.
    const others = [
      await client.subscribe(fresh("channel"), () => undefined, { durable }),
      await client.subscribe(channel, () => undefined, { durable: fresh("durable") }),
      await client.subscribe(channel, () => undefined, { durable, queue: fresh("queue") }),
      await (await open(server())).subscribe(channel, () => undefined, { durable }),
    ];
    expect(others.map(({ state }) => state)).toEqual(["subscribed", "subscribed", "subscribed", "subscribed"]);
    await client.publish(channel, "x");
    await got.until(1);

    await subscription.close();
    await client.subscribe(channel, got.handler, { durable });
    await client.publish(channel, "y");
    await got.until(2);
    expect(got.texts).toEqual(["x", "y"]);
  });

  test("asked for twice before the first is in place, one is refused", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const durable = fresh("durable");
    const both = await Promise.allSettled([1, 2].map(() => client.subscribe(channel, () => undefined, { durable })));
    expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  });
});
