import { clearTimeout, setTimeout } from "./clock.ts";

/**
 * Finds a peer that is silent. It sends a PING each interval, also to a peer that was heard: to wait for an interval of
 * silence would find a silent peer later. It counts turns of the timer, not time: a process that stood still has missed
 * nothing.
 */
export class KeepAlive {
  /** The owner sets this when bytes come. */
  heard = false;
  readonly #interval: number;
  readonly #most: number;
  readonly #ping: () => void;
  readonly #silent: (unanswered: number) => void;
  #unanswered = 0;
  #timer: Timer | undefined;

  /** `silent` is called, once, when `most` PINGs in a row went unanswered and nothing else came either. */
  constructor(interval: number, most: number, ping: () => void, silent: (unanswered: number) => void) {
    this.#interval = interval;
    this.#most = most;
    this.#ping = ping;
    this.#silent = silent;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      if (this.heard) this.#unanswered = 0;
      this.heard = false;
      if (this.#unanswered >= this.#most) {
        this.#silent(this.#unanswered);
        return;
      }
      this.#unanswered++;
      // Before the PING: to send it may end the connection, which stops this.
      this.start();
      this.#ping();
    }, this.#interval);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
