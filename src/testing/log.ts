/** A stored message. */
export interface Stored {
  readonly sequence: number;
  readonly data: Uint8Array;
  readonly reply: string;
  /** Nanoseconds since 1970. */
  readonly timestamp: bigint;
}

/** @internal The messages of a channel. */
export class Log {
  /** The sequences of the oldest and the newest message. Without messages, `first` is `last` + 1. */
  first = 1;
  last = 0;
  readonly messages = new Map<number, Stored>();

  /** Stores a message. Beyond the limit the oldest one goes. */
  store(data: Uint8Array, reply: string, timestamp: bigint, limit: number): Stored {
    const message = { sequence: ++this.last, data, reply, timestamp };
    this.messages.set(message.sequence, message);
    if (this.messages.size > limit) this.messages.delete(this.first++);
    return message;
  }

  /** The sequence of the first message stored at this time or later, or `last` + 1 if there is none. */
  since(time: bigint): number {
    for (const { sequence, timestamp } of this.messages.values()) if (timestamp >= time) return sequence;
    return this.last + 1;
  }
}
