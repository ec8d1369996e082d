import { describe, expect, test } from "vitest";
import {
  DecodeError,
  Reader,
  sizeOfInt,
  sizeOfInt64,
  sizeOfText,
  writeBytes,
  writeInt,
  writeInt64,
  writeText,
} from "../../src/pb/wire.ts";
import { hex, unhex } from "../support/hex.ts";

function written(write: (bytes: Uint8Array) => number): string {
  const bytes = new Uint8Array(200);
  return hex(bytes.subarray(0, write(bytes)));
}

/** A reader at the first field of a message given in hex. */
function at(message: string): Reader {
  const reader = new Reader(unhex(message));
  expect(reader.next()).toBe(true);
  return reader;
}

describe("writing", () => {
  const integers: [bigint, string][] = [
    [1n, "01"],
    [127n, "7f"],
    [128n, "8001"],
    [150n, "9601"],
    [2n ** 14n - 1n, "ff7f"],
    [2n ** 14n, "808001"],
    [2n ** 21n - 1n, "ffff7f"],
    [2n ** 28n, "8080808001"],
    [2n ** 31n - 1n, "ffffffff07"],
    [2n ** 31n, "8080808008"],
    [2n ** 32n - 1n, "ffffffff0f"],
    [2n ** 32n, "8080808010"],
    [2n ** 42n - 1n, "ffffffffff7f"],
    [2n ** 49n, "8080808080808001"],
    [2n ** 53n - 1n, "ffffffffffffff0f"],
    [2n ** 53n, "8080808080808010"],
    [2n ** 53n + 1n, "8180808080808010"],
    [2n ** 63n - 1n, "ffffffffffffffff7f"],
    [2n ** 63n, "80808080808080808001"],
    [2n ** 64n - 1n, "ffffffffffffffffff01"],
    [-1n, "ffffffffffffffffff01"],
    [-(2n ** 31n), "80808080f8ffffffff01"],
    [-(2n ** 63n), "80808080808080808001"],
  ];

  test.each(integers)("integer %s is written as %s, in as many bytes as its size says", (value, bytes) => {
    expect(written((into) => writeInt64(into, 0, 1, value))).toBe(`08${bytes}`);
    expect(sizeOfInt64(1, value)).toBe(1 + bytes.length / 2);
    if (value > 2n ** 53n - 1n || value < -(2n ** 31n)) return;
    expect(written((into) => writeInt(into, 0, 1, Number(value)))).toBe(`08${bytes}`);
    expect(sizeOfInt(1, Number(value))).toBe(1 + bytes.length / 2);
  });

  test("a number that cannot be exact has no size", () => {
    expect(() => sizeOfInt(1, 2 ** 53)).toThrow(RangeError);
    expect(() => sizeOfInt(1, Infinity)).toThrow(RangeError);
  });

  test("zero values take no bytes", () => {
    const none = new Uint8Array(0);
    expect(written((into) => writeInt(into, 0, 1, 0))).toBe("");
    expect(written((into) => writeInt64(into, 0, 1, 0n))).toBe("");
    expect(written((into) => writeText(into, 0, 1, ""))).toBe("");
    expect(written((into) => writeBytes(into, 0, 1, none))).toBe("");
    expect(sizeOfInt(1, 0) + sizeOfInt64(1, 0n) + sizeOfText(1, "")).toBe(0);
  });

  test("fields from 16 on have a tag of two bytes", () => {
    expect(written((into) => writeText(into, 0, 15, "a"))).toBe("7a0161");
    expect(written((into) => writeText(into, 0, 16, "a"))).toBe("82010161");
    expect(written((into) => writeText(into, 0, 100, "a"))).toBe("a2060161");
    expect(sizeOfText(100, "a")).toBe(4);
  });

  test.each([0, 1, 11, 12, 13, 64, 127, 128, 190])("%i bytes arrive whole and touch nothing around them", (length) => {
    const value = new Uint8Array(length).fill(7);
    const bytes = new Uint8Array(200).fill(9);
    const end = writeBytes(bytes, 1, 1, value);
    expect(bytes[0]).toBe(9);
    expect(bytes[end]).toBe(9);
    expect(bytes.subarray(end - length, end)).toEqual(value);
  });

  test("half of a surrogate pair is written as U+FFFD, in as many bytes as its size says", () => {
    expect(written((into) => writeText(into, 0, 1, "\ud83d"))).toBe("0a03efbfbd");
    expect(sizeOfText(1, "\ud83d")).toBe(5);
  });
});

describe("reading", () => {
  test("no bytes are no fields", () => {
    expect(new Reader(new Uint8Array(0)).next()).toBe(false);
  });

  test("integers are exact at all widths, and longer encodings than needed are understood", () => {
    expect(at("08ffffffffffffff0f").uint64()).toBe(2n ** 53n - 1n);
    expect(at("088180808080808010").uint64()).toBe(2n ** 53n + 1n);
    expect(at("08ffffffffffffffffff01").uint64()).toBe(2n ** 64n - 1n);
    expect(at("08ffffffffffffffffff01").int64()).toBe(-1n);
    expect(at("08ffffffffffffffffff01").int32()).toBe(-1);
    expect(at("0880808080f8ffffffff01").int32()).toBe(-(2 ** 31));
    expect(at("08ffffffff0f").uint32()).toBe(2 ** 32 - 1);
    expect(at("0881808080808080808000").uint64()).toBe(1n);
  });

  test("a boolean is true for any value but 0", () => {
    expect(at("0800").bool()).toBe(false);
    expect(at("0802").bool()).toBe(true);
    expect(at("0880808080808080808001").bool()).toBe(true);
  });

  test("a byte order mark is part of the text, and bytes that are not UTF-8 become U+FFFD", () => {
    expect(at("0a04efbbbf61").text()).toBe("\ufeffa");
    expect(at("0a0261ff").text()).toBe("a\ufffd");
  });

  test("a copy of bytes is the receiver's own", () => {
    const bytes = unhex("0a03010203");
    const reader = new Reader(bytes);
    reader.next();
    const copy = reader.copy();
    bytes.fill(0);
    expect(copy).toEqual(new Uint8Array([1, 2, 3]));
    expect(copy.buffer.byteLength).toBe(3);
  });

  test("only the given range is read", () => {
    const bytes = unhex("ffff0801ffff");
    const reader = new Reader(bytes, 2, 4);
    expect(reader.next()).toBe(true);
    expect(reader.uint32()).toBe(1);
    expect(reader.next()).toBe(false);
  });

  test.each([
    [0, 7],
    [-1, 3],
    [4, 3],
    [NaN, 3],
  ])("a range from %d to %d of 6 bytes is refused", (start, end) => {
    expect(() => new Reader(new Uint8Array(6), start, end)).toThrow(RangeError);
  });

  const bad: [string, string, string, number][] = [
    ["a tag that goes on", "80", "truncated", 0],
    ["no value", "08", "truncated", 1],
    ["an integer that goes on", "0880", "truncated", 1],
    ["an integer of 11 bytes", "088080808080808080808001", "an integer longer than 10 bytes", 1],
    ["a tag of 11 bytes", "8080808080808080808001", "an integer longer than 10 bytes", 0],
    ["a tag beyond 32 bits", "808080801000", "a field number that is too large", 5],
    ["field 0", "0000", "field number 0", 1],
    ["field 0 with a length", "0201", "field number 0", 1],
    ["field 0 in more bytes than needed", "800000", "field number 0", 2],
    ["no length", "0a", "truncated", 1],
    ["a length one too long", "0a0261", "a length beyond the end", 2],
    ["a length of 2^29", "0a8080808002", "a length beyond the end", 6],
    ["a length of 2^32 - 1", "0affffffff0f", "a length beyond the end", 6],
    ["a length of 2^32", "0a8080808010", "a length beyond the end", 6],
    ["a length of -1", "0affffffffffffffffff01", "a length beyond the end", 11],
    ["7 of 8 fixed bytes", "0901020304050607", "truncated", 1],
    ["3 of 4 fixed bytes", "0d010203", "truncated", 1],
    ["the start of a group", "0b0801", "wire type 3 for field 1", 1],
    ["the end of a group", "0c", "wire type 4 for field 1", 1],
    ["wire type 6", "0e", "wire type 6 for field 1", 1],
    ["wire type 7", "0f", "wire type 7 for field 1", 1],
  ];

  test.each(bad)("%s is a DecodeError that says what and where", (_what, message, what, offset) => {
    // Behind three other bytes: offsets count from the start of the message.
    const bytes = unhex(`ffffff${message}`);
    const reader = new Reader(bytes, 3);
    let caught: unknown;
    try {
      while (reader.next()) reader.skip();
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(DecodeError);
    expect(caught).toMatchObject({ name: "DecodeError", offset, message: `${what}, at byte ${offset} of the message` });
  });

  test("values of another type than asked for are refused", () => {
    expect(() => at("0a0161").uint32()).toThrow("wire type 2 for field 1");
    expect(() => at("0801").text()).toThrow("wire type 0 for field 1");
    expect(() => at("0801").copy()).toThrow(DecodeError);
    expect(() => at("0d01020304").int32()).toThrow(DecodeError);
    expect(() => at("090102030405060708").int64()).toThrow(DecodeError);
  });
});
