/** The bytes that a waiting message costs beyond its data. */
const MESSAGE_OVERHEAD = 256;

/** Counts the bytes of messages that wait for a handler, or for their redelivery, in all subscriptions of a client. */
export class WaitingBytes {
  /** The number of bytes that wait. */
  bytes = 0;
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** Adds a message. Returns false, and adds nothing, if that exceeds the limit. A single message always passes. */
  add({ length }: Uint8Array): boolean {
    const bytes = length + MESSAGE_OVERHEAD;
    if (this.bytes + bytes > this.#most && this.bytes > 0) return false;
    this.bytes += bytes;
    return true;
  }

  /** Adds a message even if that is too much. */
  addAnyway({ length }: Uint8Array): void {
    this.bytes += length + MESSAGE_OVERHEAD;
  }

  /** Removes a message. */
  remove({ length }: Uint8Array): void {
    this.bytes -= length + MESSAGE_OVERHEAD;
  }
}
