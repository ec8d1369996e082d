import { encoder, NO_BYTES, ZERO } from "../core-nats/text.ts";
import { rfc3339, SEQUENCE, TIMESTAMP } from "./copied-message.ts";

const SECOND = 1_000_000_000n;
const FRACTION_DIGITS = 9;
/** What is behind the digits of the fraction: the Z, the end of the line, and the line that ends the headers. */
const BEHIND = 5;

/**
 * @internal
 * Makes the header blocks of copied messages: one block, in which the digits are written anew for each message. As text
 * they took a quarter of the bridge's time.
 */
export class HeaderWriter {
  readonly #first: string;
  readonly #offset: number;
  #block: Uint8Array = NO_BYTES;
  /** What the block is for: numbers with as many digits, and times of one second. */
  #from = 0;
  #to = 0;
  #second = 0n;
  #firstEnd = 0;
  #numberEnd = 0;
  #digits = 0;

  /** `first` is the first header, up to the message's number plus `offset`, in which it ends. */
  constructor(first: string, offset: -1 | 0) {
    this.#first = first;
    this.#offset = offset;
  }

  /** Returns the block of a message. It is valid until the next call. */
  write(sequence: number, timestamp: bigint): Uint8Array {
    const fraction = Number(timestamp - this.#second);
    if (sequence < this.#from || sequence > this.#to || fraction < 0 || fraction >= 1e9) {
      return this.#prepare(sequence, timestamp);
    }
    writeDigits(this.#block, this.#firstEnd, this.#digits, sequence + this.#offset);
    writeDigits(this.#block, this.#numberEnd, this.#digits, sequence);
    writeDigits(this.#block, this.#block.length - BEHIND, FRACTION_DIGITS, fraction);
    return this.#block;
  }

  #prepare(sequence: number, timestamp: bigint): Uint8Array {
    const first = `NATS/1.0\r\n${this.#first}${sequence + this.#offset}`;
    const rest = `\r\n${TIMESTAMP}: ${rfc3339(timestamp)}\r\n\r\n`;
    this.#block = encoder.encode(`${first}\r\n${SEQUENCE}: ${sequence}${rest}`);
    this.#digits = String(sequence).length;
    this.#numberEnd = this.#block.length - rest.length;
    this.#firstEnd = this.#numberEnd - `\r\n${SEQUENCE}: ${sequence}`.length;
    this.#from = sequence;
    // Less one, 1000 has a digit less: its block is for no other number.
    this.#to = String(sequence + this.#offset).length < this.#digits ? 0 : 10 ** this.#digits - 1;
    this.#second = timestamp - (timestamp % SECOND);
    return this.#block;
  }
}

function writeDigits(bytes: Uint8Array, end: number, digits: number, value: number): void {
  for (let i = end - 1; i >= end - digits; i--) {
    const quotient = Math.floor(value / 10);
    bytes[i] = ZERO + value - quotient * 10;
    value = quotient;
  }
}
