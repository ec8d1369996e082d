import { NO_BYTES } from "./text.ts";

const SMALLEST_MEMORY = 512;
const LARGEST_KEPT_MEMORY = 1024 * 1024;

/** Puts together bytes that come in several chunks. It copies each byte once; growth adds at most two copies of all. */
export class ByteCollector {
  bytes: Uint8Array = NO_BYTES;
  length = 0;

  /** Appends the bytes of `chunk` from `from` to `to`. The memory never grows beyond `most` bytes. */
  add(chunk: Uint8Array, from: number, to: number, most = Infinity): void {
    const length = this.length + to - from;
    if (length > this.bytes.length) {
      const grown = new Uint8Array(Math.min(Math.max(2 * this.bytes.length, length, SMALLEST_MEMORY), most));
      grown.set(this.bytes.subarray(0, this.length));
      this.bytes = grown;
    }
    this.bytes.set(chunk.subarray(from, to), this.length);
    this.length = length;
  }

  /** Empties it. Keeps memory up to the usual `max_payload`, so that a stream of messages allocates nothing. */
  clear(): void {
    this.length = 0;
    if (this.bytes.length > LARGEST_KEPT_MEMORY) this.bytes = NO_BYTES;
  }
}
