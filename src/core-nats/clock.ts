import { builtin } from "./builtin.ts";

// Timers and the time are the host's own. With the fake timers of vitest and jest a client would stand still while its
// sockets go on. vitest's replace the globals after this file has run. jest's may do so before, but not in the modules.

const timers = builtin.timers;

/** @internal Calls back after some milliseconds. */
export const setTimeout = timers.setTimeout;
/** @internal */
export const clearTimeout = timers.clearTimeout;
/**
 * @internal
 * Calls back after the data that has come in by now. jest's jsdom has none, and hides Node's before 20.16.
 */
export const setImmediate = timers.setImmediate ?? ((callback: () => void): unknown => setTimeout(callback, 0));

/** @internal Milliseconds since 1970, by the machine's clock: it goes on while the machine sleeps, and can be set. */
export const now = Date.now;

let performance: Performance | undefined;

/** @internal Milliseconds by a clock that only goes forward, from an arbitrary start. */
export function elapsed(): number {
  // Loaded at the first call: it takes Node 1 ms.
  return (performance ??= builtin.performance).now();
}

const resolved = Promise.resolve();

/** @internal Calls back when the code that is running has finished. */
export function soon(callback: () => void): void {
  void resolved.then(callback);
}
