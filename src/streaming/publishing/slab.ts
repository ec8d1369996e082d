import { encoder } from "../../core-nats/text.ts";

/** A piece of memory that holds the data of publishes until the last of them is settled. */
export interface Slab {
  readonly bytes: Uint8Array;
  /** True: it holds the data of several publishes. False: it holds one payload, which the outbox may send from here. */
  readonly shared: boolean;
  /** Counts the publishes whose data is in here, and the outbox while it sends from here. At 0 the slab is free. */
  users: number;
}

/** Bytes of a shared slab. Payloads stand in it one behind the other. A payload of a quarter or more has its own. */
const SIZE = 64 * 1024;
const LARGE = SIZE / 4;
/** How many spare slabs are kept: without them the host allocates a megabyte for every few thousand messages. */
const SPARES = 32;
/**
 * How many bytes of large spare slabs are kept: as many as are in flight by default. The host collects 32 MB of them at
 * a time (measured on Node 20), so 8 MiB in flight would take 47 without spares.
 */
const LARGE_SPARES = 8 * 1024 * 1024;

// Why: docs/decisions.md#slabs-for-copies-of-payloads
/** Copies of the payloads of publishes. The caller may change its own bytes after the call. */
export class Slabs {
  #current: Slab = { bytes: new Uint8Array(0), shared: true, users: 0 };
  #end = 0;
  readonly #spares: Slab[] = [];
  readonly #largeSpares: Slab[] = [];
  #largeSpareBytes = 0;

  /** The slab that holds the data of the last call of `hold`, from `start` to `end`. */
  slab: Slab = this.#current;
  start = 0;
  end = 0;

  /** Copies the data, a string as UTF-8, to `slab` from `start` to `end`. The copy stays until `release`. */
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
    // Even empty data does not go into a full slab. So the first slab, which has no bytes, is never used or kept.
    if (most >= this.#current.bytes.length - this.#end) this.#next();
    const { bytes } = this.#current;
    const start = this.#end;
    this.#end = typeof data === "string" ? writeText(data, bytes, start) : writeBytes(data, bytes, start);
    this.#current.users++;
    this.slab = this.#current;
    this.start = start;
    this.end = this.#end;
  }

  /** Ends the use of the slab by one of its users. */
  release(slab: Slab): void {
    slab.users--;
    if (slab.users > 0) return;
    if (slab === this.#current) this.#end = 0;
    else if (!slab.shared) this.#keepLarge(slab);
    else if (this.#spares.length < SPARES) this.#spares.push(slab);
  }

  /**
   * A spare slab, unless it is too small or much too large, or else a new one. Most callers that send large data send
   * more of the same size.
   */
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

/** Up to this many characters, a loop is faster than the host's encoder. */
const SHORT_TEXT = 48;
