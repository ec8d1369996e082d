/** The most acks that a resume repeats. */
const MOST_REPEATED_ACKS = 16_384;

/** The last acks of a subscription, in a ring. A lost link may have lost some, and without a link none can be sent. */
export class RecentAcks {
  readonly #sequences: number[] = [];
  #next = 0;

  /** Adds an ack. The last `most` are kept. */
  add(sequence: number, most: number): void {
    this.#sequences[this.#next] = sequence;
    this.#next = this.#next + 1 < Math.min(most, MOST_REPEATED_ACKS) ? this.#next + 1 : 0;
  }

  [Symbol.iterator](): Iterator<number> {
    return this.#sequences[Symbol.iterator]();
  }
}
