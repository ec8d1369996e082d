import { onAbort } from "../../core-nats/async.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { PendingPublish } from "./pending-publish.ts";

interface Entry {
  readonly publishes: Set<PendingPublish>;
  readonly release: () => void;
}

// Why: docs/decisions.md#one-listener-for-each-signal-of-a-caller
/**
 * The callers' signals, each with its publishes. Each signal has one listener. With one listener for each publish the
 * host would warn of a leak, and the time would grow with the square of their number (measured: 50 000 publishes with
 * one signal took 4.3 s in place of 0.25 s).
 */
export class AbortSignals {
  readonly #entries = new Map<AbortSignalLike, Entry>();
  readonly #aborted: (publishes: Iterable<PendingPublish>, reason: unknown) => void;

  /** Calls `aborted` with all publishes of a signal that has aborted. It must remove each of them. */
  constructor(aborted: (publishes: Iterable<PendingPublish>, reason: unknown) => void) {
    this.#aborted = aborted;
  }

  add(publish: PendingPublish, signal: AbortSignalLike): void {
    let entry = this.#entries.get(signal);
    if (entry === undefined) {
      const publishes = new Set<PendingPublish>();
      entry = { publishes, release: onAbort(() => this.#aborted([...publishes], signal.reason), signal) };
      this.#entries.set(signal, entry);
    }
    entry.publishes.add(publish);
    publish.signal = signal;
  }

  remove(publish: PendingPublish): void {
    const { signal } = publish;
    if (signal === undefined) return;
    const entry = this.#entries.get(signal);
    entry?.publishes.delete(publish);
    if (entry?.publishes.size !== 0) return;
    entry.release();
    this.#entries.delete(signal);
  }
}
