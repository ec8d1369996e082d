import { RETRY_DELAY } from "../../core-nats/async.ts";
import { clearTimeout, setTimeout } from "../../core-nats/clock.ts";

/**
 * The shortest delay, in milliseconds. A new leader answers pings up to a second before it takes publishes. A channel
 * without a server may stay without one, so the delays grow.
 */
const FIRST_DELAY = 10;

/** Tells when to send publishes again that were answered with a 503. Each delay is longer than the one before. */
export class RetryTimer {
  readonly #due: () => void;
  #timer: Timer | undefined;
  #delay = FIRST_DELAY;

  constructor(due: () => void) {
    this.#due = due;
  }

  /** Makes the next delay the shortest one. */
  reset(): void {
    this.#delay = FIRST_DELAY;
  }

  /** Starts the timer, unless it runs. */
  start(): void {
    this.#timer ??= setTimeout(() => this.expire(), this.#delay);
  }

  /** Ends the delay now. */
  expire(): void {
    this.stop();
    this.#delay = Math.min(Math.ceil(1.25 * this.#delay), RETRY_DELAY);
    this.#due();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
