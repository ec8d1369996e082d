import { expect, test } from "vitest";
import { deferred } from "../../src/core-nats/async.ts";
import type { Message } from "../../src/index.ts";
import { fresh, open, proxyTo, publishAll, range, read, Received, Statuses } from "../support/clients.ts";
import { channelPage, knowsClient, subscriptionPages } from "../support/monitor.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** Whose `drain` a test calls. */
const SCOPES = ["client", "subscription"] as const;

/** A handler that never ends. */
function stuck(got: Received): (message: Message) => Promise<never> {
  return (message) => {
    got.handler(message);
    return new Promise(() => undefined);
  };
}

describeWithServer("draining", () => {
  const server = serverForSuite();

  test("a client: running handlers finish, publish and acknowledge, no new one starts, then it is closed", async () => {
    const clientId = fresh("client");
    const client = await open(server(), { clientId });
    const channel = fresh("channel");
    const results = fresh("channel");
    const durable = fresh("durable");
    const gate = deferred();
    const got = new Received();
    const handler = async (message: Message): Promise<void> => {
      got.handler(message);
      await gate.promise;
      await client.publish(results, `result of ${message.text()}`);
    };
    const subscription = await client.subscribe(channel, handler, { durable, concurrency: 2, maxInFlight: 10 });
    await publishAll(client, channel, ["1", "2", "3", "4"]);
    // The last one may come after the answer to its publish.
    await until("all have come", () => subscription.stats().received === 4);

    const draining = client.drain();
    await expect(client.subscribe(channel, () => undefined)).rejects.toMatchObject({ code: "CLOSED" });
    expect(client.ready).toBe(false);
    gate.resolve();
    const report = await draining;
    expect(report.unconfirmed).toBe(0);
    expect(report.unhandled.map((message) => message.text())).toEqual(["3", "4"]);
    expect(got.texts).toEqual(["1", "2"]);
    expect(client.state).toBe("closed");
    await client.closed;
    await expect(client.publish(channel, "x")).rejects.toMatchObject({ code: "CLOSED" });

    expect(await knowsClient(server(), clientId)).toBe(false);
    expect(await subscriptionPages(server(), channel)).toMatchObject([{ is_offline: true, pending_count: 2 }]);
    const reader = await open(server());
    const stored = (await read(reader, results, 2)).map((message) => message.text());
    expect(stored.sort()).toEqual(["result of 1", "result of 2"]);
  });

  test("a client settles all publishes that are under way", async () => {
    const client = await open(server(), { maxPubAcksInFlight: 10 });
    const channel = fresh("channel");
    const published = Promise.allSettled(range(1, 500).map((i) => client.publish(channel, String(i))));
    expect(await client.drain()).toEqual({ unhandled: [], unconfirmed: 0 });
    expect((await published).every(({ status }) => status === "fulfilled")).toBe(true);
    expect(await channelPage(server(), channel)).toMatchObject({ msgs: 500 });
  });

  test("a client whose handler does not end in time reports the message, whose ack returns false then", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, (message) => (got.handler(message), new Promise(() => undefined)));
    await client.publish(channel, "stuck");
    await got.until(1);
    const { unhandled } = await client.drain({ timeout: 50 });
    expect(unhandled).toEqual(got.all);
    expect(client.state).toBe("closed");
    expect(got.all[0]!.ack()).toBe(false);
  });

  test("a client reports publishes whose outcome stayed unknown, and rejects them", async () => {
    const proxy = await proxyTo(server());
    const client = await open(proxy);
    const channel = fresh("channel");
    await client.publish(channel, "1");
    const eaten = proxy.eat(({ verb, subject }) => verb === "MSG" && subject.startsWith("_STAN.acks."), "down");
    const lost = client.publish(channel, "2").catch((error: unknown) => error);
    await eaten;
    expect(await client.drain({ timeout: 50 })).toEqual({ unhandled: [], unconfirmed: 1 });
    expect(await lost).toMatchObject({ code: "UNCONFIRMED" });
  });

  test("a client while disconnected ends within its timeout", async () => {
    const proxy = await proxyTo(server());
    const statuses = new Statuses();
    const client = await open(proxy, { onStatus: statuses.onStatus });
    await client.subscribe(fresh("channel"), () => undefined);
    proxy.refuse();
    proxy.cut();
    await statuses.until("disconnected");
    const waiting = client.publish(fresh("channel"), "never sent").catch((error: unknown) => error);
    const { unhandled } = await client.drain({ timeout: 50 });
    expect(unhandled).toEqual([]);
    expect(client.state).toBe("closed");
    expect(await waiting).toMatchObject({ code: "CLOSED" });
  });

  test("a subscription: running handlers finish and acknowledge, and the client goes on", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const durable = fresh("durable");
    const gate = deferred();
    const got = new Received();
    const handler = (message: Message): Promise<void> => (got.handler(message), gate.promise);
    const subscription = await client.subscribe(channel, handler, { durable, concurrency: 1, maxInFlight: 3 });
    await publishAll(client, channel, ["1", "2", "3"]);
    await until("all have come", () => subscription.stats().received === 3);
    const draining = subscription.drain();
    gate.resolve();
    expect((await draining).unhandled.map((message) => message.text())).toEqual(["2", "3"]);
    expect(subscription.state).toBe("closed");
    expect(await subscriptionPages(server(), channel)).toMatchObject([{ is_offline: true, pending_count: 2 }]);

    const rest = new Received();
    await client.subscribe(channel, rest.handler, { durable });
    await rest.until(2);
    expect(rest.texts).toEqual(["2", "3"]);
  });

  test("twice at once is drained once, and both resolve", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const gate = deferred();
    const got = new Received();
    await client.subscribe(channel, (message) => (got.handler(message), gate.promise));
    await client.publish(channel, "x");
    await got.until(1);
    const both = [client.drain(), client.drain()];
    gate.resolve();
    expect(await Promise.all(both)).toEqual([{ unhandled: [], unconfirmed: 0 }, { unhandled: [], unconfirmed: 0 }]);
  });

  test("from within a handler works, too, and close() ends a drain that waits", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    let drained: Promise<unknown> | undefined;
    await client.subscribe(channel, () => {
      drained = client.drain();
    });
    await client.publish(channel, "x");
    await until("the drain is called", () => drained);
    await drained;
    expect(client.state).toBe("closed");

    const other = await open(server());
    const got = new Received();
    await other.subscribe(channel, stuck(got), { startAt: "first" });
    await got.until(1);
    const waiting = other.drain({ timeout: 60_000 });
    await other.close();
    expect((await waiting).unhandled).toEqual(got.all);
  });

  test.each(SCOPES)("awaited in a handler, a %s's ends with its timeout, and reports the message", async (whose) => {
    const clientId = fresh("client");
    const client = await open(server(), { clientId });
    const channel = fresh("channel");
    const reports: unknown[] = [];
    const handler = async ({ subscription }: Message): Promise<void> => {
      reports.push(await (whose === "client" ? client : subscription).drain({ timeout: 100 }));
    };
    const subscription = await client.subscribe(channel, handler, { durable: "d" });
    await client.publish(channel, "waits for itself");
    await until("the drain has ended", () => reports.length === 1);
    expect(reports).toMatchObject([{ unhandled: [{ sequence: 1 }] }]);
    await subscription.closed;
    await client.close();

    const again = await open(server(), { clientId });
    const got = new Received();
    await again.subscribe(channel, got.handler, { durable: "d" });
    expect((await got.until(1))[0]!.redelivered).toBe(true);
  });

  test("reports what failed before it, what fails during it, what nobody acknowledged: these come again", async () => {
    const clientId = fresh("client");
    const client = await open(server(), { clientId });
    const [channel, byHand] = [fresh("channel"), fresh("channel")];
    const durable = "d";
    const gate = deferred();
    const begun = new Received();
    const handler = async (message: Message): Promise<void> => {
      begun.handler(message);
      if (message.text() === "before") throw new Error("at once");
      await gate.promise;
      if (message.text() === "during") throw new Error("late");
    };
    await client.subscribe(channel, handler, { durable });
    const held = new Received();
    await client.subscribe(byHand, held.handler, { durable, manualAck: true });
    await publishAll(client, channel, ["before", "well", "during"]);
    await publishAll(client, byHand, ["held", "acknowledged", "acknowledged late"]);
    await begun.until(3);
    await held.until(3);
    held.all[1]!.ack();
    const draining = client.drain();
    held.all[2]!.ack();
    gate.resolve();
    const texts = (messages: readonly Message[]): string[] => messages.map((message) => message.text());
    expect(texts((await draining).unhandled)).toEqual(["before", "during", "held"]);

    const next = await open(server(), { clientId });
    const again = new Received();
    for (const each of [channel, byHand]) {
      await next.subscribe(each, again.handler, { durable });
      await next.publish(each, "end");
    }
    await again.until(5);
    expect(again.texts.sort()).toEqual(["before", "during", "end", "end", "held"]);
  });

  test("reports a failed message no more once it was handled well", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const got = new Received();
    await client.subscribe(channel, (message) => {
      got.handler(message);
      if (got.all.length === 1) throw new Error("once");
    }, { ackWait: 1_000 });
    await client.publish(channel, "x");
    await got.until(1);
    expect(client.stats().waitingBytes).toBeGreaterThan(0);
    await got.until(2);
    expect(client.stats().waitingBytes).toBe(0);
    expect((await client.drain()).unhandled).toEqual([]);
  });

  test("a message runs from the call of its handler on", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const seen: number[] = [];
    const handler = ({ subscription }: Message): void => void seen.push(subscription.stats().running);
    const subscription = await client.subscribe(channel, handler);
    await client.publish(channel, "x");
    await until("it is handled", () => seen.length === 1);
    expect(seen).toEqual([1]);
    expect(subscription.stats().running).toBe(0);
  });

  test.each(["drain", "close"] as const)("a %s aborts the signals of the messages whose handlers run", async (how) => {
    for (const whose of SCOPES) {
      const client = await open(server());
      const channel = fresh("channel");
      const got = new Received();
      const reasons: unknown[] = [];
      const handler = (message: Message): Promise<void> => {
        got.handler(message);
        return new Promise((resolve) => {
          message.signal.addEventListener("abort", () => {
            reasons.push(message.signal.reason);
            resolve();
          });
        });
      };
      const subscription = await client.subscribe(channel, handler);
      await publishAll(client, channel, ["1", "2"]);
      await got.until(2);
      expect(got.all.map(({ signal }) => signal.aborted)).toEqual([false, false]);
      await (whose === "client" ? client : subscription)[how]();
      expect(reasons).toMatchObject([{ code: "CLOSED" }, { code: "CLOSED" }]);
      expect(got.all.map(({ signal }) => signal.aborted)).toEqual([true, true]);
    }
  });

  test("an aborted signal ends the wait of a drain, whose report is true", async () => {
    for (const whose of SCOPES) {
      const client = await open(server());
      const channel = fresh("channel");
      const got = new Received();
      const subscription = await client.subscribe(channel, stuck(got));
      await client.publish(channel, "stuck");
      await got.until(1);
      const controller = new AbortController();
      const { signal } = controller;
      const draining = (whose === "client" ? client : subscription).drain({ timeout: 60_000, signal });
      controller.abort();
      expect((await draining).unhandled).toEqual(got.all);
      expect(subscription.state).toBe("closed");
    }
  });

  test("a durable that drains in an outage can be subscribed to again: the new one waits for the old one", async () => {
    for (const how of ["drain", "close", "unsubscribe"] as const) {
      const proxy = await proxyTo(server());
      const client = await open(proxy, { requestTimeout: 100 });
      const channel = fresh("channel");
      const old = await client.subscribe(channel, () => undefined, { durable: "d", startAt: "first" });
      await client.publish(channel, "1");
      await until("it is acknowledged", async () => {
        const [page] = await subscriptionPages(server(), channel);
        return page?.pending_count === 0;
      });
      const third = client.subscribe(channel, () => undefined, { durable: "d" });
      await expect(third).rejects.toMatchObject({ code: "REFUSED" });
      proxy.refuse();
      proxy.cut();
      await until("the link is lost", () => !client.ready);
      if (how === "drain") await old.drain();
      else void old[how]();
      const got = new Received();
      const subscribing = client.subscribe(channel, got.handler, { durable: "d", startAt: "first" });
      const controller = new AbortController();
      const given = client.subscribe(channel, got.handler, { durable: "d", signal: controller.signal });
      controller.abort();
      await expect(given).rejects.toMatchObject({ code: "ABORTED" });
      expect(old.state).not.toBe("closed");
      proxy.accept();
      await subscribing;
      expect(old.state).toBe("closed");
      await client.publish(channel, "2");
      await until("all has come", () => got.texts.includes("2"));
      expect(got.texts).toEqual(how === "unsubscribe" ? ["1", "2"] : ["2"]);
    }
  });

  test("a wrong timeout rejects with a TypeError, and nothing is drained", async () => {
    const client = await open(server());
    const noOptions: unknown = 500;
    for (const wrong of [{ timeout: -1 }, noOptions as object]) {
      await expect(client.drain(wrong)).rejects.toBeInstanceOf(TypeError);
    }
    const subscription = await client.subscribe(fresh("channel"), () => undefined);
    await expect(subscription.drain({ timeout: 0 })).rejects.toBeInstanceOf(TypeError);
    expect(subscription.state).toBe("subscribed");
    expect(client.ready).toBe(true);
  });
});
