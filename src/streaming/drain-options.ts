import { checkNames, milliseconds } from "./checks.ts";
import { checkSignal } from "./signal.ts";
import type { Signal } from "./signal.ts";

/** Options of `drain`. */
export interface DrainOptions {
  /**
   * How long to wait for handlers and for publishes, in milliseconds. Leaving the server comes on top. Default 20 000.
   */
  timeout?: number | undefined;
  /** Ends the waiting when it is aborted, as if {@link DrainOptions.timeout} were up. Default none. */
  signal?: Signal | undefined;
}

/** @internal The names of the options of `drain`. */
export const DRAIN_OPTIONS = ["timeout", "signal"] as const;

/** @internal The longest wait, and the signal that ends it before. @throws TypeError */
export function checkDrainOptions(options: DrainOptions): { timeout: number; signal: Signal | undefined } {
  const example = typeof options === "number" ? String(options) : "20_000";
  checkNames("drain", DRAIN_OPTIONS, options, `drain({ timeout: ${example} })`);
  const { timeout, signal } = options;
  checkSignal(signal);
  return { timeout: milliseconds("timeout", timeout, 20_000), signal };
}
