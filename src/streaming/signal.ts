import { noop, onAbort } from "../core-nats/async.ts";
import { Lifetime } from "../core-nats/lifetime.ts";
import { bad } from "./checks.ts";
import { StreamingError } from "./errors.ts";

/** The host's `AbortSignal`, where its types are known; else the part of it that this library uses. */
export type Signal = typeof globalThis extends { AbortSignal: { prototype: infer T } }
  ? T
  : {
      readonly aborted: boolean;
      readonly reason: unknown;
      addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
      removeEventListener(type: "abort", listener: () => void): void;
    };

/** @internal @throws TypeError unless it is an AbortSignal, of any realm */
export function checkSignal(signal: Signal | undefined): void {
  if (signal === undefined) return;
  if (typeof signal !== "object" || signal === null || typeof signal.addEventListener !== "function") {
    bad("signal", "must be an AbortSignal", signal);
  }
}

/** @internal The error of an operation whose caller has aborted its signal. */
export function abortedBy(signal: Signal | undefined, operation: string): StreamingError {
  return new StreamingError("ABORTED", `${operation}: the caller's signal was aborted`, signal?.reason);
}

/** The callers' signals that are followed, and by how many. */
const followed = new Map<Signal, { readonly lifetime: Lifetime; readonly unlisten: () => void; followers: number }>();

// Why: docs/decisions.md#one-listener-for-each-signal-of-a-caller
/**
 * @internal
 * Makes a lifetime that ends when the caller's signal is aborted; without a signal it never ends. All calls with one
 * signal share the lifetime. Each calls `release` once.
 */
export function follow(signal: Signal | undefined): { readonly lifetime: Lifetime; readonly release: () => void } {
  if (signal === undefined) return { lifetime: new Lifetime(), release: noop };
  let entry = followed.get(signal);
  if (entry === undefined) {
    const lifetime = new Lifetime();
    entry = { lifetime, unlisten: onAbort(() => lifetime.abort(signal.reason), signal), followers: 0 };
    followed.set(signal, entry);
  }
  const { lifetime, unlisten } = entry;
  entry.followers++;
  const release = (): void => {
    if (--entry.followers > 0) return;
    unlisten();
    followed.delete(signal);
  };
  return { lifetime, release };
}
