/** The end of something, as the host's `AbortSignal` tells it, or a `Lifetime`. */
export interface Ending {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

// Why: docs/decisions.md#lifetimes-instead-of-abort-signals
/**
 * How long something lasts: until `abort`, once, with a reason. Used like an `AbortSignal`, which it replaces here:
 * thousands of subscriptions wait for the same end, and a host's signal warns of a leak from the eleventh listener on
 * and takes 2 KB of memory (measured on Node 20).
 */
export class Lifetime implements Ending {
  #aborted = false;
  #reason: unknown;
  /** Most have one listener, and many exist: a set for each would be half of what an idle subscription takes. */
  #listeners: (() => void) | Set<() => void> | undefined;

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  /** Ends it. Listeners are called before this returns, in the order in which they came; they must not throw. */
  abort(reason?: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    const listeners = this.#listeners;
    if (typeof listeners === "function") listeners();
    else if (listeners !== undefined) for (const listener of listeners) listener();
    // Not before: one that another takes away meanwhile must not be called.
    this.#listeners = undefined;
  }

  addEventListener(_type: "abort", listener: () => void): void {
    if (this.#aborted || this.#listeners === listener) return;
    if (this.#listeners === undefined) this.#listeners = listener;
    else if (typeof this.#listeners === "function") this.#listeners = new Set([this.#listeners, listener]);
    else this.#listeners.add(listener);
  }

  removeEventListener(_type: "abort", listener: () => void): void {
    if (this.#listeners === listener) this.#listeners = undefined;
    else if (typeof this.#listeners === "object") this.#listeners.delete(listener);
  }
}
