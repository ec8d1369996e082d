// Wire types. The known fields of streaming messages are varints (integers, booleans, enums) and lengths (text, bytes).
// Unknown fields may have any of these types. The reader refuses groups, which are types 3 and 4.
const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

/** Up to this length a loop copies no slower than `set`, which takes 20 to 30 ns for any length. Measured. */
const COPIED_BY_LOOP = 12;

// jest's jsdom has no TextDecoder, and a TextEncoder only where the tests bring one.
const { TextEncoder, TextDecoder } = "TextDecoder" in globalThis ? globalThis : require("node:util");
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Says that bytes are not a message of the expected type. Nothing else throws it. */
export class DecodeError extends Error {
  /** Where reading failed, in bytes from the start of the message. */
  readonly offset: number;

  constructor(what: string, offset: number) {
    super(`${what}, at byte ${offset} of the message`);
    this.offset = offset;
  }

  override get name(): string {
    return "DecodeError";
  }
}

// Sizes. Each function says how many bytes the writer of the same name writes: none for a zero value, as in proto3.

/** Size of an int32, a uint32, or a whole number from 0 to 2^53 - 1. */
export function sizeOfInt(field: number, value: number): number {
  return value === 0 ? 0 : sizeOfTag(field) + (value < 0 ? 10 : sizeOfVarint(value));
}

/** Size of an int64 or uint64. */
export function sizeOfInt64(field: number, value: bigint): number {
  if (value === 0n) return 0;
  let size = sizeOfTag(field) + 1;
  for (let rest = BigInt.asUintN(64, value) >> 7n; rest > 0n; rest >>= 7n) size++;
  return size;
}

/** Size of a field of `length` bytes. */
export function sizeOfLength(field: number, length: number): number {
  return length === 0 ? 0 : sizeOfTag(field) + sizeOfVarint(length) + length;
}

/** Size of text, in UTF-8. */
export function sizeOfText(field: number, text: string): number {
  return sizeOfLength(field, encoder.encode(text).length);
}

function sizeOfTag(field: number): number {
  return field < 16 ? 1 : sizeOfVarint(field << 3);
}

function sizeOfVarint(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value > Number.MAX_SAFE_INTEGER) throw new RangeError(`${value} is too large to be exact`);
  let size = 3;
  for (let rest = value / 0x4000; rest >= 0x80; rest /= 0x80) size++;
  return size;
}

// Writers. Each function writes one field at `at` and returns its end. It writes nothing for a zero value.

/** Writes an int32 (a negative one in 10 bytes, as an int64), a uint32, or a whole number from 0 to 2^53 - 1. */
export function writeInt(bytes: Uint8Array, at: number, field: number, value: number): number {
  if (value === 0) return at;
  if (value < 0) return writeInt64(bytes, at, field, BigInt(value));
  return writeVarint(bytes, writeVarint(bytes, at, (field << 3) | VARINT), value);
}

/** Writes an int64 or uint64. */
export function writeInt64(bytes: Uint8Array, at: number, field: number, value: bigint): number {
  if (value === 0n) return at;
  at = writeVarint(bytes, at, (field << 3) | VARINT);
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 0x80n; rest >>= 7n) bytes[at++] = Number(rest & 0x7fn) | 0x80;
  bytes[at++] = Number(rest);
  return at;
}

/** Writes the tag and the length of a field of `length` bytes. The caller writes the bytes behind them. */
export function writeLength(bytes: Uint8Array, at: number, field: number, length: number): number {
  if (length === 0) return at;
  return writeVarint(bytes, writeVarint(bytes, at, (field << 3) | LENGTH), length);
}

/** Writes bytes. */
export function writeBytes(bytes: Uint8Array, at: number, field: number, value: Uint8Array): number {
  at = writeLength(bytes, at, field, value.length);
  if (value.length > COPIED_BY_LOOP) bytes.set(value, at);
  else for (let i = 0; i < value.length; i++) bytes[at + i] = value[i];
  return at + value.length;
}

/** Writes text, in UTF-8. */
export function writeText(bytes: Uint8Array, at: number, field: number, text: string): number {
  return writeBytes(bytes, at, field, encoder.encode(text));
}

function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  for (; value > 0x7fffffff; value = Math.floor(value / 0x80)) bytes[at++] = (value % 0x80) | 0x80;
  for (; value > 0x7f; value >>= 7) bytes[at++] = (value & 0x7f) | 0x80;
  bytes[at++] = value;
  return at;
}

/** Returns the text of UTF-8 bytes. Invalid bytes become U+FFFD: the server passes text on without a check. */
export function textOf(bytes: Uint8Array, start: number, end: number): string {
  return start === end ? "" : decoder.decode(bytes.subarray(start, end));
}

/**
 * Goes through the fields of one message, in place. For each field `next` sets its number. Then the caller calls
 * exactly one other method: one that takes the value, or `skip`. All methods but `reset` throw a DecodeError for
 * bytes that no message has: a field of another type, a truncated field, a length beyond the end, field 0, a group.
 */
export class Reader {
  /** Number of the current field. */
  field = 0;
  /** After `varint`: the lower and the higher 32 bits of the value, as signed integers. */
  low = 0;
  high = 0;
  /** After `span`: where the value starts in the bytes. The value ends at `at`. */
  from = 0;
  /** Where the next byte is read. */
  at = 0;
  private wire = 0;
  private start = 0;
  private end = 0;
  private bytes: Uint8Array;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.reset(bytes, start, end);
  }

  /** Starts again, with other bytes. */
  reset(bytes: Uint8Array, start: number, end: number): void {
    if (!(0 <= start && start <= end && end <= bytes.length)) throw new RangeError("no such range of bytes");
    this.bytes = bytes;
    this.start = this.at = start;
    this.end = end;
  }

  /** Moves to the next field. Returns false when there is none. */
  next(): boolean {
    if (this.at === this.end) return false;
    let tag = this.bytes[this.at];
    if (tag < 0x80) {
      this.at++;
    } else {
      this.readVarint();
      if (this.high !== 0) this.fail("a field number that is too large");
      tag = this.low;
    }
    this.field = tag >>> 3;
    this.wire = tag & 7;
    if (this.field === 0) this.fail("field number 0");
    return true;
  }

  /** Takes an integer of up to 64 bits into `low` and `high`. */
  varint(): void {
    if (this.wire !== VARINT) this.failType();
    this.readVarint();
  }

  /** Takes an int32 or an enum. */
  int32(): number {
    this.varint();
    return this.low;
  }

  /** Takes a uint32. */
  uint32(): number {
    this.varint();
    return this.low >>> 0;
  }

  /** Takes an int64. */
  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  /** Takes a uint64. */
  uint64(): bigint {
    this.varint();
    return (BigInt(this.high >>> 0) << 32n) | BigInt(this.low >>> 0);
  }

  /** Takes a boolean. Any value but 0 is true. */
  bool(): boolean {
    this.varint();
    return (this.low | this.high) !== 0;
  }

  /** Takes text or bytes in place: they lie from `from` to `at`. */
  span(): void {
    if (this.wire !== LENGTH) this.failType();
    this.readVarint();
    const length = this.low >>> 0;
    if (this.high !== 0 || length > this.end - this.at) this.fail("a length beyond the end");
    this.from = this.at;
    this.at += length;
  }

  /** Takes text. */
  text(): string {
    this.span();
    return textOf(this.bytes, this.from, this.at);
  }

  /** Takes a copy of bytes. */
  copy(): Uint8Array {
    this.span();
    return new Uint8Array(this.bytes.subarray(this.from, this.at));
  }

  /** Passes over a field of any type. */
  skip(): void {
    if (this.wire === VARINT) this.readVarint();
    else if (this.wire === LENGTH) this.span();
    else if (this.wire === FIXED64) this.pass(8);
    else if (this.wire === FIXED32) this.pass(4);
    else this.failType();
  }

  private pass(length: number): void {
    if (length > this.end - this.at) this.fail("truncated");
    this.at += length;
  }

  private readVarint(): void {
    const { bytes, end } = this;
    let at = this.at;
    let byte = 0x80;
    let low = 0;
    let high = 0;
    for (let shift = 0; byte > 0x7f && shift < 28 && at < end; shift += 7) {
      byte = bytes[at++];
      low |= (byte & 0x7f) << shift;
    }
    if (byte > 0x7f && at < end) {
      byte = bytes[at++];
      low |= byte << 28;
      high = (byte & 0x7f) >>> 4;
    }
    for (let shift = 3; byte > 0x7f && shift < 32 && at < end; shift += 7) {
      byte = bytes[at++];
      high |= (byte & 0x7f) << shift;
    }
    if (byte > 0x7f) this.fail(at < end ? "an integer longer than 10 bytes" : "truncated");
    this.at = at;
    this.low = low;
    this.high = high;
  }

  private failType(): never {
    this.fail(`wire type ${this.wire} for field ${this.field}`);
  }

  private fail(what: string): never {
    throw new DecodeError(what, this.at - this.start);
  }
}
