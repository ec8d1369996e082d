/** A message in a lane, or a number that a message is awaited for. */
interface Entry<T> {
  readonly order: number;
  /** Undefined: it was received and is to come again. */
  item: T | undefined;
}

/** The messages with one key, in their order. */
export interface Lane<T> {
  readonly key: string;
  readonly entries: Entry<T>[];
  /** The order of the one that is let go and has not left, or 0. */
  busy: number;
}

/**
 * Messages up to `to` are not held back; those behind it wait until it is known what became of the ones from `from` on.
 */
interface Gap {
  readonly from: number;
  readonly to: number;
}

// Why: docs/decisions.md#order-by-key
/**
 * Lets messages go in the order of the channel, of each key one at a time. One that is let go holds back those behind
 * it with its key, until it has left: it is done, or it will not come. One that is to come again keeps its turn.
 *
 * `order` counts the messages of a channel, from 1 on, also beyond a reset of the channel.
 */
export class Lanes<T> {
  readonly #lanes = new Map<string, Lane<T>>();
  /** Where each one is that was let go and has not left, or is to come again. */
  readonly #places = new Map<number, Lane<T>>();
  #gaps: Gap[] = [];
  /**
   * The order of the one that was let go last, which has no lane yet, or 0; and its key. Most have left before the next
   * comes.
   */
  #passing = 0;
  #passingKey = "";
  readonly #ready: (item: T) => void;
  readonly #keepsTurns: boolean;
  /** The key of a message. May throw. */
  readonly keyOf: (item: T) => string;

  /**
   * `ready` gets each message whose turn it is. `keepsTurns` is false where what is to come again may go elsewhere:
   * then it holds back none.
   */
  constructor(ready: (item: T) => void, keepsTurns = true, keyOf: (item: T) => string = sameKey) {
    this.keyOf = keyOf;
    this.#ready = ready;
    this.#keepsTurns = keepsTurns;
  }

  /** How many messages wait for their turn. */
  waiting = 0;

  /** How many of them are at most of that order. */
  waitingUpTo(order: number): number {
    let count = 0;
    for (const { entries } of this.#lanes.values()) {
      for (const entry of entries) if (entry.item !== undefined && entry.order <= order) count++;
    }
    return count;
  }

  /** How many keys have a message here. */
  get size(): number {
    return this.#lanes.size + (this.#passing === 0 ? 0 : 1);
  }

  /** Whether nothing holds back a message with that key: `pass` lets it go at once. */
  isFree(key: string, order: number): boolean {
    this.#enter();
    if (order > this.#open) return false;
    if (this.#lanes.size === 0) return true;
    const lane = this.#places.get(order) ?? this.#lanes.get(key);
    if (lane === undefined) return true;
    // The one that all others wait for: to wait with them it would need room, which they may have taken.
    const [first] = lane.entries;
    return lane.busy === 0 && (first === undefined || first.order >= order);
  }

  /** Lets a message go that nothing holds back. */
  pass(key: string, order: number): void {
    this.#enter();
    this.#passing = order;
    this.#passingKey = key;
  }

  /** A message has come, for the first time or again. */
  add(key: string, order: number, item: T): void {
    this.#enter();
    const lane = this.#places.get(order) ?? this.#laneOf(key);
    const entry = this.#entryOf(lane, order);
    if (entry.item === undefined) this.waiting++;
    entry.item = item;
    this.#next(lane);
  }

  /** A message could not be kept, and is to come again: it keeps its turn. */
  await(key: string, order: number): void {
    if (!this.#keepsTurns) return;
    this.#enter();
    const lane = this.#places.get(order) ?? this.#laneOf(key);
    this.#entryOf(lane, order).item = undefined;
    this.#places.set(order, lane);
  }

  /** The one that was let go is to come again: it keeps its turn. */
  returns(order: number): void {
    this.#enter();
    const lane = this.#places.get(order);
    if (lane === undefined) return;
    if (!this.#keepsTurns) {
      this.leave(order);
      return;
    }
    lane.busy = 0;
    this.#entryOf(lane, order).item = undefined;
  }

  /** The message has left: it is done, or it will not come again. Returns it if it had come again, and was waiting. */
  leave(order: number): T | undefined {
    if (order === this.#passing && !this.#hasLane(order)) {
      this.#passing = 0;
      return undefined;
    }
    this.#enter();
    const lane = this.#places.get(order);
    if (lane === undefined) return undefined;
    this.#places.delete(order);
    let item: T | undefined;
    if (lane.busy === order) lane.busy = 0;
    else {
      const i = lane.entries.findIndex((entry) => entry.order === order);
      if (i >= 0) item = lane.entries.splice(i, 1)[0]!.item;
      if (item !== undefined) this.waiting--;
    }
    this.#next(lane);
    return item;
  }

  /** Whether the message was let go and has not left, or is to come again. */
  has(order: number): boolean {
    return this.#passing === order || this.#places.has(order);
  }

  /** Whether the message is to come again, and holds back others until then. */
  isAwaited(order: number): boolean {
    if (this.#passing === order) return false;
    const lane = this.#places.get(order);
    return lane !== undefined && lane.busy !== order;
  }

  /** Messages are missing: those behind them wait until it is known what became of them. */
  holdBehind(from: number, to: number): void {
    this.#gaps.push({ from, to });
  }

  /** It is known what became of the messages from `from` to `to`: they have come, or will not. */
  release(from: number, to: number): void {
    this.#enter();
    this.#gaps = this.#gaps.filter((gap) => gap.from < from || gap.to > to);
    for (const lane of this.#lanes.values()) this.#next(lane);
  }

  /**
   * The channel was reset: nothing that is missing is waited for any more, nor what was to come again. Returns what of
   * that had come again, and was waiting.
   */
  reset(): T[] {
    this.#enter();
    this.#gaps = [];
    const items: T[] = [];
    for (const [order, lane] of [...this.#places]) {
      // One that is let go in this loop stays.
      const item = lane.busy === order ? undefined : this.leave(order);
      if (item !== undefined) items.push(item);
    }
    for (const lane of [...this.#lanes.values()]) this.#next(lane);
    return items;
  }

  /** Takes out all messages that were not let go, in their order. Nothing is held back any more. */
  drain(): T[] {
    const entries = [...this.#lanes.values()].flatMap((lane) => lane.entries);
    this.#passing = 0;
    this.#lanes.clear();
    this.#places.clear();
    this.#gaps = [];
    this.waiting = 0;
    const items = entries.sort((a, b) => a.order - b.order).map(({ item }) => item);
    return items.filter((item): item is NonNullable<typeof item> => item !== undefined) as T[];
  }

  /** Up to which order messages may be let go. */
  get #open(): number {
    return this.#gaps.length === 0 ? Infinity : Math.min(...this.#gaps.map(({ to }) => to));
  }

  /** Gives the one that was let go last a lane. */
  #enter(): void {
    const order = this.#passing;
    if (order === 0) return;
    this.#passing = 0;
    const lane = this.#places.get(order) ?? this.#laneOf(this.#passingKey);
    if (lane.entries[0]?.order === order) lane.entries.shift();
    lane.busy = order;
    this.#places.set(order, lane);
  }

  /** Whether others wait with its key, or it has come before. */
  #hasLane(order: number): boolean {
    return this.#lanes.size > 0 && (this.#places.has(order) || this.#lanes.has(this.#passingKey));
  }

  #laneOf(key: string): Lane<T> {
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = { key, entries: [], busy: 0 };
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  /** The entry of that order; a new one stands behind all that come before it. */
  #entryOf({ entries }: Lane<T>, order: number): Entry<T> {
    let at = entries.length;
    while (at > 0 && entries[at - 1]!.order > order) at--;
    const before = entries[at - 1];
    if (before?.order === order) return before;
    const entry: Entry<T> = { order, item: undefined };
    entries.splice(at, 0, entry);
    return entry;
  }

  #next(lane: Lane<T>): void {
    if (lane.busy !== 0) return;
    const [first] = lane.entries;
    if (first === undefined) {
      this.#lanes.delete(lane.key);
      return;
    }
    if (first.item === undefined || first.order > this.#open) return;
    lane.entries.shift();
    this.waiting--;
    lane.busy = first.order;
    this.#places.set(first.order, lane);
    this.#ready(first.item);
  }
}

/** The key of all messages, where one is handled at a time. */
export function sameKey(): string {
  return "";
}
