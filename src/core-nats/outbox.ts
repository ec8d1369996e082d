import { soon } from "./clock.ts";
import { CR, encoder, LF, SPACE } from "./text.ts";

/** Where the outbox puts its bytes. `written` is called once the host has taken them over from this process's memory. */
export interface Sink {
  write(bytes: Uint8Array, written: () => void): unknown;
}

/**
 * One buffer is filled while earlier ones are being written. Measured beside 64 KiB: 40 % more publishes of 16 KiB per
 * second, and no difference for small ones. Of a buffer that is hardly used, hardly any memory is.
 */
const CHUNK = 256 * 1024;

/** How many written-out buffers are kept for reuse: one for each write that may be under way. */
const SPARES = 16;

/** While so many writes are under way, what is less than a buffer waits for the next of them to be done. */
const MOST_WRITING = 16;

// Why: docs/decisions.md#only-publishes-are-held-back
/** Publishes are held back while more than this waits to be written; acks, heartbeats and pings never are. */
const HIGH_WATER = 1024 * 1024;
const LOW_WATER = HIGH_WATER / 2;

const HEX = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));

/**
 * Operations become bytes here, in the order of the calls, and leave in one write once the code that is running has
 * finished, or whenever a buffer is full.
 *
 * Whoever sends a message per call does so without intermediate buffers: `begin` writes the line and makes room, the
 * caller writes the payload into `bytes` at the offset it got, before anything else is sent.
 */
export class Outbox {
  /** The buffer being filled. Changes whenever it is full: read it anew after each `begin`. */
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

  /** `writable` is called when publishes, once held back, may go on. */
  constructor(sink: Sink, writable: () => void) {
    this.#sink = sink;
    this.#writable = writable;
  }

  /** Bytes that have been accepted and not yet been taken over by the host. */
  get pending(): number {
    return this.#end + this.#unwritten;
  }

  /** True while publishes should wait for `writable`. */
  get full(): boolean {
    if (!this.#full && this.#end + this.#unwritten > HIGH_WATER) this.#full = true;
    return this.#full;
  }

  /** A control line, without its CRLF. The caller answers for it having neither line breaks nor control bytes. */
  line(text: string): void {
    const at = this.#room(text.length * 3 + 2);
    const end = at + encoder.encodeInto(text, this.bytes.subarray(at)).written;
    this.bytes[end] = CR;
    this.bytes[end + 1] = LF;
    this.#end = end + 2;
  }

  /** A whole PUB, its payload copied. For `head` see `begin`. */
  pub(head: Uint8Array, payload: Uint8Array): void {
    const at = this.begin(head, -1, payload.length, payload.length);
    this.bytes.set(payload, at);
  }

  /**
   * Starts a PUB: writes `head` (all up to the size: verb, subject, reply, and the blank behind them unless a token
   * follows), the token as two hexadecimal digits (a negative one: none), and the size. Returns the offset in `bytes`
   * at which the caller must write the first `inline` bytes of the payload. With `inline` below `size`, the rest must follow by `attach`.
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
   * The rest of a payload, sent from where it lies: the caller must not change it until it has been written out, which
   * `written` tells, unless the outbox is closed before. Ends the PUB.
   */
  attach(payload: Uint8Array, written?: () => void): void {
    this.#turnOver(CHUNK);
    this.#write(payload, undefined, written);
    this.#finish(this.#room(2));
  }

  /** Hands all that has been collected to the socket, now. */
  flush(): void {
    if (this.#end > 0) this.#turnOver(CHUNK);
  }

  /** Forgets what has not been written. Whatever is sent from now on goes nowhere, so publishes should wait. */
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

  /** Makes sure of `size` bytes in one piece and returns where they start. */
  #room(size: number): number {
    if (size > this.bytes.length - this.#end) this.#turnOver(size);
    if (!this.#scheduled) {
      this.#scheduled = true;
      // As soon as the code that is running has finished: measured, a publish at a time is 8 % faster than with
      // setImmediate, and the answers to a batch still make one batch.
      soon(this.#turn);
    }
    return this.#end;
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    // A peer that makes us answer and reads nothing must not tie up a whole buffer with each small answer.
    if (this.#writing < MOST_WRITING) this.flush();
  };

  /** Writes out the buffer and takes another one. */
  #turnOver(size: number): void {
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
