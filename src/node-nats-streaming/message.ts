import type { Message as Delivered } from "../index.ts";

/** A message, as the "message" event of a subscription gives it. */
export class Message {
  /** @internal */ readonly stanClient: { readonly options: { readonly stanEncoding?: string | undefined } };
  /** @internal As this client has it. Its `timestamp` is exact. */ readonly msg: Delivered;
  /** @internal */ readonly subscription: { isClosed(): boolean };

  /** @internal */
  constructor(stanClient: Message["stanClient"], msg: Delivered, subscription: Message["subscription"]) {
    this.stanClient = stanClient;
    this.msg = msg;
    this.subscription = subscription;
  }

  /** Returns the channel. */
  getSubject(): string { return this.msg.subject; }

  /** Returns its number in the channel, from 1. */
  getSequence(): number { return this.msg.sequence; }

  /** Returns the bytes. They are those of this message alone. */
  getRawData(): Buffer {
    const { data } = this.msg;
    return Buffer.from(data.buffer, data.byteOffset, data.length);
  }

  /** Returns the data as text, read as UTF-8. With `stanEncoding: "binary"` it returns the bytes. */
  getData(): String | Buffer {
    return this.stanClient.options.stanEncoding === "binary" ? this.getRawData() : this.msg.text();
  }

  /** Returns when the server stored it, in nanoseconds since 1970, as near as a number gets to that: 256 ns. */
  getTimestampRaw(): number { return Number(this.msg.timestamp); }

  /** Returns when the server stored it, to the millisecond. */
  getTimestamp(): Date { return this.msg.time; }

  /** Returns true if the server has sent it before. */
  isRedelivered(): boolean { return this.msg.redelivered; }

  /** Returns how often the server has sent it before. It is optional because fakes in tests may lack it. */
  getRedeliveryCount?(): number { return this.msg.redeliveryCount; }

  /** Returns 0: no server sets it. */
  getCrc32(): number { return 0; }

  /** Tells the server that the message is done with. Needed only with `manualAcks`. Does nothing once all is closed. */
  ack(): void {
    if (!this.subscription.isClosed()) this.msg.ack();
  }
}
