import { clearTimeout, setTimeout } from "./clock.ts";
import { Lifetime } from "./lifetime.ts";
import type { AbortSignalLike } from "./lifetime.ts";

/** A promise and the functions that settle it. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** Makes a promise that is settled from outside. */
export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/**
 * Calls `listener` once: when one of these aborts, or now if one has. Returns the function that removes the
 * listener.
 */
export function onAbort(listener: () => void, ...signals: readonly AbortSignalLike[]): () => void {
  let listening = true;
  const release = (): void => {
    if (!listening) return;
    listening = false;
    for (const signal of signals) signal.removeEventListener("abort", done);
  };
  function done(): void {
    release();
    listener();
  }
  if (signals.some((signal) => signal.aborted)) {
    listening = false;
    listener();
  } else {
    for (const signal of signals) signal.addEventListener("abort", done);
  }
  return release;
}

/** Resolves when one of these aborts. Never rejects. Thousands wait with it, so it keeps as little as it can. */
export function aborted(...signals: readonly AbortSignalLike[]): Promise<void> {
  return new Promise((resolve) => {
    function done(): void {
      for (const signal of signals) signal.removeEventListener("abort", done);
      resolve();
    }
    if (signals.some((signal) => signal.aborted)) resolve();
    else for (const signal of signals) signal.addEventListener("abort", done);
  });
}

/** The time before something that failed is tried again, in milliseconds. */
export const RETRY_DELAY = 250;

/** Resolves after `milliseconds`, or when one of these aborts: the caller looks at them then. Never rejects. */
export function sleep(milliseconds: number, ...signals: readonly AbortSignalLike[]): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      release();
      resolve();
    }, milliseconds);
    const release = onAbort(() => {
      clearTimeout(timer);
      resolve();
    }, ...signals);
  });
}

/** Resolves with true when the promise resolves or rejects, or with false when one of these aborts. Never rejects. */
export function settled(promise: Promise<unknown>, ...signals: readonly AbortSignalLike[]): Promise<boolean> {
  return new Promise((resolve) => {
    const release = onAbort(() => resolve(false), ...signals);
    const done = (): void => {
      release();
      resolve(true);
    };
    promise.then(done, done);
  });
}

/** The same as `settled`, and resolves with false after `milliseconds`, too. Leaves no timer behind. */
export async function settledWithin(
  milliseconds: number,
  promise: Promise<unknown>,
  ...signals: readonly AbortSignalLike[]
): Promise<boolean> {
  const timeout = new Lifetime();
  const timer = setTimeout(() => timeout.abort(), milliseconds);
  const done = await settled(promise, timeout, ...signals);
  clearTimeout(timer);
  return done;
}

/** Makes a lifetime that aborts when one of these does, with the same reason. `release` removes its listeners. */
export function anySignal(...signals: readonly AbortSignalLike[]): { lifetime: Lifetime; release: () => void } {
  const lifetime = new Lifetime();
  const release = onAbort(() => lifetime.abort(signals.find((signal) => signal.aborted)?.reason), ...signals);
  return { lifetime, release };
}

/** Does nothing. */
export function noop(): void {}
