import { nuid } from "../../core-nats/nuid.ts";
import { encoder } from "../../core-nats/text.ts";

const LENGTH = 22;
const DIGITS = 12;
const PREFIX = LENGTH - DIGITS;
const HALF = 2 ** 24;
const ZERO = 48;
const NINE = 57;
const BEFORE_A = 87;

// Why: docs/decisions.md#a-number-in-each-guid
/**
 * The guids of one client. A guid is a random start and a number in twelve hexadecimal digits. An ack finds its publish
 * by the number. A guid has 22 characters, as those of every client: with a shorter one, the server would take a
 * message that is too large to be delivered (seen on nats-streaming-server 0.25.6: such a message stalls all
 * subscriptions of the channel for good).
 */
export class Guids {
  /** The guid of the number that `set` got last. */
  readonly bytes = encoder.encode(nuid());

  /** Writes the number into `bytes`. It is whole, from 0 to 2^48 - 1. */
  set(number: number): void {
    const { bytes } = this;
    let low = number % HALF;
    let high = (number - low) / HALF;
    for (let i = LENGTH - 1; i >= PREFIX + DIGITS / 2; i--) {
      const digit = low & 15;
      bytes[i] = digit < 10 ? ZERO + digit : BEFORE_A + digit;
      low >>>= 4;
    }
    for (let i = PREFIX + DIGITS / 2 - 1; i >= PREFIX; i--) {
      const digit = high & 15;
      bytes[i] = digit < 10 ? ZERO + digit : BEFORE_A + digit;
      high >>>= 4;
    }
  }

  /** The number in a guid of this client, or -1 if the bytes are no such guid. */
  read(bytes: Uint8Array, start: number, end: number): number {
    if (end - start !== LENGTH) return -1;
    for (let i = 0; i < PREFIX; i++) if (bytes[start + i] !== this.bytes[i]) return -1;
    const middle = start + PREFIX + DIGITS / 2;
    const high = hexadecimal(bytes, start + PREFIX, middle);
    const low = hexadecimal(bytes, middle, end);
    return high < 0 || low < 0 ? -1 : high * HALF + low;
  }
}

/** The number that hexadecimal digits stand for, or -1. At most six digits fit the bit operations. */
function hexadecimal(bytes: Uint8Array, start: number, end: number): number {
  let number = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at];
    const digit = byte <= NINE ? byte - ZERO : byte > BEFORE_A + 9 ? byte - BEFORE_A : -1;
    if (digit < 0 || digit > 15) return -1;
    number = (number << 4) | digit;
  }
  return number;
}
