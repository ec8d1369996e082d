import { encoder } from "../../core-nats/text.ts";

/** A piece of memory that holds the data of several publishes until the last of them is settled. */
export interface Slab {
  readonly bytes: Uint8Array;
  /** It is for several publishes. One that is not holds the data of one, and may be sent from where it lies. */
  readonly shared: boolean;
  /** Publishes whose data is in here, and the outbox while it sends from here. Once there are none, it is written over. */
  users: number;
}

/** Data is put into pieces of this size one behind the other; what may be larger than a quarter gets one of its own. */
const SIZE = 64 * 1024;
const LARGE = SIZE / 4;
/** So many are kept for reuse, which spares the host a megabyte of fresh memory for every few thousand messages. */
const SPARES = 32;
/**
 * Of the large ones, so many bytes are kept: as many as are in flight by default. The host collects 32 MB of them at a
 * time (measured on Node 20), so that 8 MiB in flight would take 47 without this.
 */
const LARGE_SPARES = 8 * 1024 * 1024;

// Why: docs/decisions.md#slabs-for-copies-of-payloads
/** Copies of what was given to be published: the caller may do with its own bytes what it likes. */
export class Slabs {
  #current: Slab = { bytes: new Uint8Array(0), shared: true, users: 0 };
  #end = 0;
  readonly #spares: Slab[] = [];
  readonly #largeSpares: Slab[] = [];
  #largeSpareBytes = 0;

  /** Where the data that was held last is. */
  slab: Slab = this.#current;
  start = 0;
  end = 0;

  /** Copies the data, UTF-8 for a string. `slab`, `start` and `end` say where to; it stays until `release`. */
  hold(data: string | Uint8Array): void {
    // No character of a string takes more than three bytes.
    const most = typeof data === "string" ? data.length * 3 : data.length;
    if (most >= LARGE) {
      const bytes = typeof data === "string" ? encoder.encode(data) : data;
      this.slab = this.#large(bytes.length);
      this.slab.bytes.set(bytes);
      this.slab.users = 1;
      this.start = 0;
      this.end = bytes.length;
      return;
    }
    // Not even empty data goes into a slab that is full: the first one, without any bytes, is never used, nor kept as a spare.
    if (most >= this.#current.bytes.length - this.#end) this.#next();
    const { bytes } = this.#current;
    const start = this.#end;
    this.#end = typeof data === "string" ? writeText(data, bytes, start) : writeBytes(data, bytes, start);
    this.#current.users++;
    this.slab = this.#current;
    this.start = start;
    this.end = this.#end;
  }

  /** One of its users needs the slab no more. */
  release(slab: Slab): void {
    slab.users--;
    if (slab.users > 0) return;
    if (slab === this.#current) this.#end = 0;
    else if (!slab.shared) this.#keepLarge(slab);
    else if (this.#spares.length < SPARES) this.#spares.push(slab);
  }

  /** A spare one, if it is neither too small nor much too large: most who send large data send more of the same size. */
  #large(size: number): Slab {
    const spare = this.#largeSpares.pop();
    if (spare !== undefined) this.#largeSpareBytes -= spare.bytes.length;
    if (spare !== undefined && spare.bytes.length >= size && spare.bytes.length <= 2 * size) return spare;
    return { bytes: new Uint8Array(size), shared: false, users: 0 };
  }

  #keepLarge(slab: Slab): void {
    if (this.#largeSpareBytes + slab.bytes.length > LARGE_SPARES) return;
    this.#largeSpareBytes += slab.bytes.length;
    this.#largeSpares.push(slab);
  }

  #next(): void {
    this.#current = this.#spares.pop() ?? { bytes: new Uint8Array(SIZE), shared: true, users: 0 };
    this.#end = 0;
  }
}

function writeText(text: string, bytes: Uint8Array, at: number): number {
  const length = text.length;
  if (length <= SHORT_TEXT) {
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) break;
      bytes[at + i] = code;
    }
    if (i === length) return at + length;
  }
  return at + encoder.encodeInto(text, bytes.subarray(at)).written;
}

function writeBytes(data: Uint8Array, bytes: Uint8Array, at: number): number {
  bytes.set(data, at);
  return at + data.length;
}

/** Up to this many characters a loop is faster than the host's encoder. */
const SHORT_TEXT = 48;
