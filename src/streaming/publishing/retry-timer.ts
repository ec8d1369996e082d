import { RETRY_DELAY } from "../../core-nats/async.ts";
import { clearTimeout, setTimeout } from "../../core-nats/clock.ts";

/** A new leader answers pings up to a second before it takes publishes; a channel that nobody serves may stay so. In milliseconds. */
const FIRST_DELAY = 10;

/** Tells when to send again what no streaming server has heard: less and less often. */
export class RetryTimer {
  readonly #due: () => void;
  #timer: Timer | undefined;
  #delay = FIRST_DELAY;

  constructor(due: () => void) {
    this.#due = due;
  }

  /** Begins with the shortest delay. */
  reset(): void {
    this.#delay = FIRST_DELAY;
  }

  /** Starts it, unless it runs. */
  start(): void {
    this.#timer ??= setTimeout(() => this.expire(), this.#delay);
  }

  /** It is due now. */
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
