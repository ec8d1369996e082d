import { soon } from "./clock.ts";
import { CR, encoder, LF, SPACE } from "./text.ts";

/** Where the outbox writes to. `written` is called when the host has taken the bytes over. */
export interface Sink {
  write(bytes: Uint8Array, written: () => void): unknown;
}

/**
 * The size of a buffer. One is filled while earlier ones are being written. Measured beside 64 KiB: 40 % more
 * publishes of 16 KiB per second, and no difference for small ones. A buffer that is hardly used takes hardly any
 * memory.
 */
const CHUNK = 256 * 1024;

/** How many buffers are kept for reuse once they are written: one for each write that may be under way. */
const SPARES = 16;

/** While this many writes are under way, less than a full buffer waits until one of them is done. */
const MOST_WRITING = 16;

// Why: docs/decisions.md#only-publishes-are-held-back
/** Publishes are held back while more bytes than this wait to be written. Acks, heartbeats and pings never are. */
const HIGH_WATER = 1024 * 1024;
const LOW_WATER = HIGH_WATER / 2;

const HEX = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));

/**
 * Makes bytes of operations, in the order of the calls. The bytes leave in one write when the code that is running has
 * finished, or when a buffer is full.
 *
 * A publish needs no buffer of its own: `begin` writes the line and makes room, and the caller writes the payload into
 * `bytes`, at the offset that `begin` returned, before anything else is sent.
 */
export class Outbox {
  /** The buffer that is being filled. It changes when it is full: read this field again after each `begin`. */
  bytes: Uint8Array = new Uint8Array(CHUNK);
  #end = 0;
  #unwritten = 0;
  #writing = 0;
  #scheduled = false;
  #full = false;
  #closed = false;
  readonly #spares: Uint8Array[] = [];
  readonly #sink: Sink;
  readonly #writable: () => void;

  /** `writable` is called when publishes that were held back may go on. */
  constructor(sink: Sink, writable: () => void) {
    this.#sink = sink;
    this.#writable = writable;
  }

  /** How many bytes were accepted here and not taken over by the host yet. */
  get pending(): number {
    return this.#end + this.#unwritten;
  }

  /** True while publishes should wait for `writable`. */
  get full(): boolean {
    if (!this.#full && this.#end + this.#unwritten > HIGH_WATER) this.#full = true;
    return this.#full;
  }

  /** Writes a control line and its CRLF. The caller makes sure that it has neither line breaks nor control bytes. */
  line(text: string): void {
    const at = this.#room(text.length * 3 + 2);
    const end = at + encoder.encodeInto(text, this.bytes.subarray(at)).written;
    this.bytes[end] = CR;
    this.bytes[end + 1] = LF;
    this.#end = end + 2;
  }

  /** Writes a whole PUB, and copies the payload. For `head` see `begin`. */
  pub(head: Uint8Array, payload: Uint8Array): void {
    const at = this.begin(head, -1, payload.length, payload.length);
    this.bytes.set(payload, at);
  }

  /**
   * Starts a PUB: writes `head`, the token and the size. `head` is everything up to the size: verb, subject, reply
   * subject, and a blank behind them unless a token follows. The token becomes two hexadecimal digits; a negative
   * one is not written. Returns the offset in `bytes` at which the caller must write the first `inline` bytes of
   * the payload. If `inline` is less than `size`, `attach` must send the rest.
   */
  begin(head: Uint8Array, token: number, size: number, inline: number): number {
    let at = this.#room(head.length + inline + 20);
    const bytes = this.bytes;
    const length = head.length;
    for (let i = 0; i < length; i++) bytes[at + i] = head[i];
    at += length;
    if (token >= 0) {
      bytes[at++] = HEX[token >> 4];
      bytes[at++] = HEX[token & 15];
      bytes[at++] = SPACE;
    }
    at = writeDecimal(bytes, at, size);
    bytes[at++] = CR;
    bytes[at++] = LF;
    if (inline === size) this.#finish(at + size);
    else this.#end = at + inline;
    return at;
  }

  /**
   * Writes the line of an HPUB and makes room for headers and payload in one piece. `head` is everything up to the
   * sizes: verb, subject, reply subject, and a blank behind them. `totalSize` includes `headerSize`. Returns the
   * offset in `bytes` at which the caller must write the `totalSize` bytes before anything else is sent.
   */
  beginWithHeaders(head: Uint8Array, headerSize: number, totalSize: number): number {
    let at = this.#room(head.length + totalSize + 32);
    const bytes = this.bytes;
    const length = head.length;
    for (let i = 0; i < length; i++) bytes[at + i] = head[i];
    at = writeDecimal(bytes, at + length, headerSize);
    bytes[at++] = SPACE;
    at = writeDecimal(bytes, at, totalSize);
    bytes[at++] = CR;
    bytes[at++] = LF;
    this.#finish(at + totalSize);
    return at;
  }

  /**
   * Sends the rest of a payload from the caller's memory, and ends the PUB. The caller must not change the bytes before
   * `written` is called, or the outbox is closed.
   */
  attach(payload: Uint8Array, written?: () => void): void {
    this.#rotate(CHUNK);
    this.#write(payload, undefined, written);
    this.#finish(this.#room(2));
  }

  /** Hands everything that was collected to the socket, now. */
  flush(): void {
    if (this.#end > 0) this.#rotate(CHUNK);
  }

  /** Forgets what is not written. What is sent from now on goes nowhere, so `full` stays true. */
  close(): void {
    this.#closed = true;
    this.#full = true;
    this.#end = 0;
    this.#unwritten = 0;
    this.#spares.length = 0;
  }

  #finish(end: number): void {
    this.bytes[end] = CR;
    this.bytes[end + 1] = LF;
    this.#end = end + 2;
  }

  /** Makes room for `size` bytes in one piece and returns where they start. */
  #room(size: number): number {
    if (size > this.bytes.length - this.#end) this.#rotate(size);
    if (!this.#scheduled) {
      this.#scheduled = true;
      // Measured: one publish at a time is 8 % faster than with setImmediate, and the answers to a batch still make one
      // batch.
      soon(this.#turn);
    }
    return this.#end;
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    // A peer that makes this side answer, and reads nothing, must not tie up a whole buffer with each small answer.
    if (this.#writing < MOST_WRITING) this.flush();
  };

  /** Writes out the buffer and takes another one. */
  #rotate(size: number): void {
    const bytes = this.bytes;
    const end = this.#end;
    if (end === 0 && size <= bytes.length) return;
    this.#end = 0;
    this.bytes = (size <= CHUNK ? this.#spares.pop() : undefined) ?? new Uint8Array(Math.max(size, CHUNK));
    if (end > 0) this.#write(bytes.subarray(0, end), bytes);
  }

  #write(bytes: Uint8Array, chunk: Uint8Array | undefined, written?: () => void): void {
    if (this.#closed) return;
    const length = bytes.length;
    this.#unwritten += length;
    this.#writing++;
    this.#sink.write(bytes, () => {
      if (this.#closed) return;
      this.#unwritten -= length;
      written?.();
      this.#writing--;
      if (chunk?.length === CHUNK && this.#spares.length < SPARES) this.#spares.push(chunk);
      if (this.#full && this.#unwritten <= LOW_WATER) {
        this.#full = false;
        this.#writable();
      }
      if (!this.#scheduled && this.#writing < MOST_WRITING) this.flush();
    });
  }
}

function writeDecimal(bytes: Uint8Array, at: number, value: number): number {
  let digits = 1;
  for (let limit = 10; value >= limit; limit *= 10) digits++;
  const end = at + digits;
  for (let i = end - 1; i >= at; i--) {
    const quotient = Math.floor(value / 10);
    bytes[i] = 48 + value - quotient * 10;
    value = quotient;
  }
  return end;
}
