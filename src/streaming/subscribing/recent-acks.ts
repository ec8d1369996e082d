/** Acks that are repeated after a resume: not without bound. */
const MOST_REPEATED_ACKS = 16_384;

/** The last acks of a subscription, in a ring: some may have been lost with a link, or could not be sent. */
export class RecentAcks {
  readonly #sequences: number[] = [];
  #next = 0;

  /** Adds one. `most` are remembered. */
  add(sequence: number, most: number): void {
    this.#sequences[this.#next] = sequence;
    this.#next = this.#next + 1 < Math.min(most, MOST_REPEATED_ACKS) ? this.#next + 1 : 0;
  }

  [Symbol.iterator](): Iterator<number> {
    return this.#sequences[Symbol.iterator]();
  }
}
