import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { RetryTimer } from "../../../src/streaming/publishing/retry-timer.ts";

vi.mock("../../../src/core-nats/clock.ts", () => import("../../support/fakeable-clock.ts"));

let timer: RetryTimer;
let due: number;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  due = 0;
  timer = new RetryTimer(() => void due++);
});
afterEach(() => void vi.useRealTimers());

/** Starts the timer, which must be due after exactly this time. */
function expectDelay(delay: number): void {
  due = 0;
  timer.start();
  vi.advanceTimersByTime(delay - 1);
  expect(due).toBe(0);
  vi.advanceTimersByTime(1);
  expect(due).toBe(1);
}

test("is due after 10 ms, then less and less often, at last every 250 ms, and after a reset as at first", () => {
  const delays = [10, 13, 17, 22, 28, 35, 44, 55, 69, 87, 109, 137, 172, 215, 250, 250];
  for (const delay of delays) expectDelay(delay);
  timer.reset();
  expectDelay(10);
  expectDelay(13);
});

test("a start while it runs changes nothing", () => {
  timer.start();
  vi.advanceTimersByTime(9);
  timer.start();
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(1);
  expect(due).toBe(1);
  expect(vi.getTimerCount()).toBe(0);
});

test("is not due once it is stopped, and due at once where it is made so", () => {
  timer.start();
  timer.stop();
  expect(vi.getTimerCount()).toBe(0);
  timer.start();
  timer.expire();
  expect(due).toBe(1);
  expect(vi.getTimerCount()).toBe(0);
});
