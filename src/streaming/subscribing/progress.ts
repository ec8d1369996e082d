import { clearTimeout, elapsed, setTimeout } from "../../core-nats/clock.ts";
import type { MsgProtoView } from "../../pb/data.ts";
import { Intervals } from "./intervals.ts";
import type { WaitingBytes } from "./waiting-bytes.ts";

/** The most intervals of finished sequences in memory. Beyond, the lowest are forgotten, and may be handled again. */
const MOST_INTERVALS = 10_000;
/**
 * The number of intervals that are forgotten at once. In a queue group each message makes an interval, since other
 * members have the messages between. Forgetting one for each took 24 µs per message, thirty times the rest (measured on
 * Node 20).
 */
const FORGOTTEN_AT_ONCE = 1_000;

/** Marks a sequence whose message waits for a handler, or is in one. */
const ACTIVE = 0;

/** A message, as far as progress needs it. */
export interface Redeliverable {
  readonly data: Uint8Array;
}

/** A sequence that awaits its redelivery. */
interface Awaiting<M> {
  readonly since: number;
  /** Undefined if `maxWaitingBytes` left no room for the message. */
  readonly message: M | undefined;
}

/** What may go wrong with the messages of a channel. */
export interface ProgressEvents {
  /**
   * The server never sent these, and will not. Returns false if the channel is being searched: then this is called
   * again.
   */
  skipped(from: number, to: number): boolean;
  /** The server did not send this unfinished message again. Returns false if the channel is being searched for it. */
  notRedelivered(sequence: number): boolean;
  /** A message that later ones may wait for will not come again. */
  unblocked(sequence: number): void;
  /** Too many intervals were finished out of order. These sequences are forgotten, and may be handled again. */
  forgotten(from: number, to: number): void;
}

// Why: docs/decisions.md#the-cursor
/**
 * How far a channel has been worked off: which sequences are finished, and which were received and are unfinished.
 * Members of a queue group in one client share it, since the server may move a message from one member to another.
 *
 * The cursor is the end of the unbroken run of finished sequences. A sequence that was never received counts as
 * unfinished: after a resume newer messages overtake those that the server sent into a dead link (seen). A missing
 * sequence is given up only after two ack waits of uninterrupted subscription, and as long as an outage may go
 * unnoticed. The cursor then passes it. It is not finished for that: if it comes after all, it is handled. Another
 * member of a queue group may give a message back so late (seen).
 */
export class Progress<M extends Redeliverable = Redeliverable> {
  /**
   * The number of sequences before the channel was reset. It gives messages of the old and the new channel an order.
   */
  readonly offset: number;
  /** The channel showed no message after an outage, so it may be another one, whose clock may be behind. */
  unverified = false;
  #finished = new Intervals();
  /** The unfinished sequences. Created on first use: an idle subscription keeps none. */
  #unfinished: Map<number, typeof ACTIVE | Awaiting<M>> | undefined;
  /** Active messages that the server may count for another member than the one that handles them. */
  #moved: Set<number> | undefined;
  readonly #events: ProgressEvents;
  readonly #waitingBytes: WaitingBytes;
  readonly #ackWait: number;
  readonly #patience: number;
  /** The start of the unbroken run: the first message to be delivered. Unknown at first. */
  #base: number | undefined;
  /** True until an interruption. After one, the first message that comes need not be the first to be delivered. */
  #uninterrupted = true;
  /** Since when the subscription is in place. Undefined while it is not. */
  #established: number | undefined;
  #lowest: number | undefined;
  #highest = 0;
  #timeOfHighest = 0;
  /** The latest time of a received message. */
  #latest = 0;
  /** The latest time of a message that was refused as suspect. */
  #suspectTime = 0;
  /** The highest sequence of the intervals that were forgotten. */
  #forgotten = 0;
  #timer: Timer | undefined;
  #stopped = false;

  /**
   * `unnoticed` is for how long an outage of the streaming server may go unnoticed. Both times are in milliseconds.
   * Messages that await their redelivery count in `waitingBytes`.
   */
  constructor(ackWait: number, events: ProgressEvents, waitingBytes: WaitingBytes, unnoticed = 0, offset = 0) {
    this.offset = offset;
    this.#waitingBytes = waitingBytes;
    this.#ackWait = ackWait;
    this.#patience = 2 * ackWait + unnoticed;
    this.#events = events;
  }

  /** For how long a missing message may still come, in milliseconds. */
  get patience(): number {
    return this.#patience;
  }

  /** False once the channel was reset, or the subscription has ended. */
  get isCurrent(): boolean {
    return !this.#stopped;
  }

  /** The highest sequence that was received, or 0. */
  get highest(): number {
    return this.#highest;
  }

  /** The time of that message. */
  get timeOfHighest(): number {
    return this.#timeOfHighest;
  }

  /**
   * The sequence to resume from: the last one of the unbroken run, or the first one to be delivered while that is
   * unfinished. Undefined while the first one is unknown.
   */
  get cursor(): number | undefined {
    if (this.#base === undefined) return undefined;
    return this.#finished.endOf(this.#base) ?? this.#base;
  }

  /** The first unfinished sequence. Undefined while it is unknown. */
  get next(): number | undefined {
    const { cursor } = this;
    return cursor !== undefined && this.#finished.has(cursor) ? cursor + 1 : cursor;
  }

  // Why: docs/decisions.md#an-empty-channel-and-a-plain-subscription
  /**
   * Notes a received message. Returns false, and notes nothing, if the message contradicts earlier ones: its sequence
   * is not above the highest, and its time is later than all before. Also while the channel is unverified: only the
   * highest message itself verifies a channel. Times are in nanoseconds, as `timeOf` returns them.
   */
  receive(sequence: number, time: number): boolean {
    if (sequence === this.#highest && time === this.#timeOfHighest) this.unverified = false;
    else if (this.unverified || (sequence <= this.#highest && time > this.#latest)) {
      this.#suspectTime = Math.max(this.#suspectTime, time);
      return false;
    }
    if (sequence > this.#highest) {
      this.#highest = sequence;
      this.#timeOfHighest = time;
    }
    // The highest message need not be the latest: a new leader's clock may be behind the old one's.
    if (time > this.#latest) this.#latest = time;
    if (this.#lowest === undefined || sequence < this.#lowest) {
      this.#lowest = sequence;
      if (this.#base === undefined && this.#uninterrupted) this.#base = sequence;
    }
    return true;
  }

  /** The channel is the same. The message that `receive` refused was stored by another clock. */
  confirm(): void {
    this.#latest = Math.max(this.#latest, this.#suspectTime);
    this.unverified = false;
  }

  isFinished(sequence: number): boolean {
    return this.#finished.has(sequence);
  }

  isActive(sequence: number): boolean {
    return this.#unfinished?.get(sequence) === ACTIVE;
  }

  /** The messages that await their redelivery, in the order in which they began to. Those without room are left out. */
  *awaitingRedelivery(): Generator<M> {
    for (const entry of this.#unfinished?.values() ?? []) {
      if (entry !== ACTIVE && entry.message !== undefined) yield entry.message;
    }
  }

  /** The message waits for a handler or is in one. */
  activate(sequence: number): void {
    this.#remove(sequence);
    (this.#unfinished ??= new Map()).set(sequence, ACTIVE);
  }

  /** The server has sent the active message to another member as well. */
  move(sequence: number): void {
    (this.#moved ??= new Set()).add(sequence);
  }

  /** The server may have moved each active message to another member, which did not receive it. */
  moveAll(): void {
    for (const [sequence, entry] of this.#unfinished ?? []) if (entry === ACTIVE) this.move(sequence);
  }

  /** Returns true, once, if the server may count the finished message for another member. */
  wasMoved(sequence: number): boolean {
    return this.#moved !== undefined && this.#moved.delete(sequence);
  }

  /** The message is unfinished, and no handler has it or will have it. Its redelivery is handled. */
  awaitRedelivery(sequence: number, message: M): void {
    this.#moved?.delete(sequence);
    this.#remove(sequence);
    const kept = this.#stopped || this.#waitingBytes.add(message.data) ? message : undefined;
    (this.#unfinished ??= new Map()).set(sequence, { since: elapsed(), message: kept });
    this.#armTimer();
  }

  /** The message is finished. Returns false if it was finished before. */
  finish(sequence: number): boolean {
    this.#remove(sequence);
    const added = this.#finished.add(sequence, elapsed);
    if (this.#finished.count > 1) this.#bound();
    return added;
  }

  /** The subscription is in place, for the first time or again. The patience for missing messages starts now. */
  established(): void {
    this.#established = Math.trunc(elapsed());
    this.#finished.renewGaps(this.#established);
    if (this.#base === undefined && !this.#uninterrupted) this.#armTimer();
  }

  /** The link or the streaming server was lost. Returns false if it was lost already. */
  interrupted(): boolean {
    const known = this.#established === undefined;
    this.#established = undefined;
    this.#uninterrupted = false;
    return !known;
  }

  /** Stops the timer, and removes all waiting bytes. No event follows. */
  stop(): void {
    if (!this.#stopped) for (const message of this.awaitingRedelivery()) this.#waitingBytes.remove(message.data);
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #remove(sequence: number): void {
    const entry = this.#unfinished?.get(sequence);
    if (entry === undefined) return;
    this.#unfinished!.delete(sequence);
    if (entry === ACTIVE) return;
    if (entry.message !== undefined && !this.#stopped) this.#waitingBytes.remove(entry.message.data);
  }

  /** Forgets intervals if there are too many. */
  #bound(): void {
    if (this.#finished.count > MOST_INTERVALS) {
      const { from, to } = this.#finished.forgetLowest(this.#base ?? this.#lowest ?? 0, FORGOTTEN_AT_ONCE)!;
      this.#forgotten = to;
      this.#events.forgotten(from, to);
    }
    this.#armTimer();
  }

  /** Starts a timer that checks for missing messages, and starts again while some are missing. */
  #armTimer(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    const begun = elapsed();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // The process stood still (seen with one frozen for 8 s). It has yet to read what the server sent meanwhile.
      const late = elapsed() - begun > 2 * this.#ackWait;
      if (late && this.#established !== undefined) this.established();
      this.checkMissing();
      const { cursor } = this;
      const unfinished = (this.#unfinished?.size ?? 0) > 0;
      if (unfinished || cursor === undefined || this.#finished.after(cursor) !== undefined) this.#armTimer();
    }, this.#ackWait);
    this.#timer.unref?.();
  }

  /** Gives up the messages that have been missing for longer than they may take. */
  checkMissing(): void {
    const before = elapsed() - this.#patience;
    if (this.#established === undefined || this.#established > before) return;
    const unfinished = (this.#unfinished ??= new Map());
    for (const [sequence, entry] of unfinished) {
      // The message has expired, another member of the group has it, or a new leader forgot it.
      if (entry === ACTIVE || entry.since >= before || !this.#events.notRedelivered(sequence)) continue;
      this.#remove(sequence);
      this.#events.unblocked(sequence);
    }
    if (this.#base === undefined && this.#lowest !== undefined) this.#base = this.#lowest;
    const waitedFor = Float64Array.from(unfinished.keys()).sort();
    let i = 0;
    for (let { cursor } = this; cursor !== undefined; cursor = this.cursor) {
      const from = this.next!;
      const next = this.#finished.after(cursor);
      while (waitedFor[i] < from) i++;
      if (next === undefined || next.since >= before || waitedFor[i] < next.start) return;
      const skippedFrom = Math.max(from, this.#forgotten + 1);
      if (skippedFrom < next.start && !this.#events.skipped(skippedFrom, next.start - 1)) return;
      this.#base = next.start;
    }
  }
}

/** Nanoseconds since 1970, to the nearest 256 or so: that suffices to tell which of two messages was stored later. */
export function timeOf({ timestampHigh, timestampLow }: MsgProtoView): number {
  return timestampHigh * 2 ** 32 + timestampLow;
}
