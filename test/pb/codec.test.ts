import { describe, expect, test } from "vitest";
import { bytes, encode, int32, int64, message, text, uint64 } from "../../src/pb/codec.ts";
import { DecodeError } from "../../src/pb/wire.ts";
import { bool, uint32 } from "../../src/testing/messages.ts";
import { hex, unhex } from "../support/hex.ts";

interface Sample {
  name: string;
  data: Uint8Array;
  done: boolean;
  count: number;
  total: number;
  offset: bigint;
  sequence: bigint;
}

/** Not in the order of the numbers, which go beyond 15: tags of one byte and of two. */
const Sample = message<Sample>({
  name: [2, text],
  data: [1, bytes],
  done: [3, bool],
  count: [16, int32],
  total: [5, uint32],
  offset: [6, int64],
  sequence: [7, uint64],
});

const zero: Sample = { name: "", data: new Uint8Array(0), done: false, count: 0, total: 0, offset: 0n, sequence: 0n };
const full: Sample = {
  name: "é",
  data: Uint8Array.of(255, 0),
  done: true,
  count: -1,
  total: 2 ** 32 - 1,
  offset: -1n,
  sequence: 2n ** 64n - 1n,
};

describe("a message as the table of its fields", () => {
  test("is written in the order of the table, each field by its number and type", () => {
    const minusOne = "ffffffffffffffffff01";
    const parts = ["1202c3a9", "0a02ff00", "1801", `8001${minusOne}`, "28ffffffff0f", `30${minusOne}`, `38${minusOne}`];
    expect(hex(encode(Sample, full))).toBe(parts.join(""));
    expect(Sample.size(full)).toBe(parts.join("").length / 2);
  });

  test("is read back, whatever the order of the fields on the wire", () => {
    expect(Sample.read(encode(Sample, full))).toEqual(full);
    expect(Sample.read(unhex("38051801120161"))).toEqual({ ...zero, sequence: 5n, done: true, name: "a" });
  });

  test("has its zero values, of which nothing is written", () => {
    expect(hex(encode(Sample, zero))).toBe("");
    expect(Sample.read(new Uint8Array(0))).toEqual(zero);
  });

  test("is written and read at any place of larger memory, and copies what it reads", () => {
    const memory = new Uint8Array(100);
    const end = Sample.write(full, memory, 10);
    const read = Sample.read(memory, 10, end);
    memory.fill(7);
    expect(read).toEqual(full);
  });

  test("takes the last of a field that comes twice, and passes over fields that are not its own", () => {
    expect(Sample.read(unhex("120161" + "f80701" + "120162"))).toEqual({ ...zero, name: "b" });
  });

  test("is refused with a field of another type, or one that is cut off", () => {
    for (const wrong of ["1001", "0a02ff", "1a00", "28ff"]) {
      expect(() => Sample.read(unhex(wrong)), wrong).toThrow(DecodeError);
    }
  });
});
