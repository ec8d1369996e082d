import { clearTimeout, elapsed, setTimeout } from "../../core-nats/clock.ts";
import type { MsgProtoView } from "../../pb/data.ts";
import { Intervals } from "./intervals.ts";
import type { WaitingBytes } from "./waiting-bytes.ts";

/** So many intervals of finished sequences are remembered; beyond, the lowest are forgotten and may be handled again. */
const MOST_INTERVALS = 10_000;
/**
 * So many at a time. In a queue group others have what is between, so that each message makes an interval: to forget
 * one for each took 24 µs per message, thirty times what all else takes (measured on Node 20).
 */
const FORGOTTEN_AT_ONCE = 1_000;

/** Marks a sequence that waits for a handler or is in one. */
const ACTIVE = 0;

/** A message that was received and is in nobody's hands, as far as it matters here. */
export interface Redeliverable {
  readonly data: Uint8Array;
}

/** When it was last seen, and the message, if there was room to keep it. */
interface Awaiting<M> {
  readonly since: number;
  /** It is to be handled again, and does not wait for an ack by hand. */
  readonly retry: boolean;
  readonly message: M | undefined;
}

/** Told of what a subscription cannot take for granted. */
export interface ProgressEvents {
  /** The server never sent these, and by now never will. Returns false if they are being looked for: then it is told again. */
  skipped(from: number, to: number): boolean;
  /** The server does not send this one again, which was received and is not finished. Returns false likewise. */
  notRedelivered(sequence: number): boolean;
  /** Some that were to be handled again will not come: nobody need wait for them. */
  unblocked(): void;
  /** Too much was finished out of order to remember it all: these may be handled again. */
  forgotten(from: number, to: number): void;
}

// Why: docs/decisions.md#the-cursor
/**
 * How far a channel has been worked off: which sequences are finished, and which were received and are not. Members of
 * one queue group in one client share it, since a message that one of them has may be delivered to another again.
 *
 * The cursor is the end of the unbroken run of finished sequences. One that was never received counts as unfinished:
 * what the server sent into a dead link is overtaken by newer messages after a resume (seen). Only after two ack waits
 * of uninterrupted subscription, and as long as an outage may go unnoticed, is it certain that a missing sequence will
 * not come any more. The cursor then goes on behind it; it is not finished for that, and if it comes after all, as what
 * another member of a queue group gave back may (seen), it is handled.
 */
export class Progress<M extends Redeliverable = Redeliverable> {
  /** The channel showed nothing, so it may be another one, whose clock may be behind; until something tells that it is the same. */
  unverified = false;
  #finished = new Intervals();
  /** Made when it is needed: many a subscription is idle. */
  #unfinished: Map<number, typeof ACTIVE | Awaiting<M>> | undefined;
  /** How many of them are to be handled again. */
  #retries = 0;
  /** Active messages that the server may count for another member of the group than the one that is at it. */
  #moved: Set<number> | undefined;
  readonly #events: ProgressEvents;
  readonly #waitingBytes: WaitingBytes;
  readonly #ackWait: number;
  readonly #patience: number;
  /** Where the unbroken run begins: the first message that was to be delivered. Unknown at first. */
  #base: number | undefined;
  /** True until something came between the subscription and its first message, which may then not be the first. */
  #uninterrupted = true;
  #established: number | undefined;
  #lowest: number | undefined;
  #highest = 0;
  #timeOfHighest = 0;
  #latest = 0;
  #suspectTime = 0;
  /** Up to this one some were finished that are not remembered as such. */
  #forgotten = 0;
  #timer: Timer | undefined;
  #stopped = false;

  /**
   * `ackWait`, and `unnoticed`: for how long nobody may have been in charge without our knowing. In milliseconds. Messages
   * that wait for their next delivery take `room`.
   */
  constructor(ackWait: number, events: ProgressEvents, waitingBytes: WaitingBytes, unnoticed = 0) {
    this.#waitingBytes = waitingBytes;
    this.#ackWait = ackWait;
    this.#patience = 2 * ackWait + unnoticed;
    this.#events = events;
  }

  /** For how long what is missing may still come, in milliseconds. */
  get patience(): number {
    return this.#patience;
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
   * Where to go on: the last sequence of the unbroken run (then all up to it are finished), or the first one that was
   * to be delivered (then that is not finished yet). Undefined while not even that is known.
   */
  get cursor(): number | undefined {
    if (this.#base === undefined) return undefined;
    return this.#finished.endOf(this.#base) ?? this.#base;
  }

  /** The first sequence that is not finished, as far as that is known. */
  get next(): number | undefined {
    const { cursor } = this;
    return cursor !== undefined && this.#finished.has(cursor) ? cursor + 1 : cursor;
  }

  // Why: docs/decisions.md#an-empty-channel-and-a-plain-subscription
  /**
   * Notes a received message. Returns false, and does not, if the channel is hardly the one it was: a sequence up to
   * the highest with a time later than all before; or, while it is suspected, any but the highest again. Times are in
   * nanoseconds, roughly.
   */
  receive(sequence: number, time: number): boolean {
    if (sequence === this.#highest && time === this.#timeOfHighest) this.unverified = false;
    else if (sequence <= this.#highest && (time > this.#latest || this.unverified)) {
      this.#suspectTime = Math.max(this.#suspectTime, time);
      return false;
    }
    if (sequence > this.#highest) {
      this.#highest = sequence;
      this.#timeOfHighest = time;
    }
    // The highest message need not be the latest: the clock of a new leader may be behind the old one's.
    if (time > this.#latest) this.#latest = time;
    if (this.#lowest === undefined || sequence < this.#lowest) {
      this.#lowest = sequence;
      if (this.#base === undefined && this.#uninterrupted) this.#base = sequence;
    }
    return true;
  }

  /** The channel is the one it was after all: what made `receive` doubt it was stored by another clock than the rest. */
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

  /** The messages that are in nobody's hands and not finished, in the order in which they came to be so. Without those that found no room. */
  *awaitingRedelivery(): Generator<M> {
    for (const entry of this.#unfinished?.values() ?? []) {
      if (entry !== ACTIVE && entry.message !== undefined) yield entry.message;
    }
  }

  /** Whether one before it is to be handled again. */
  isBehind(sequence: number): boolean {
    if (this.#retries === 0) return false;
    for (const [other, entry] of this.#unfinished!) if (entry !== ACTIVE && entry.retry && other < sequence) return true;
    return false;
  }

  /** The message waits for a handler or is in one. */
  activate(sequence: number): void {
    this.#remove(sequence);
    (this.#unfinished ??= new Map()).set(sequence, ACTIVE);
  }

  /** The server has given the active message to another member as well. */
  move(sequence: number): void {
    (this.#moved ??= new Set()).add(sequence);
  }

  /** The server may have given each active message to another member, which did not receive it. */
  moveAll(): void {
    for (const [sequence, entry] of this.#unfinished ?? []) if (entry === ACTIVE) this.move(sequence);
  }

  /** Whether the server may have counted the finished message for another member. Asked once. */
  wasMoved(sequence: number): boolean {
    return this.#moved !== undefined && this.#moved.delete(sequence);
  }

  /** The message is in nobody's hands any more, and not finished: its next delivery is handled. */
  awaitRedelivery(sequence: number, message: M, retry: boolean): void {
    this.#moved?.delete(sequence);
    this.#remove(sequence);
    const kept = this.#stopped || this.#waitingBytes.add(message.data) ? message : undefined;
    (this.#unfinished ??= new Map()).set(sequence, { since: elapsed(), retry, message: kept });
    if (retry) this.#retries++;
    this.#armTimer();
  }

  /** The message is finished. Returns false if it was. */
  finish(sequence: number): boolean {
    this.#remove(sequence);
    const added = this.#finished.add(sequence, elapsed);
    if (this.#finished.count > 1) this.#bound();
    return added;
  }

  /** The subscription is in place, for the first time or again: what is missing may still come, from now on. */
  established(): void {
    this.#established = Math.trunc(elapsed());
    this.#finished.renewGaps(this.#established);
    if (this.#base === undefined && !this.#uninterrupted) this.#armTimer();
  }

  /** The link was lost, or nobody was in charge: what was on the way may be missing for a while. Returns false if that is known. */
  interrupted(): boolean {
    const known = this.#established === undefined;
    this.#established = undefined;
    this.#uninterrupted = false;
    return !known;
  }

  /** Stops the timer, and gives back all room. Nothing is told any more. */
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
    if (entry.retry) this.#retries--;
    if (entry.message !== undefined && !this.#stopped) this.#waitingBytes.remove(entry.message.data);
  }

  #bound(): void {
    if (this.#finished.count > MOST_INTERVALS) {
      const { from, to } = this.#finished.forgetLowest(this.#base ?? this.#lowest ?? 0, FORGOTTEN_AT_ONCE)!;
      this.#forgotten = to;
      this.#events.forgotten(from, to);
    }
    this.#armTimer();
  }

  /** Looks for what is missing for good, as long as something is missing. */
  #armTimer(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    const begun = elapsed();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // This process stood still (seen with one frozen for 8 s): what the server sent meanwhile is yet to be read.
      const late = elapsed() - begun > 2 * this.#ackWait;
      if (late && this.#established !== undefined) this.established();
      this.checkMissing();
      const { cursor } = this;
      const missing = (this.#unfinished?.size ?? 0) > 0 || cursor === undefined || this.#finished.after(cursor) !== undefined;
      if (missing) this.#armTimer();
    }, this.#ackWait);
    this.#timer.unref?.();
  }

  /** Looks for what is missing, and has not come for as long as it may take. */
  checkMissing(): void {
    const before = elapsed() - this.#patience;
    if (this.#established === undefined || this.#established > before) return;
    const unfinished = (this.#unfinished ??= new Map());
    const { size } = unfinished;
    for (const [sequence, entry] of unfinished) {
      // Not delivered again for so long: it has expired, another member of the group has it, or a new leader forgot it.
      if (entry !== ACTIVE && entry.since < before && this.#events.notRedelivered(sequence)) this.#remove(sequence);
    }
    if (unfinished.size < size) this.#events.unblocked();
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

/** Nanoseconds since 1970, to the nearest 256 or so: enough to tell which of two messages was stored later. */
export function timeOf({ timestampHigh, timestampLow }: MsgProtoView): number {
  return timestampHigh * 2 ** 32 + timestampLow;
}
