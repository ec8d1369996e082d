import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Watchdog, type WatchedSubscription } from "../../../src/streaming/subscribing/watchdog.ts";
import { range } from "../../support/clients.ts";
import { Forgetful } from "../../support/forgetful.ts";
import { until } from "../../support/until.ts";

vi.mock("../../../src/core-nats/clock.ts", () => import("../../support/fakeable-clock.ts"));

describe.concurrent("a silent subscription", () => {
  test("gets one peek after an outage, if it is healthy, and none without an outage", () =>
    Forgetful.run({}, async (server) => {
      server.deliver(1, 2);
      await server.received.until(2);
      await server.cut();
      await until("it gets a peek", () => server.peeks.length > 0);
      const pings = server.fake.pings.length;
      await until("many pings later", () => server.fake.pings.length > pings + 6);
      expect(server.peeks).toHaveLength(1);
      expect(server.asks).toHaveLength(1);
    }));

  test("is requested again when this client has published a lot to its channel, and it got nothing", () =>
    Forgetful.run({}, async (server) => {
      server.deliver(1);
      await server.received.until(1);
      server.stored.add(2);
      await server.client.publishMany("fake", range(1, 300).map(String));
      const [, again] = await server.statuses.until("subscribed", 2);
      expect(again!.reason).toBe("nothing came for 5 s, and the channel has messages up to 2");
    }));

  test("that has received a message after the outage gets no peek", () =>
    Forgetful.run({}, async (server) => {
      server.deliver(1);
      await server.received.until(1);
      await server.cut();
      server.deliver(2);
      await server.received.until(2);
      const pings = server.fake.pings.length;
      await until("many pings later", () => server.fake.pings.length > pings + 7);
      expect(server.peeks).toEqual([]);
    }));
});

describe("a watchdog", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
  afterEach(() => void vi.useRealTimers());

  class Watched implements WatchedSubscription {
    readonly subject = "c";
    readonly patience = 5_000;
    received = 0;
    idle = true;
    silences = 0;

    silent(): void {
      this.silences++;
    }
  }

  test("reports a subscription once that receives nothing for as long as a message may take", () => {
    const [watchdog, subscription] = [new Watchdog(), new Watched()];
    watchdog.watch(subscription);
    vi.advanceTimersByTime(4_999);
    expect(subscription.silences).toBe(0);
    vi.advanceTimersByTime(100_000);
    expect(subscription.silences).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("counts from the end of the last handler, and drops a subscription that receives a message", () => {
    const watchdog = new Watchdog();
    const [busy, fed, gone] = [new Watched(), new Watched(), new Watched()];
    for (const subscription of [busy, fed, gone]) watchdog.watch(subscription);
    busy.idle = false;
    fed.received++;
    watchdog.unwatch(gone);
    vi.advanceTimersByTime(20_000);
    expect([busy, fed, gone].map(({ silences }) => silences)).toEqual([0, 0, 0]);
    busy.idle = true;
    vi.advanceTimersByTime(4_999);
    expect(busy.silences).toBe(0);
    vi.advanceTimersByTime(1_000);
    expect([busy, fed, gone].map(({ silences }) => silences)).toEqual([1, 0, 0]);
  });

  test("watches a subscription with many new messages only if it is idle, and once", () => {
    const [watchdog, subscription] = [new Watchdog(), new Watched()];
    subscription.idle = false;
    watchdog.watchIfIdle(subscription);
    expect(vi.getTimerCount()).toBe(0);
    subscription.idle = true;
    watchdog.watchIfIdle(subscription);
    vi.advanceTimersByTime(3_000);
    watchdog.watchIfIdle(subscription);
    vi.advanceTimersByTime(2_000);
    expect(subscription.silences).toBe(1);
  });
});
