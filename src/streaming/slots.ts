import { deferred, settled } from "../core-nats/async.ts";
import type { Deferred } from "../core-nats/async.ts";

/** Lets a limited number in at once; the rest wait in order. */
export class Slots {
  #free: number;
  readonly #waiting: Deferred<void>[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves when there is a slot, or when one of the signals aborts. Either way, `release` must follow. */
  async take(...signals: AbortSignal[]): Promise<void> {
    this.#free--;
    if (this.#free >= 0) return;
    const turn = deferred();
    this.#waiting.push(turn);
    await settled(turn.promise, ...signals);
    const i = this.#waiting.indexOf(turn);
    if (i >= 0) this.#waiting.splice(i, 1);
  }

  release(): void {
    this.#free++;
    this.#waiting.shift()?.resolve();
  }
}
