import {
  Reader,
  sizeOfBool,
  sizeOfInt,
  sizeOfInt64,
  sizeOfLength,
  sizeOfText,
  writeBool,
  writeBytes,
  writeInt,
  writeInt64,
  writeText,
} from "./wire.ts";

/** How a message of type `M` is written and read. */
export interface Codec<M> {
  /** The exact number of bytes that `write` writes. A message of zero values has none. */
  size(message: M): number;
  /** Writes at `at` and returns the end. The caller has made room for `size(message)` bytes. */
  write(message: M, bytes: Uint8Array, at: number): number;
  /**
   * Reads the bytes from `start` (0) to `end` (all). Text and bytes are copied; absent fields get their zero value.
   * @throws DecodeError
   */
  read(bytes: Uint8Array, start?: number, end?: number): M;
}

/** The bytes of a message, in an array of their own. */
export function encode<M>(codec: Codec<M>, message: M): Uint8Array {
  const bytes = new Uint8Array(codec.size(message));
  codec.write(message, bytes, 0);
  return bytes;
}

/** A type of fields: its zero value, which is not written, and how others are written and read. */
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

/** A boolean. */
export const bool: Type<boolean> = { zero: false, size: sizeOfBool, write: writeBool, read: (reader) => reader.bool() };

/** An int32, or an enum. */
export const int32: Type<number> = { zero: 0, size: sizeOfInt, write: writeInt, read: (reader) => reader.int32() };

/** A uint32. */
export const uint32: Type<number> = { ...int32, read: (reader) => reader.uint32() };

/** An int64. */
export const int64: Type<bigint> = { zero: 0n, size: sizeOfInt64, write: writeInt64, read: (reader) => reader.int64() };

/** A uint64. */
export const uint64: Type<bigint> = { ...int64, read: (reader) => reader.uint64() };

/** The fields of a message: each one's number and type, in the order in which they are written. */
export type Fields<M> = { readonly [Name in keyof M]: readonly [number: number, type: Type<M[Name]>] };

// Why: docs/decisions.md#views-for-frequent-messages-tables-for-the-rest
/**
 * The codec of a message with these fields. For what is written and read now and then: what is for each message of a
 * channel is written by hand, several times faster.
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
