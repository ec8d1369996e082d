import { deferred } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import { clearTimeout, elapsed, setTimeout } from "../../core-nats/clock.ts";
import { Stage } from "./pending-publish.ts";
import type { PendingPublish } from "./pending-publish.ts";

// Why: docs/decisions.md#one-list-of-publishes-and-one-timer
/**
 * All publishes that are not settled, in the order of their calls, and those among them that wait for their turn. All have
 * equally long, so that is the order of their deadlines too, and one timer serves them all.
 */
export class PublishQueue {
  first: PendingPublish | undefined;
  /** How many wait, and their bytes. */
  waiting = 0;
  bytes = 0;
  /** The first that waits. All others that do are behind it, in the order of the calls. */
  next: PendingPublish | undefined;
  #last: PendingPublish | undefined;
  #timer: Timer | undefined;
  readonly #timeout: number;
  readonly #expired: (publish: PendingPublish) => void;
  readonly #waitingBytes: Deferred<void>[] = [];
  #idle: Deferred<void> | undefined;

  /** `expired` must take the publish out. */
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
    // One that is gone but outlived a collection would keep alive all that came after it: measured, a third of the CPU.
    publish.previous = undefined;
    publish.next = undefined;
    if (this.first === undefined) this.#idle?.resolve();
  }

  /** Has the publish wait for its turn. */
  enqueue(publish: PendingPublish, size: number): void {
    publish.stage = Stage.queued;
    publish.size = size;
    this.waiting++;
    this.bytes += size;
    if (this.next === undefined || publish.order < this.next.order) this.next = publish;
  }

  /** It waits no more. */
  dequeue(publish: PendingPublish): void {
    publish.stage = Stage.accepted;
    this.waiting--;
    this.bytes -= publish.size;
    if (this.waiting === 0) {
      this.next = undefined;
      for (const waitingBytes of this.#waitingBytes.splice(0)) waitingBytes.resolve();
    } else if (publish === this.next) {
      do this.next = this.next!.next; while (this.next!.stage !== Stage.queued);
    }
  }

  /** Resolves when nothing waits for its turn any more. */
  backlogCleared(): Promise<void> {
    const waitingBytes = deferred();
    this.#waitingBytes.push(waitingBytes);
    return waitingBytes.promise;
  }

  /** Resolves when all are settled. */
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
