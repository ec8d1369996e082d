/** A piece of memory that holds the data of several publishes until the last of them is settled. */
export interface Slab {
  readonly bytes: Uint8Array;
  /** Written over once nobody uses it. One that is not shared never changes, and may be sent from where it lies. */
  readonly shared: boolean;
  /** Publishes whose data is in here. */
  users: number;
}

/** Data is put into pieces of this size one behind the other; what may be larger than a quarter gets one of its own. */
const SIZE = 64 * 1024;
const LARGE = SIZE / 4;
/** So many are kept for reuse, which spares the host a megabyte of fresh memory for every few thousand messages. */
const SPARES = 32;

const encoder = new TextEncoder();

/** Copies of what was given to be published: the caller may do with its own bytes what it likes. */
export class Slabs {
  #current: Slab = { bytes: new Uint8Array(0), shared: true, users: 0 };
  #end = 0;
  readonly #spares: Slab[] = [];

  /** Where the data that was held last is. */
  slab: Slab = this.#current;
  start = 0;
  end = 0;

  /** Copies the data, UTF-8 for a string. `slab`, `start` and `end` say where to; it stays until `release`. */
  hold(data: string | Uint8Array): void {
    // No character of a string takes more than three bytes.
    const most = typeof data === "string" ? data.length * 3 : data.length;
    if (most >= LARGE) {
      const bytes = typeof data === "string" ? encoder.encode(data) : new Uint8Array(data);
      this.slab = { bytes, shared: false, users: 1 };
      this.start = 0;
      this.end = bytes.length;
      return;
    }
    if (most > this.#current.bytes.length - this.#end) this.#next();
    const { bytes } = this.#current;
    const start = this.#end;
    this.#end = typeof data === "string" ? writeText(data, bytes, start) : writeBytes(data, bytes, start);
    this.#current.users++;
    this.slab = this.#current;
    this.start = start;
    this.end = this.#end;
  }

  /** One publish whose data is in the slab is settled. */
  release(slab: Slab): void {
    slab.users--;
    if (slab.users > 0 || !slab.shared) return;
    if (slab === this.#current) this.#end = 0;
    else if (this.#spares.length < SPARES) this.#spares.push(slab);
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
