import { expect, test } from "vitest";
import { checkConnectOptions } from "../../../src/streaming/connect-options.ts";
import { StreamingError } from "../../../src/streaming/errors.ts";
import type { StreamingErrorCode } from "../../../src/streaming/errors.ts";
import { LONG_DELAY, dialDelay, registerDelay } from "../../../src/streaming/session/delays.ts";

function settingsWith(reconnectDelay?: (attempt: number) => number) {
  return checkConnectOptions({ clusterId: "fake", clientId: "me", reconnectDelay }).settings;
}

test("a dial waits as long as the caller says", () => {
  expect(dialDelay(settingsWith((attempt) => attempt * 7), 3)).toBe(21);
});

test("a dial waits 2 seconds where the caller's function fails or returns no delay", () => {
  for (const delay of [NaN, -1, Infinity, 2 ** 31]) expect(dialDelay(settingsWith(() => delay), 0)).toBe(2_000);
  const failing = (): number => {
    throw new Error("of the caller");
  };
  expect(dialDelay(settingsWith(failing), 0)).toBe(2_000);
});

test("by default a dial waits by the back-off", () => {
  const settings = settingsWith();
  expect(dialDelay(settings, 0)).toBe(0);
  expect(dialDelay(settings, 500)).toBeGreaterThanOrEqual(1_500);
});

test.each([
  ["NO_SERVER", 1, true, 250],
  ["CONNECT_FAILED", 1, true, 250],
  ["REFUSED", 1, true, LONG_DELAY],
  ["NOT_PERMITTED", 1, false, LONG_DELAY],
  ["CLIENT_ID_IN_USE", 11, true, LONG_DELAY],
  ["CLIENT_ID_IN_USE", 11, false, 2_000],
] as const)("after %s, failure %d, registered before: %s, a registration waits %d ms", (code, tries, ever, delay) => {
  expect(registerDelay(new StreamingError(code satisfies StreamingErrorCode, "x"), tries, ever)).toBe(delay);
});

test("a client ID that is in use is tried ten times at short intervals: its owner may be about to be forgotten", () => {
  for (const tries of [1, 10]) {
    const delay = registerDelay(new StreamingError("CLIENT_ID_IN_USE", "x"), tries, true);
    expect(delay).toBeGreaterThanOrEqual(600);
    expect(delay).toBeLessThanOrEqual(900);
  }
});
