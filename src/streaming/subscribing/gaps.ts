import { RETRY_DELAY } from "../../core-nats/async.ts";
import { clearTimeout, setTimeout } from "../../core-nats/clock.ts";
import type { Handlers } from "./handlers.ts";

interface Gap {
  readonly from: number;
  readonly to: number;
  /** Added to the sequences of the channel: see `Message.order`. */
  readonly offset: number;
}

// Why: docs/decisions.md#missing-messages-hold-back-later-ones
/** Missing messages that later ones wait for, until the channel was searched for them. */
export class Gaps {
  readonly #handlers: Handlers;
  readonly #search: (from: number, to: number) => boolean;
  #all: Gap[] = [];
  #timer: Timer | undefined;

  /** `search` starts a search of the channel as soon as that is possible. */
  constructor(handlers: Handlers, search: (from: number, to: number) => boolean) {
    this.#handlers = handlers;
    this.#search = search;
  }

  /** Messages are missing: later ones wait. */
  add(from: number, to: number, offset: number): void {
    this.#handlers.holdBehind(offset + from, offset + to);
    this.#all.push({ from, to, offset });
    if (this.#all.length === 1) this.#search(from, to);
  }

  /** A search has ended. `known`: the messages that the channel has were taken, and it does not have the others. */
  searched(from: number, to: number, known: boolean): void {
    const done = known ? this.#all.filter((gap) => from <= gap.from && gap.to <= to) : [];
    this.#all = this.#all.filter((gap) => !done.includes(gap));
    if (this.#all.length > 0) this.#timer ??= setTimeout(() => this.#again(), RETRY_DELAY);
    for (const gap of done) this.#handlers.found(gap.offset + gap.from, gap.offset + gap.to);
  }

  clear(): void {
    this.#all = [];
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #again(): void {
    this.#timer = undefined;
    const [first] = this.#all;
    if (first !== undefined) this.#search(first.from, first.to);
  }
}
