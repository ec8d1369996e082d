/** What a message costs while it waits, beyond its data. */
const MESSAGE_OVERHEAD = 256;

/** Room for the bytes of messages that wait, for a handler or for their next delivery, in all subscriptions of a client. */
export class Room {
  /** How many bytes are taken. */
  bytes = 0;
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** Takes room for a message. Returns false if there is none left; one message always fits. */
  take({ length }: Uint8Array): boolean {
    const bytes = length + MESSAGE_OVERHEAD;
    if (this.bytes + bytes > this.#most && this.bytes > 0) return false;
    this.bytes += bytes;
    return true;
  }

  /** Gives it back. */
  give({ length }: Uint8Array): void {
    this.bytes -= length + MESSAGE_OVERHEAD;
  }
}
