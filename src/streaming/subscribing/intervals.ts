/** All empty sets share this array: each idle subscription has such a set. Nothing writes to it. */
const NO_NUMBERS: number[] = [];

/** A set of whole numbers, kept as intervals. It is cheap if most numbers arrive nearly in order. */
export class Intervals {
  #starts: number[] = NO_NUMBERS;
  #ends: number[] = NO_NUMBERS;
  /** When the gap before each interval began, by the caller's clock. */
  #since: number[] = NO_NUMBERS;

  /** The number of intervals. */
  get count(): number {
    return this.#starts.length;
  }

  has(n: number): boolean {
    return this.endOf(n) !== undefined;
  }

  /** Adds a number. If there is a new gap before it, `now` dates the gap. Returns false if the set has the number. */
  add(n: number, now: () => number): boolean {
    if (this.#starts === NO_NUMBERS) {
      this.#starts = [];
      this.#ends = [];
      this.#since = [];
    }
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
      // A number in a gap splits the gap. The part below the number is as old as the whole gap.
      if (i + 3 <= this.#since.length) this.#since[i + 1] = Math.min(this.#since[i + 1], this.#since[i + 2]);
    }
    return true;
  }

  /** The end of the interval that holds `n`. Undefined if none does. */
  endOf(n: number): number | undefined {
    const i = this.#indexOf(n);
    return i >= 0 && n <= this.#ends[i] ? this.#ends[i] : undefined;
  }

  /** The start of the first interval above `n`, and since when there is a gap before it. Undefined if there is none. */
  after(n: number): { start: number; since: number } | undefined {
    const i = this.#indexOf(n) + 1;
    return i < this.#starts.length ? { start: this.#starts[i], since: this.#since[i] } : undefined;
  }

  /** Sets the date of all gaps. */
  renewGaps(now: number): void {
    this.#since.fill(now);
  }

  /**
   * Removes `count` of the lowest intervals, but not the first if it holds `keep`. Returns the range that they covered.
   */
  forgetLowest(keep: number, count: number): { from: number; to: number } | undefined {
    const i = keep >= this.#starts[0] && keep <= this.#ends[0] ? 1 : 0;
    if (i >= this.#starts.length) return undefined;
    const [from] = this.#starts.splice(i, count);
    const to = this.#ends.splice(i, count).at(-1)!;
    this.#since.splice(i, count);
    return { from, to };
  }

  /** Joins interval `i` and the next one. */
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
