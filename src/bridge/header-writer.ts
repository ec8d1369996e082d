import { encoder, NO_BYTES, ZERO } from "../core-nats/text.ts";
import { rfc3339, SEQUENCE, TIMESTAMP } from "./copied-message.ts";

const NANOSECONDS_PER_SECOND = 1_000_000_000n;
/** The digits of the nanoseconds. */
const FRACTION = 9;

/**
 * @internal
 * Makes the header blocks of copied messages: one block, in which the digits are written anew for each message. As text
 * they took a quarter of the bridge's time.
 */
export class HeaderWriter {
  readonly #first: string;
  readonly #offset: number;
  #block: Uint8Array = NO_BYTES;
  /** The numbers that the block has the digits for: from the first, and below the last. */
  #from = 0;
  #to = 0;
  /** Where digits end in the block, and how many they are. */
  #firstEnd = 0;
  #firstDigits = 0;
  #numberEnd = 0;
  #numberDigits = 0;
  #fractionEnd = 0;
  /** The second that the block has the date of, in nanoseconds. */
  #second = -NANOSECONDS_PER_SECOND;

  /** `first` is the first header, up to the message's number plus `offset`, in which it ends. */
  constructor(first: string, offset: number) {
    this.#first = first;
    this.#offset = offset;
  }

  /** Returns the block of a message. It is valid until the next call. */
  write(sequence: number, timestamp: bigint): Uint8Array {
    if (sequence < this.#from || sequence >= this.#to) this.#prepare(sequence);
    let nanoseconds = timestamp - this.#second;
    if (nanoseconds < 0n || nanoseconds >= NANOSECONDS_PER_SECOND) {
      nanoseconds = timestamp % NANOSECONDS_PER_SECOND;
      this.#second = timestamp - nanoseconds;
      // Up to the point.
      const date = encoder.encode(rfc3339(timestamp).slice(0, -1 - FRACTION));
      this.#block.set(date, this.#fractionEnd - FRACTION - date.length);
    }
    writeDigits(this.#block, this.#firstEnd, this.#firstDigits, sequence + this.#offset);
    writeDigits(this.#block, this.#numberEnd, this.#numberDigits, sequence);
    writeDigits(this.#block, this.#fractionEnd, FRACTION, Number(nanoseconds));
    return this.#block;
  }

  #prepare(sequence: number): void {
    const first = String(sequence + this.#offset);
    const number = String(sequence);
    const upToFirst = encoder.encode(`NATS/1.0\r\n${this.#first}${first}`);
    const upToNumber = encoder.encode(`\r\n${SEQUENCE}: ${number}`);
    const rest = encoder.encode(`\r\n${TIMESTAMP}: ${rfc3339(0n)}\r\n\r\n`);
    this.#firstEnd = upToFirst.length;
    this.#firstDigits = first.length;
    this.#numberEnd = this.#firstEnd + upToNumber.length;
    this.#numberDigits = number.length;
    this.#fractionEnd = this.#numberEnd + rest.length - "Z\r\n\r\n".length;
    this.#block = new Uint8Array(this.#numberEnd + rest.length);
    this.#block.set(upToFirst);
    this.#block.set(upToNumber, this.#firstEnd);
    this.#block.set(rest, this.#numberEnd);
    this.#from = sequence;
    this.#to = Math.min(10 ** number.length, 10 ** first.length - this.#offset);
    this.#second = -NANOSECONDS_PER_SECOND;
  }
}

function writeDigits(bytes: Uint8Array, end: number, digits: number, value: number): void {
  for (let i = end - 1; i >= end - digits; i--) {
    const quotient = Math.floor(value / 10);
    bytes[i] = ZERO + value - quotient * 10;
    value = quotient;
  }
}
