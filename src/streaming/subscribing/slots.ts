import { deferred, settled } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";

/** Lets a limited number in at once; the rest wait in order. */
export class Slots {
  readonly #count: number;
  #taken = 0;
  readonly #waiting: Deferred<void>[] = [];

  constructor(count: number) {
    this.#count = count;
  }

  /** Resolves when there is a slot, or when one of these ends. Either way, `release` must follow. */
  async take(...endings: AbortSignalLike[]): Promise<void> {
    if (this.#taken < this.#count) {
      this.#taken++;
      return;
    }
    const turn = deferred();
    this.#waiting.push(turn);
    await settled(turn.promise, ...endings);
    const i = this.#waiting.indexOf(turn);
    if (i < 0) return;
    // Given up: one too many until its release, which then lets nobody in.
    this.#waiting.splice(i, 1);
    this.#taken++;
  }

  release(): void {
    this.#taken--;
    if (this.#taken >= this.#count || this.#waiting.length === 0) return;
    this.#taken++;
    this.#waiting.shift()!.resolve();
  }
}
