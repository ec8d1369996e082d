/** What an `AbortSignal` and a `Lifetime` have in common: it aborts once, with a reason. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

// Why: docs/decisions.md#lifetimes-instead-of-abort-signals
/**
 * How long something lasts: until `abort`, which gives the reason. It replaces the host's `AbortSignal`: thousands
 * of subscriptions wait for the same end, and an `AbortSignal` warns of a leak from the eleventh listener on and
 * takes 2 KB of memory (measured on Node 20).
 */
export class Lifetime implements AbortSignalLike {
  #aborted = false;
  #reason: unknown;
  /** Many lifetimes have one listener: a set for each would be half of the memory of an idle subscription. */
  #listeners: (() => void) | Set<() => void> | undefined;

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  /** Calls the listeners before it returns, in the order in which they were added. Listeners must not throw. */
  abort(reason?: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    const listeners = this.#listeners;
    if (typeof listeners === "function") listeners();
    else if (listeners !== undefined) for (const listener of listeners) listener();
    // Only now: a listener that another listener removes must not be called.
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
