import { deferred, settled } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";

/** Lets a limited number of callers in at once. The others wait, in order. */
export class Semaphore {
  #free: number;
  readonly #waiting: Deferred<void>[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Resolves with true when there is room; the caller must call `release`. Resolves with false if a signal aborts
   * first.
   */
  async acquire(...signals: AbortSignalLike[]): Promise<boolean> {
    if (this.#free > 0) {
      this.#free--;
      return true;
    }
    const turn = deferred();
    this.#waiting.push(turn);
    await settled(turn.promise, ...signals);
    const i = this.#waiting.indexOf(turn);
    if (i >= 0) this.#waiting.splice(i, 1);
    return i < 0;
  }

  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next.resolve();
  }
}
