import { Reader, sizeOfInt, sizeOfInt64, sizeOfLength, sizeOfText } from "./wire.ts";
import { writeBytes, writeInt, writeInt64, writeText } from "./wire.ts";

/** How a message of type `M` is written and read. */
export interface Codec<M> {
  /** The exact number of bytes that `write` writes: 0 for a message of zero values. */
  size(message: M): number;
  /** Writes at `at` and returns the end. The caller makes room for `size(message)` bytes. */
  write(message: M, bytes: Uint8Array, at: number): number;
  /**
   * Reads the bytes from `start` (default 0) to `end` (default: the end of the array). Copies text and bytes. A
   * field that is absent gets its zero value.
   * @throws DecodeError
   */
  read(bytes: Uint8Array, start?: number, end?: number): M;
}

/** Returns the bytes of a message, in a new array. */
export function encode<M>(codec: Codec<M>, message: M): Uint8Array {
  const bytes = new Uint8Array(codec.size(message));
  codec.write(message, bytes, 0);
  return bytes;
}

/** A type of fields: its zero value, which is never written, and how other values are written and read. */
export interface Type<T> {
  readonly zero: T;
  size(field: number, value: T): number;
  write(bytes: Uint8Array, at: number, field: number, value: T): number;
  read(reader: Reader): T;
}

/** Text, in UTF-8. */
export const text: Type<string> = { zero: "", size: sizeOfText, write: writeText, read: (reader) => reader.text() };

/** Bytes. */
export const bytes: Type<Uint8Array> = {
  zero: new Uint8Array(0),
  size: (field, value) => sizeOfLength(field, value.length),
  write: writeBytes,
  read: (reader) => reader.copy(),
};

/** An int32, or an enum. */
export const int32: Type<number> = { zero: 0, size: sizeOfInt, write: writeInt, read: (reader) => reader.int32() };

/** An int64. */
export const int64: Type<bigint> = { zero: 0n, size: sizeOfInt64, write: writeInt64, read: (reader) => reader.int64() };

/** A uint64. */
export const uint64: Type<bigint> = { ...int64, read: (reader) => reader.uint64() };

/** The fields of a message: the number and the type of each, in the order in which they are written. */
export type Fields<M> = { readonly [Name in keyof M]: readonly [number: number, type: Type<M[Name]>] };

// Why: docs/decisions.md#views-for-frequent-messages-tables-for-the-rest
/**
 * Makes the codec of a message with these fields. It is for messages that are rare: src/pb/data.ts writes and reads the
 * frequent ones by hand, several times faster.
 */
export function message<M extends object>(fields: Fields<M>): Codec<M> {
  const names = Object.keys(fields) as (keyof M)[];
  return {
    size(message) {
      let size = 0;
      for (const name of names) size += fields[name][1].size(fields[name][0], message[name]);
      return size;
    },
    write(message, bytes, at) {
      for (const name of names) at = fields[name][1].write(bytes, at, fields[name][0], message[name]);
      return at;
    },
    read(bytes, start, end) {
      const message = {} as M;
      for (const name of names) message[name] = fields[name][1].zero;
      const reader = new Reader(bytes, start, end);
      while (reader.next()) {
        const name = names.find((name) => fields[name][0] === reader.field);
        if (name === undefined) reader.skip();
        else message[name] = fields[name][1].read(reader);
      }
      return message;
    },
  };
}
