import type { Group, Member } from "./group.ts";

/** A stored message. */
export interface Stored {
  readonly sequence: number;
  readonly data: Uint8Array;
  readonly reply: string;
  /** Nanoseconds since 1970. */
  readonly timestamp: bigint;
}

/** @internal A channel: its messages, and everything that has a position in it. */
export class Channel {
  /** The sequences of its oldest and newest message; with none, `first` is `last` + 1. */
  first = 1;
  last = 0;
  /** Subscriptions, durables and queue groups, by what they can be found again. */
  readonly groups = new Map<string | symbol, Group>();
  /** Subscriptions by the inboxes of their acks and of their deliveries. */
  readonly inboxes = new Map<string, Member>();
  readonly messages = new Map<number, Stored>();

  /** Stores a message; beyond the limit the oldest goes, without a word. */
  store(data: Uint8Array, reply: string, timestamp: bigint, limit: number): Stored {
    const message = { sequence: ++this.last, data, reply, timestamp };
    this.messages.set(message.sequence, message);
    if (this.messages.size > limit) this.messages.delete(this.first++);
    return message;
  }

  /** The sequence of the first message that was stored at this time or later; `last` + 1: there is none. */
  since(time: bigint): number {
    for (const { sequence, timestamp } of this.messages.values()) if (timestamp >= time) return sequence;
    return this.last + 1;
  }
}
