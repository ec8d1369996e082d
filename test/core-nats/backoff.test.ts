import { expect, test } from "vitest";
import { backoff } from "../../src/core-nats/backoff.ts";

test("the first dial does not wait, and delays grow from 50 to 2 000 ms, with a quarter of jitter", () => {
  expect(backoff(0)).toBe(0);
  for (const [attempt, middle] of [[1, 50], [2, 100], [6, 1_600], [7, 2_000], [500, 2_000], [1e6, 2_000]] as const) {
    const delays = Array.from({ length: 50 }, () => backoff(attempt));
    for (const delay of delays) {
      expect(delay).toBeGreaterThanOrEqual(0.75 * middle);
      expect(delay).toBeLessThanOrEqual(1.25 * middle);
    }
    expect(new Set(delays).size).toBeGreaterThan(1);
  }
});
