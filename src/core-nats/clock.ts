import { builtin } from "./builtin.ts";

// Timers and the time: the host's own, since with the fake ones that vitest and jest put in their place a client would stand
// still while its sockets go on. vitest's come later than this file; jest's may be there before, yet not in the modules.

const timers = builtin.timers;

/** @internal Calls back after so many milliseconds. */
export const setTimeout = timers.setTimeout;
/** @internal */
export const clearTimeout = timers.clearTimeout;
/** @internal Calls back after what has come in by now. jest's jsdom has none, and hides Node's before 20.16. */
export const setImmediate = timers.setImmediate ?? ((callback: () => void): unknown => setTimeout(callback, 0));

/** @internal Milliseconds since 1970, by the machine's calendar: it goes on while the machine sleeps, and can be set. */
export const now = Date.now;

let performance: Performance | undefined;

/** @internal Milliseconds by a clock that only goes forward. */
export function elapsed(): number {
  // Not when this file is loaded: that takes Node 1 ms.
  return (performance ??= builtin.performance).now();
}

const resolved = Promise.resolve();

/** @internal Calls back once the code that is running has finished. */
export function soon(callback: () => void): void {
  void resolved.then(callback);
}
