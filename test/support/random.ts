/**
 * Repeatable pseudo-random numbers (mulberry32): the same seed gives the same sequence on every machine.
 * Not for secrets.
 */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed >>> 0;
    this.#state = this.seed;
  }

  /** A whole number of 32 bits, unsigned. */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** A number from 0 up to, but without, 1. */
  fraction(): number {
    return this.bits() / 2 ** 32;
  }

  /** A whole number from `least` to `most`, both included. */
  int(least: number, most: number): number {
    return least + Math.floor(this.fraction() * (most - least + 1));
  }

  /** True with the given probability, by default one half. */
  bool(probability = 0.5): boolean {
    return this.fraction() < probability;
  }

  /** One element of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)]!;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.bits();
    return bytes;
  }

  /** Text of the given length, of characters of the alphabet. */
  text(length: number, alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"): string {
    let text = "";
    for (let i = 0; i < length; i++) text += alphabet[this.int(0, alphabet.length - 1)];
    return text;
  }

  /** The bytes cut into consecutive pieces of 1 to `longest` bytes. */
  pieces(bytes: Uint8Array, longest: number): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + this.int(1, longest));
      pieces.push(bytes.subarray(at, end));
      at = end;
    }
    return pieces;
  }
}

/**
 * Runs the body once for each of the seeds 1 to `count`, one after another. A failure names its seed; with the
 * environment variable SEED set, only that seed runs.
 */
export async function forEachSeed(count: number, body: (random: Random) => unknown): Promise<void> {
  const only = process.env["SEED"];
  const first = only === undefined ? 1 : Number(only);
  const last = only === undefined ? count : first;
  for (let seed = first; seed <= last; seed++) {
    try {
      await body(new Random(seed));
    } catch (error) {
      throw new Error(`failed with seed ${seed} (repeat with SEED=${seed})`, { cause: error });
    }
  }
}
