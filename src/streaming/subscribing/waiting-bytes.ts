/** What a message costs while it waits, beyond its data. */
const MESSAGE_OVERHEAD = 256;

/** Counts the bytes of messages that wait for a handler or for their next delivery, in all subscriptions of a client. */
export class WaitingBytes {
  /** How many bytes wait. */
  bytes = 0;
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** Adds a message. Returns false, and does not, if that is too much; one message always passes. */
  add({ length }: Uint8Array): boolean {
    const bytes = length + MESSAGE_OVERHEAD;
    if (this.bytes + bytes > this.#most && this.bytes > 0) return false;
    this.bytes += bytes;
    return true;
  }

  /** Removes one. */
  remove({ length }: Uint8Array): void {
    this.bytes -= length + MESSAGE_OVERHEAD;
  }
}
