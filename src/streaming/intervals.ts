/** A set of whole numbers, kept as the intervals that they form. Cheap where most numbers arrive nearly in order. */
export class Intervals {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  /** When the gap before the interval came to be, in the clock of whoever adds. */
  readonly #since: number[] = [];

  /** How many intervals there are. */
  get count(): number {
    return this.#starts.length;
  }

  has(n: number): boolean {
    const i = this.#indexOf(n);
    return i >= 0 && n <= this.#ends[i];
  }

  /** The first interval's start, and its end: the unbroken run. Undefined for an empty set. */
  get first(): { start: number; end: number } | undefined {
    return this.#starts.length === 0 ? undefined : { start: this.#starts[0], end: this.#ends[0] };
  }

  /** Adds a number. `now` dates the gap before it, if that makes a new one. Returns false if it was there. */
  add(n: number, now: () => number): boolean {
    const starts = this.#starts;
    const ends = this.#ends;
    const last = starts.length - 1;
    if (last >= 0 && n === ends[last] + 1) {
      ends[last] = n;
      return true;
    }
    const i = this.#indexOf(n);
    if (i >= 0 && n <= ends[i]) return false;
    const joinsLeft = i >= 0 && n === ends[i] + 1;
    const joinsRight = i + 1 < starts.length && n === starts[i + 1] - 1;
    if (joinsLeft && joinsRight) this.#join(i);
    else if (joinsLeft) ends[i] = n;
    else if (joinsRight) starts[i + 1] = n;
    else {
      starts.splice(i + 1, 0, n);
      ends.splice(i + 1, 0, n);
      this.#since.splice(i + 1, 0, now());
      // A number set into a gap splits it, and the upper part is as old as the whole was.
      if (i + 3 <= this.#since.length) this.#since[i + 1] = Math.min(this.#since[i + 1], this.#since[i + 2]);
    }
    return true;
  }

  /**
   * Fills the gaps that are older than `before` and for which `settled` says that nothing in them is to be waited for.
   * Returns the numbers that this added, as intervals.
   */
  closeGaps(before: number, settled: (from: number, to: number) => boolean): { from: number; to: number }[] {
    const closed: { from: number; to: number }[] = [];
    for (let i = 0; i + 1 < this.#starts.length; ) {
      const from = this.#ends[i] + 1;
      const to = this.#starts[i + 1] - 1;
      if (this.#since[i + 1] < before && settled(from, to)) {
        closed.push({ from, to });
        this.#join(i);
      } else {
        i++;
      }
    }
    return closed;
  }

  /** All gaps count as new from now on. */
  renewGaps(now: number): void {
    this.#since.fill(now);
  }

  /** Forgets the lowest interval above the unbroken run. Returns it. */
  forgetSecond(): { from: number; to: number } | undefined {
    if (this.#starts.length < 2) return undefined;
    const [from] = this.#starts.splice(1, 1);
    const [to] = this.#ends.splice(1, 1);
    this.#since.splice(1, 1);
    return { from, to };
  }

  /** Makes one of interval `i` and the next. */
  #join(i: number): void {
    this.#ends[i] = this.#ends[i + 1];
    this.#starts.splice(i + 1, 1);
    this.#ends.splice(i + 1, 1);
    this.#since.splice(i + 1, 1);
  }

  /** The last interval that starts at or below `n`, or -1. */
  #indexOf(n: number): number {
    const starts = this.#starts;
    let high = starts.length - 1;
    if (high < 0 || n >= starts[high]) return high;
    let low = -1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= n) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
