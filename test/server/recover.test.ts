import { expect, test } from "vitest";
import { binaries, binaryPath } from "../support/binaries.ts";
import { fresh, open, proxyTo, publishAll, range, read, Received, Statuses } from "../support/clients.ts";
import { subscriptionPages, untilAcknowledged, type SubscriptionPage } from "../support/monitor.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, forSuite, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** Where the members of a queue group are. */
const PLACES = ["in one client", "in two clients"];

describeWithServer("after a link that was cut", () => {
  const server = serverForSuite();

  test("the session is resumed, not registered again, and all subscriptions go on", async () => {
    const proxy = await proxyTo(server());
    const statuses = new Statuses();
    const client = await open(proxy, { onStatus: statuses.onStatus });
    const channel = fresh("channel");
    const got = new Received();
    const subscription = await client.subscribe(channel, got.handler);
    await client.publish(channel, "1");
    await got.until(1);
    const before = await subscriptionPages(server(), channel);

    proxy.cut();
    await until("disconnected", () => client.state !== "registered");
    expect(client.ready).toBe(false);
    await client.publish(channel, "2");
    await got.until(2);
    await until("ready", () => client.ready);
    await untilAcknowledged(server(), channel, 2);

    expect(got.texts).toEqual(["1", "2"]);
    const after = await subscriptionPages(server(), channel);
    const inboxes = ({ inbox, ack_inbox }: SubscriptionPage): string => `${inbox} ${ack_inbox}`;
    expect(after.map(inboxes)).toEqual(before.map(inboxes));
    expect(statuses.all).toMatchObject([
      { type: "registered", resumed: false },
      { type: "subscribed", subscription, resumed: false },
      { type: "disconnected", error: { name: "StreamingError", code: "CONNECT_FAILED" } },
      { type: "registered", resumed: true },
      { type: "subscribed", subscription, resumed: true },
    ]);
  });

  test("acks made meanwhile are told at once, long before the messages would come again", async () => {
    const proxy = await proxyTo(server());
    const statuses = new Statuses();
    const client = await open(proxy, { onStatus: statuses.onStatus });
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, got.handler, { manualAck: true, ackWait: 600_000 });
    await publishAll(client, channel, ["1", "2"]);
    await got.until(2);
    proxy.refuse();
    proxy.cut();
    await statuses.until("disconnected");
    for (const message of got.all) expect(message.ack()).toBe(true);
    proxy.accept();
    await untilAcknowledged(server(), channel, 2);
    expect(got.sequences).toEqual([1, 2]);
  });

  test("what was published meanwhile arrives", async () => {
    const proxy = await proxyTo(server());
    const statuses = new Statuses();
    const client = await open(proxy, { onStatus: statuses.onStatus });
    const other = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, got.handler, { ackWait: 1_000 });
    proxy.refuse();
    proxy.cut();
    await statuses.until("disconnected");
    await publishAll(other, channel, ["1", "2"]);
    proxy.accept();
    // Sent into the dead link, they come again after ackWait.
    await untilAcknowledged(server(), channel, 2);
    expect(got.sequences).toEqual([1, 2]);
  });

  test("a publish sent and not confirmed rejects with UNCONFIRMED, or is sent again (resendUnconfirmed)", async () => {
    for (const resendUnconfirmed of [false, true]) {
      const proxy = await proxyTo(server());
      const client = await open(proxy, { resendUnconfirmed });
      const channel = fresh("channel");
      const eaten = proxy.eat(({ verb, subject }) => verb === "MSG" && subject.startsWith("_STAN.acks."), "down");
      const published = client.publish(channel, "once or twice").then(
        () => "stored",
        (error: { code: string }) => error.code,
      );
      await eaten;
      proxy.cut();
      expect(await published).toBe(resendUnconfirmed ? "stored" : "UNCONFIRMED");
      const times = resendUnconfirmed ? 2 : 1;
      const texts = (await read(client, channel, times)).map((message) => message.text());
      expect(texts).toEqual(Array(times).fill("once or twice"));
    }
  });

  test("again and again, nothing is lost and the order stays", async () => {
    const proxy = await proxyTo(server());
    const statuses = new Statuses();
    const client = await open(proxy, { resendUnconfirmed: true, onStatus: statuses.onStatus });
    const other = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, got.handler, { concurrency: 1, ackWait: 1_000 });
    for (let round = 1; round <= 5; round++) {
      const many = other.publishMany(channel, range(1, 20).map(String));
      proxy.cut();
      await many;
      await statuses.until("registered", round + 1);
    }
    await untilAcknowledged(server(), channel, 100);
    expect(got.sequences).toEqual(range(1, 100));
    expect(statuses.of("registered").slice(1).every(({ resumed }) => resumed)).toBe(true);
  });
});

for (const name of ["streaming", "oldStreaming"] as const) {
  const title = `after a restart of a server that keeps nothing, of version ${binaries[name].version}`;
  const start = (): Promise<RealServer> => RealServer.start({ binary: binaryPath(binaries[name]) });
  describeWithServer(title, () => restarts(forSuite(start)), [name]);
}

function restarts(server: () => RealServer): void {
  test("the client registers again, and publishers and every kind of subscription go on", async () => {
    const statuses = new Statuses();
    const client = await open(server(), { onStatus: statuses.onStatus });
    const kinds = {
      plain: {},
      "from the first": { startAt: "first" },
      durable: { durable: fresh("durable") },
      queue: { queue: fresh("queue") },
      "durable queue": { queue: fresh("queue"), durable: fresh("durable") },
    } as const;
    const subscribed = await Promise.all(
      Object.entries(kinds).map(async ([kind, options]) => {
        const channel = fresh("channel");
        const got = new Received();
        const subscription = await client.subscribe(channel, got.handler, options);
        await publishAll(client, channel, ["1", "2", "3"]);
        await got.until(3);
        return { kind, channel, got, subscription };
      }),
    );

    await server().down();
    await statuses.until("disconnected");
    expect(client.ready).toBe(false);
    const published = subscribed.map(({ channel }) => publishAll(client, channel, ["4", "5"]));
    await server().restart();
    await Promise.all(published);
    for (const { got, kind } of subscribed) {
      await got.until(5);
      expect(got.texts, kind).toEqual(["1", "2", "3", "4", "5"]);
      expect(got.sequences, kind).toEqual([1, 2, 3, 1, 2]);
    }
    for (const { channel } of subscribed) await untilAcknowledged(server(), channel, 2);
    await until("ready", () => client.ready);

    expect(statuses.of("registered").map(({ resumed }) => resumed)).toEqual([false, false]);
    for (const { subscription, kind } of subscribed) {
      const told = statuses.of("subscribed").filter((status) => status.subscription === subscription);
      expect(told.length, kind).toBeGreaterThanOrEqual(2);
      expect(told.slice(1).every(({ resumed }) => resumed), kind).toBe(true);
    }
    for (const { channel, got } of subscribed) {
      await client.publish(channel, "6");
      await got.until(6);
      expect(await subscriptionPages(server(), channel)).toHaveLength(1);
    }
  });

  test("a subscription that had received nothing yet gets what was stored before it was asked for again", async () => {
    const statuses = new Statuses();
    const client = await open(server(), { onStatus: statuses.onStatus });
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, got.handler);
    await server().restart();
    const other = await open(server());
    await other.publish(channel, "1");
    await got.until(1);
    await other.publish(channel, "2");
    await got.until(2);
    expect(got.texts).toEqual(["1", "2"]);
  });

  test.each(PLACES)("a queue group that was away until the new channel is longer reads all: %s", async (where) => {
    const proxy = await proxyTo(server());
    const one = await open(proxy);
    const two = where === "in one client" ? one : await open(proxy);
    const other = await open(server());
    const channel = fresh("channel");
    const queue = fresh("queue");
    const got = new Received();
    for (const client of [one, two]) await client.subscribe(channel, got.handler, { queue });
    await publishAll(other, channel, range(1, 9).map((n) => `old ${n}`));
    await got.until(9);
    proxy.refuse();
    proxy.cut();
    await server().restart();
    const texts = range(1, 20).map((n) => `new ${n}`);
    await publishAll(other, channel, texts);
    proxy.accept();
    await until("all is received", () => texts.every((text) => got.texts.includes(text)));
  });

  test("a loop over messages goes on", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const messages = await client.messages(channel);
    await client.publish(channel, "1");
    expect((await messages.next()).value?.text()).toBe("1");
    await server().restart();
    await client.publish(channel, "2");
    expect((await messages.next()).value?.text()).toBe("2");
    await messages.return();
  });
}
