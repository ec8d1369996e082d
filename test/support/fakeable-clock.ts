// Stands in for the library's clock in tests that pass the time themselves: what vitest makes fake is fake here, too.
// `vi.mock("../../src/core-nats/clock.ts", () => import("../support/fakeable-clock.ts"))` at the head of a test.

export const setTimeout: typeof globalThis.setTimeout = (callback, milliseconds) =>
  globalThis.setTimeout(callback, milliseconds);
export const clearTimeout: typeof globalThis.clearTimeout = (timer) => globalThis.clearTimeout(timer);
export const setImmediate: typeof globalThis.setImmediate = (callback) => globalThis.setImmediate(callback);
export const now = (): number => Date.now();
export const elapsed = (): number => performance.now();
export const soon = (callback: () => void): void => void Promise.resolve().then(callback);
