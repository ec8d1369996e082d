import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { Stopwatch } from "../../../src/streaming/session/stopwatch.ts";
import { open, Statuses } from "../../support/clients.ts";
import { FakeStreaming, pingResponse } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

vi.mock("../../../src/core-nats/clock.ts", () => import("../../support/fakeable-clock.ts"));

const YEAR = 365 * 24 * 3_600_000;
const HOUR = 3_600_000;

let monotonic: number;
let wall: number;

beforeEach(() => {
  monotonic = 1_000;
  wall = 1_700_000_000_000;
  vi.spyOn(performance, "now").mockImplementation(() => monotonic);
  vi.spyOn(Date, "now").mockImplementation(() => wall);
});
afterEach(() => void vi.restoreAllMocks());

/** So much time passes, and the wall clock is set besides. */
function pass(milliseconds: number, set = 0): void {
  monotonic += milliseconds;
  wall += milliseconds + set;
}

test("what both clocks say is true", () => {
  const watch = new Stopwatch();
  pass(5_000);
  expect(watch.now).toBe(5_000);
  watch.alive();
  pass(3_000);
  expect(watch.now).toBe(8_000);
});

test("a wall clock that is set back changes nothing", () => {
  const watch = new Stopwatch();
  pass(5_000, -YEAR);
  expect(watch.now).toBe(5_000);
  watch.alive();
  pass(1_000);
  expect(watch.now).toBe(6_000);
});

test("a machine that was suspended has let time pass, if it does not know its session any more", () => {
  const watch = new Stopwatch();
  pass(1_000, 30 * 24 * HOUR);
  expect(watch.now).toBe(1_000 + 30 * 24 * HOUR);
  watch.renewed();
  pass(1_000);
  expect(watch.now).toBe(2_000 + 30 * 24 * HOUR);
});

test("a clock that is set forward by a year counts for an hour while the session lives", () => {
  const watch = new Stopwatch();
  pass(5_000, YEAR);
  watch.alive();
  expect(watch.now).toBe(5_000 + HOUR);
  pass(5_000);
  watch.renewed();
  expect(watch.now).toBe(10_000 + HOUR);
});

test("a subscription to new messages, on a device whose clock is set, does not begin at the first one", async () => {
  vi.restoreAllMocks();
  const fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
  const statuses = new Statuses();
  const client = await open(fake, { onStatus: statuses.onStatus, pingInterval: 1_000 });
  await client.subscribe("fake", () => undefined);
  const now = Date.now;
  vi.spyOn(Date, "now").mockImplementation(() => now() + YEAR);
  const pings = fake.pings.length;
  await until("pings were answered since", () => fake.pings.length > pings + 1);
  fake.onPing = (ask) => ask.answer(
    pingResponse(fake.registrations.length === 1 ? "client has been replaced or is no longer registered" : ""),
  );
  fake.link.destroy();
  await statuses.until("subscribed", 2);
  const { startTimeDelta } = fake.subscribes.at(-1)!.message;
  expect(Number(startTimeDelta) / 1e6).toBeLessThan(2 * HOUR);
});
