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
