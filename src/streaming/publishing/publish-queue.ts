import { deferred } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import { clearTimeout, elapsed, setTimeout } from "../../core-nats/clock.ts";
import { Stage } from "./pending-publish.ts";
import type { PendingPublish } from "./pending-publish.ts";

// Why: docs/decisions.md#one-list-of-publishes-and-one-timer
/**
 * All publishes that are not settled, in the order of their calls. Some of them are queued: they wait for their turn.
 * All have the same timeout, so the order of the calls is the order of the deadlines, and one timer serves them all.
 */
export class PublishQueue {
  first: PendingPublish | undefined;
  /** How many publishes are queued. */
  queued = 0;
  queuedBytes = 0;
  /** The first queued publish. All other queued publishes are behind it, in the order of the calls. */
  firstQueued: PendingPublish | undefined;
  #last: PendingPublish | undefined;
  #timer: Timer | undefined;
  readonly #timeout: number;
  readonly #expired: (publish: PendingPublish) => void;
  readonly #cleared: Deferred<void>[] = [];
  #idle: Deferred<void> | undefined;

  /** Calls `expired` with each publish whose deadline has passed. It must remove the publish. */
  constructor(timeout: number, expired: (publish: PendingPublish) => void) {
    this.#timeout = timeout;
    this.#expired = expired;
  }

  add(publish: PendingPublish): void {
    publish.previous = this.#last;
    if (this.#last === undefined) this.first = publish;
    else this.#last.next = publish;
    this.#last = publish;
    if (this.#timer === undefined) this.#timer = setTimeout(this.#expire, this.#timeout);
  }

  remove(publish: PendingPublish): void {
    const { previous, next } = publish;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    // A removed publish that outlives a collection would keep all later ones alive: measured, a third of the CPU.
    publish.previous = undefined;
    publish.next = undefined;
    if (this.first === undefined) this.#idle?.resolve();
  }

  /** Makes the publish wait for its turn. */
  enqueue(publish: PendingPublish, size: number): void {
    publish.stage = Stage.queued;
    publish.size = size;
    this.queued++;
    this.queuedBytes += size;
    if (this.firstQueued === undefined || publish.order < this.firstQueued.order) this.firstQueued = publish;
  }

  /** Ends the wait of a queued publish. */
  dequeue(publish: PendingPublish): void {
    publish.stage = Stage.accepted;
    this.queued--;
    this.queuedBytes -= publish.size;
    if (this.queued === 0) {
      this.firstQueued = undefined;
      for (const cleared of this.#cleared.splice(0)) cleared.resolve();
    } else if (publish === this.firstQueued) {
      let { next } = publish;
      while (next !== undefined && next.stage !== Stage.queued) next = next.next;
      this.firstQueued = next;
    }
  }

  /** Resolves when no publish is queued any more. Called while one is. */
  backlogCleared(): Promise<void> {
    const cleared = deferred();
    this.#cleared.push(cleared);
    return cleared.promise;
  }

  /** Resolves when all publishes are settled. */
  idle(): Promise<void> {
    this.#idle ??= deferred();
    if (this.first === undefined) this.#idle.resolve();
    return this.#idle.promise;
  }

  /** Stops the timer. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  *[Symbol.iterator](): Generator<PendingPublish> {
    for (let publish = this.first; publish !== undefined; ) {
      const { next } = publish;
      yield publish;
      publish = next;
    }
  }

  readonly #expire = (): void => {
    this.#timer = undefined;
    const now = elapsed();
    while (this.first !== undefined && this.first.deadline <= now) this.#expired(this.first);
    if (this.first !== undefined) this.#timer = setTimeout(this.#expire, Math.max(1, this.first.deadline - now));
  };
}
