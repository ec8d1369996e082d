import { onAbort } from "../../core-nats/async.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { PendingPublish } from "./pending-publish.ts";

// Why: docs/decisions.md#one-listener-for-each-signal-of-a-caller
/**
 * The callers' signals and the publishes that each gives up. One listener for each signal: one for each publish would
 * make the host warn of a leak, and take a time that grows with the square of their number (measured: 50 000 publishes
 * with one signal took 4.3 s in place of 0.25 s).
 */
export class AbortSignals {
  readonly #publishes = new Map<AbortSignalLike, { readonly all: Set<PendingPublish>; readonly release: () => void }>();
  readonly #aborted: (publishes: Iterable<PendingPublish>, reason: unknown) => void;

  /** `aborted` gets all publishes of a signal that has aborted; each must be removed. */
  constructor(aborted: (publishes: Iterable<PendingPublish>, reason: unknown) => void) {
    this.#aborted = aborted;
  }

  add(publish: PendingPublish, signal: AbortSignalLike): void {
    let entry = this.#publishes.get(signal);
    if (entry === undefined) {
      const all = new Set<PendingPublish>();
      entry = { all, release: onAbort(() => this.#aborted([...all], signal.reason), signal) };
      this.#publishes.set(signal, entry);
    }
    entry.all.add(publish);
    publish.signal = signal;
  }

  remove(publish: PendingPublish): void {
    const entry = publish.signal === undefined ? undefined : this.#publishes.get(publish.signal);
    entry?.all.delete(publish);
    if (entry?.all.size !== 0) return;
    entry.release();
    this.#publishes.delete(publish.signal!);
  }
}
