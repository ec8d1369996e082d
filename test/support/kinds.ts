import { describe, expect, test } from "vitest";
import { type Codec, encode } from "../../src/pb/codec.ts";
import { DecodeError, Reader } from "../../src/pb/wire.ts";
import { Ack, MsgProto, PubAck, PubMsg } from "../../src/testing/messages.ts";
import { concat } from "./bytes.ts";
import { hex, unhex } from "./hex.ts";
import { forEachSeed, type Random } from "./random.ts";

/** No bytes. */
export const NONE = new Uint8Array(0);

/** Text of every sort: empty, with control characters, beyond ASCII, long, and with names that objects have. */
export function text(random: Random): string {
  const alphabet = random.pick(["abcXYZ019-_.", "\u0000\r\n \ufeff", "éß€漢"]);
  return random.pick(["", "__proto__", "constructor", "😀", random.text(random.int(1, 30), alphabet), "a".repeat(130)]);
}

/** Bytes of lengths around those at which something changes: an empty field, a length of two bytes. */
export function data(random: Random): Uint8Array {
  return random.bytes(random.pick([0, 0, 1, 12, 13, 22, 127, 128, 300]));
}

/** An int32, often one at a limit. */
export function int32(random: Random): number {
  return random.pick([0, 0, 1, 127, 128, 2 ** 31 - 1, -1, -(2 ** 31), random.bits() | 0]);
}

/** A uint32, often one at a limit. */
export function uint32(random: Random): number {
  return random.pick([0, 0, 1, 300, 2 ** 31, 2 ** 32 - 1, random.bits()]);
}

/** A uint64, often one at a limit. */
export function uint64(random: Random): bigint {
  const any = (BigInt(random.bits()) << 32n) | BigInt(random.bits());
  const limits = [2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 64n - 1n];
  return random.pick([0n, 1n, any, ...limits]);
}

/** An int64, often one at a limit. */
export function int64(random: Random): bigint {
  return random.pick([-1n, -(2n ** 63n), BigInt.asIntN(64, uint64(random))]);
}

/** Field numbers: those of integers, and those of text and bytes. */
interface Fields {
  integers: number[];
  spans: number[];
}

/** One kind of message: its codec, its fields, and random messages of it. */
export class Kind<M> {
  readonly name: string;
  readonly codec: Codec<M>;
  readonly fields: Fields;
  readonly make: (random: Random) => M;

  constructor(name: string, codec: Codec<M>, fields: Fields, make: (random: Random) => M) {
    this.name = name;
    this.codec = codec;
    this.fields = fields;
    this.make = make;
  }

  bytes(random: Random): Uint8Array {
    return encode(this.codec, this.make(random));
  }

  read(bytes: Uint8Array): M {
    return this.codec.read(bytes);
  }

  roundTrip(random: Random): void {
    const message = this.make(random);
    const before = random.int(0, 20);
    const size = this.codec.size(message);
    const bytes = new Uint8Array(before + size + 1).fill(0xaa);
    expect(this.codec.write(message, bytes, before)).toBe(before + size);
    expect(bytes.subarray(0, before).every((byte) => byte === 0xaa)).toBe(true);
    expect(bytes[before + size]).toBe(0xaa);
    expect(this.codec.read(bytes, before, before + size)).toEqual(message);
  }
}

/** The messages of data as whole objects. */
export const dataKinds = {
  PubMsg: new Kind<PubMsg>("PubMsg", PubMsg, { integers: [], spans: [1, 2, 3, 4, 5, 6, 10] }, (random) => ({
    clientID: text(random),
    guid: text(random),
    subject: text(random),
    reply: text(random),
    data: data(random),
    connID: data(random),
    sha256: data(random),
  })),
  PubAck: new Kind<PubAck>("PubAck", PubAck, { integers: [], spans: [1, 2] }, (random) => ({
    guid: text(random),
    error: text(random),
  })),
  MsgProto: new Kind<MsgProto>("MsgProto", MsgProto, { integers: [1, 5, 6, 7, 10], spans: [2, 3, 4] }, (random) => ({
    sequence: uint64(random),
    subject: text(random),
    reply: text(random),
    data: data(random),
    timestamp: int64(random),
    redelivered: random.bool(),
    redeliveryCount: uint32(random),
    CRC32: uint32(random),
  })),
  Ack: new Kind<Ack>("Ack", Ack, { integers: [2], spans: [1] }, (random) => ({
    subject: text(random),
    sequence: uint64(random),
  })),
};

/** The bytes of each field of a message. */
function fieldsOf(bytes: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const reader = new Reader(bytes);
  for (let from = 0; reader.next(); from = reader.at) {
    reader.skip();
    pieces.push(bytes.subarray(from, reader.at));
  }
  return pieces;
}

/** Undefined if the bytes are no message. Anything thrown but a DecodeError is thrown on. */
export function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** Changes up to four bytes. */
export function damage(bytes: Uint8Array, random: Random): void {
  if (bytes.length === 0) return;
  for (let i = random.int(0, 4); i > 0; i--) bytes[random.int(0, bytes.length - 1)] = random.bits();
}

/** One field with its value, of a wire type. */
function field(number: number, wire: number): Uint8Array {
  const value = ["9601", "0102030405060708", "0161", "0801", "", "01020304", "", ""][wire];
  // Numbers of up to 11 bits: a tag of two bytes is understood for all of them.
  const tag = (number << 3) | wire;
  return concat([new Uint8Array([(tag & 0x7f) | 0x80, tag >> 7]), unhex(value)]);
}

/** Bytes that claim lengths which are not there, or nest. The field is one of text or bytes. */
export function hostileBytes(spanField: number): Uint8Array[] {
  const known = hex(field(spanField, 2)).slice(0, 4);
  const lengths = ["8080808002", "ffffffff07", "ffffffff0f", "80808080808080808001", "ffffffffffffffffff01"];
  return [
    new Uint8Array(100_000).fill(0x0b),
    unhex("eb01".repeat(100_000)),
    unhex("ea018080808002"),
    unhex("e801ffffffffffffffffffff01"),
    ...lengths.map((length) => unhex(known + length)),
  ];
}

/** Checks what holds for messages of every kind. */
export function checkKinds(kinds: readonly Omit<Kind<unknown>, "codec" | "make">[]): void {
  describe.each(kinds)("$name", (kind) => {
    const read = (bytes: Uint8Array): unknown => kind.read(bytes);

    test("comes back as it was written, in as many bytes as its size says", () =>
      forEachSeed(200, (random) => kind.roundTrip(random)));

    test("has no bytes if all values are zero", () => {
      const zero = read(NONE) as object;
      for (const value of Object.values(zero)) {
        if (value instanceof Uint8Array) expect(value).toHaveLength(0);
        else expect([0, 0n, "", false]).toContain(value);
      }
    });

    test("is read with its fields in any order, and unknown ones between them", () =>
      forEachSeed(60, (random) => {
        const bytes = kind.bytes(random);
        const pieces = fieldsOf(bytes);
        for (let i = pieces.length - 1; i > 0; i--) {
          const j = random.int(0, i);
          [pieces[i], pieces[j]] = [pieces[j], pieces[i]];
        }
        const mixed: Uint8Array[] = [];
        for (const piece of pieces) mixed.push(field(random.int(13, 99), random.pick([0, 1, 2, 5])), piece);
        mixed.push(unhex("f8ffffff0f01"));
        expect(read(concat(mixed))).toEqual(read(bytes));
      }));

    test("is read with the last value of a field that comes twice", () =>
      forEachSeed(60, (random) => {
        const [one, two] = [kind.bytes(random), kind.bytes(random)];
        expect(read(concat([one, two, two]))).toEqual(read(concat([one, two])));
        expect(read(concat([one, one]))).toEqual(read(one));
        const expected = read(one) as Record<string, unknown>;
        for (const [name, value] of Object.entries(read(two) as object)) {
          const zero = value instanceof Uint8Array ? value.length === 0 : !value;
          if (!zero) expected[name] = value;
        }
        expect(read(concat([one, two]))).toEqual(expected);
      }));

    test("cut short anywhere, it is a shorter message or a DecodeError", () =>
      forEachSeed(20, (random) => {
        const bytes = kind.bytes(random);
        const ends = [0];
        for (const piece of fieldsOf(bytes)) ends.push(ends[ends.length - 1] + piece.length);
        const accepted: number[] = [];
        for (let length = 0; length <= bytes.length; length++) {
          if (attempt(() => read(bytes.slice(0, length))) !== undefined) accepted.push(length);
        }
        expect(accepted).toEqual(ends);
      }));

    test("with bytes changed at random, it is a message or a DecodeError", () =>
      forEachSeed(300, (random) => {
        const bytes = random.bool(0.2) ? random.bytes(random.int(0, 40)) : kind.bytes(random);
        damage(bytes, random);
        attempt(() => read(bytes));
      }));

    test("a known field of another wire type fails it, an unknown one does not", () => {
      const { integers, spans } = kind.fields;
      for (let wire = 0; wire < 8; wire++) {
        const sound = [0, 1, 2, 5].includes(wire);
        for (let number = 1; number <= 101; number++) {
          const expected = integers.includes(number) ? wire === 0 : spans.includes(number) ? wire === 2 : sound;
          const taken = attempt(() => read(field(number, wire))) !== undefined;
          expect(taken, `field ${number}, type ${wire}`).toBe(expected);
        }
      }
    });

    test("hostile bytes are a DecodeError, at once and without room for what they claim", () => {
      for (const bytes of hostileBytes(kind.fields.spans[0])) expect(() => read(bytes)).toThrow(DecodeError);
    });
  });
}
