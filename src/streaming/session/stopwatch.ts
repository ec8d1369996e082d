import { elapsed, now } from "../../core-nats/clock.ts";

/**
 * The most that can have passed unnoticed while a session lives, in milliseconds: a server forgets a client that misses its
 * heartbeats, after 440 s by default.
 */
const MOST_UNNOTICED = 3_600_000;

// Why: docs/decisions.md#time-while-the-machine-sleeps
/**
 * How much time has passed, also while the machine was suspended, when the monotonic clock stands still. The wall clock tells
 * that, but it may be set, too: a device without a battery begins in 1970. So what the wall clock says beyond the
 * monotonic one counts only as far as it can be true.
 */
export class Stopwatch {
  #passed = 0;
  #monotonic = elapsed();
  #wall = now();

  /** Milliseconds since the start. */
  get now(): number {
    return this.#passed + this.#since(Infinity);
  }

  /** The session that there was before still lives: no more than so much has passed since the last call. */
  alive(): void {
    this.#begin(MOST_UNNOTICED);
  }

  /** There is a new session: any time may have passed. */
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
