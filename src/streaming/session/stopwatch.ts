import { elapsed, now } from "../../core-nats/clock.ts";

/**
 * The longest time that can pass unnoticed while a session lives, in milliseconds. A server forgets a client that does
 * not answer its heartbeats, after 440 s by default.
 */
const LONGEST_SUSPENSION = 3_600_000;

// Why: docs/decisions.md#time-while-the-machine-sleeps
/**
 * Measures the time that has passed, also while the machine was suspended: then the monotonic clock stands still. The
 * wall clock shows that time, but somebody may set it: a device without a battery begins in 1970. So the time that only
 * the wall clock shows counts only as far as it can be true.
 */
export class Stopwatch {
  #passed = 0;
  #monotonic = elapsed();
  #wall = now();

  /** Milliseconds since the start. */
  get now(): number {
    return this.#passed + this.#since(Infinity);
  }

  /** The old session still lives, so at most `LONGEST_SUSPENSION` has passed unnoticed since the last call. */
  alive(): void {
    this.#begin(LONGEST_SUSPENSION);
  }

  /** There is a new session, so any time may have passed. */
  renewed(): void {
    this.#begin(Infinity);
  }

  #begin(most: number): void {
    this.#passed += this.#since(most);
    this.#monotonic = elapsed();
    this.#wall = now();
  }

  #since(most: number): number {
    const monotonic = elapsed() - this.#monotonic;
    return monotonic + Math.min(most, Math.max(0, now() - this.#wall - monotonic));
  }
}
