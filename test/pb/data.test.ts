import { describe, expect, test } from "vitest";
import { encode } from "../../src/pb/codec.ts";
import { Ack, MsgProtoView, PubAckView, PubMsg } from "../../src/pb/data.ts";
import { DecodeError } from "../../src/pb/wire.ts";
import * as whole from "../../src/testing/messages.ts";
import type { MsgProto } from "../../src/testing/messages.ts";
import { bytesOf, concat } from "../support/bytes.ts";
import { hex, unhex } from "../support/hex.ts";
import { attempt, damage, dataKinds, hostileBytes, NONE } from "../support/kinds.ts";
import { forEachSeed } from "../support/random.ts";
import { deliveries, fixtures } from "./fixtures.ts";

const guid = "0123456789ABCDEFGHIJKL";

/** A PubMsg as the client writes it: in memory with other bytes around it, which stay as they are. */
function writtenPubMsg(m: Omit<whole.PubMsg, "sha256">): Uint8Array {
  const head = { envelope: PubMsg.envelope(m), guid: bytesOf(m.guid) };
  const size = PubMsg.size(head, m.data.length);
  return written(size, (bytes, at) => {
    const end = PubMsg.writeHead(head, m.data.length, bytes, at);
    bytes.set(m.data, end);
    return end + m.data.length;
  });
}

/** An Ack as the client writes it. */
function writtenAck(subject: string, sequence: number): Uint8Array {
  return written(Ack.size(bytesOf(subject), sequence), (bytes, at) => Ack.write(bytesOf(subject), sequence, bytes, at));
}

function written(size: number, write: (bytes: Uint8Array, at: number) => number): Uint8Array {
  const bytes = new Uint8Array(size + 20).fill(0xaa);
  expect(write(bytes, 10)).toBe(10 + size);
  const around = [...bytes.subarray(0, 10), ...bytes.subarray(10 + size)];
  expect(around).toEqual(Array(20).fill(0xaa));
  return bytes.slice(10, 10 + size);
}

describe("real bytes", () => {
  const message = {
    clientID: "fixture-1",
    guid,
    subject: "fixture.one",
    reply: "",
    data: bytesOf("hello"),
    connID: bytesOf("LKJIHGFEDCBA9876543210"),
  };

  test.each([
    ["a message", fixtures.pubMsg, message],
    ["an empty message", fixtures.pubMsgEmpty, { ...message, data: NONE }],
    ["a message with a reply", fixtures.pubMsgReply, { ...message, reply: "answers.here", data: bytesOf("é€😀") }],
    ["a message that is refused", fixtures.pubMsgRefused, { ...message, subject: "not..valid", data: bytesOf("x") }],
  ])("publishing %s", (_what, fixture, m) => {
    expect(hex(writtenPubMsg(m))).toBe(fixture);
    expect(whole.PubMsg.read(unhex(fixture))).toEqual({ ...m, sha256: NONE });
  });

  test("a PubAck in place", () => {
    const view = new PubAckView();
    for (const [fixture, error] of [
      [fixtures.pubAckRefused, "stan: invalid publish request"],
      [fixtures.pubAck, ""],
    ] as const) {
      const bytes = unhex(`ffffff${fixture}ff`);
      view.read(bytes, 3, bytes.length - 1);
      expect(bytes.subarray(view.guidStart, view.guidEnd)).toEqual(bytesOf(guid));
      expect(view.error()).toBe(error);
      expect(view.errorEnd - view.errorStart).toBe(error.length);
    }
  });

  test.each(deliveries)("a view of %s", (_what, fixture, m) => {
    expect(viewed(unhex(fixture))).toEqual(m);
  });

  test("acknowledging", () => {
    expect(hex(writtenAck("fixture.one", 3))).toBe(fixtures.ack);
  });
});

describe("what the client writes", () => {
  test("is a PubMsg with the same fields, in as many bytes as its size says", () =>
    forEachSeed(200, (random) => {
      const m = { ...dataKinds.PubMsg.make(random), sha256: NONE };
      expect(whole.PubMsg.read(writtenPubMsg(m))).toEqual(m);
    }));

  test("is an Ack with the same fields, in as many bytes as its size says", () =>
    forEachSeed(200, (random) => {
      const { subject, sequence } = dataKinds.Ack.make(random);
      const exact = sequence & (2n ** 53n - 1n);
      expect(whole.Ack.read(writtenAck(subject, Number(exact)))).toEqual({ subject, sequence: exact });
    }));
});

/** What MsgProtoView makes of bytes, as a MsgProto (with the CRC32 that it leaves out). */
function viewed(message: Uint8Array): MsgProto {
  const bytes = concat([bytesOf("before"), message, bytesOf("after")]);
  const view = new MsgProtoView();
  // A view is used again and again: nothing of an earlier message may show.
  view.read(unhex(fixtures.msgProtoReply), 0, fixtures.msgProtoReply.length / 2);
  view.read(unhex(fixtures.msgProtoRedelivered), 0, fixtures.msgProtoRedelivered.length / 2);
  view.read(bytes, 6, 6 + message.length);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const text = (start: number, end: number) => decoder.decode(bytes.subarray(start, end));
  return {
    sequence: view.sequence === Infinity ? whole.MsgProto.read(message).sequence : BigInt(view.sequence),
    subject: text(view.subjectStart, view.subjectEnd),
    reply: text(view.replyStart, view.replyEnd),
    data: bytes.slice(view.dataStart, view.dataEnd),
    timestamp: (BigInt(view.timestampHigh) << 32n) + BigInt(view.timestampLow),
    redelivered: view.redelivered,
    redeliveryCount: view.redeliveryCount,
    CRC32: whole.MsgProto.read(message).CRC32,
  };
}

describe("the views", () => {
  test("MsgProtoView reads what MsgProto reads", () =>
    forEachSeed(300, (random) => {
      const bytes = dataKinds.MsgProto.bytes(random);
      expect(viewed(bytes)).toEqual(whole.MsgProto.read(bytes));
    }));

  test("a sequence is exact up to 2^53 - 1 and Infinity from 2^53 on", () => {
    const view = new MsgProtoView();
    const zero = whole.MsgProto.read(NONE);
    for (const [sequence, seen] of [
      [2n ** 32n + 5n, 2 ** 32 + 5],
      [2n ** 53n - 1n, 2 ** 53 - 1],
      [2n ** 53n, Infinity],
      [2n ** 63n, Infinity],
      [2n ** 64n - 1n, Infinity],
      [1n, 1],
    ] as const) {
      const bytes = encode(whole.MsgProto, { ...zero, sequence });
      view.read(bytes, 0, bytes.length);
      expect(view.sequence).toBe(seen);
    }
  });

  test("they refuse and accept the same bytes as the plain messages", () =>
    forEachSeed(500, (random) => {
      const bytes = random.pick([dataKinds.PubAck, dataKinds.MsgProto]).bytes(random);
      damage(bytes, random);
      const pubAckView = new PubAckView();
      const msgProtoView = new MsgProtoView();
      const pubAck = attempt(() => whole.PubAck.read(bytes));
      const seen = attempt(() => (pubAckView.read(bytes, 0, bytes.length), pubAckView.error()));
      expect(seen).toBe(pubAck?.error);
      const plain = attempt(() => whole.MsgProto.read(bytes)) !== undefined;
      expect(attempt(() => (msgProtoView.read(bytes, 0, bytes.length), true)) !== undefined).toBe(plain);
    }));

  test("a view is of use again after bytes that it refused", () => {
    const view = new PubAckView();
    const bytes = unhex(fixtures.pubAckRefused);
    expect(() => view.read(bytes, 0, bytes.length - 1)).toThrow(DecodeError);
    view.read(bytes, 0, bytes.length);
    expect(view.error()).toBe("stan: invalid publish request");
    view.read(bytes, 5, 5);
    expect([view.guidStart, view.guidEnd, view.errorStart, view.errorEnd]).toEqual([5, 5, 5, 5]);
  });

  test("hostile bytes are a DecodeError, at once and without room for what they claim", () => {
    for (const view of [new PubAckView(), new MsgProtoView()]) {
      for (const bytes of hostileBytes(2)) expect(() => view.read(bytes, 0, bytes.length)).toThrow(DecodeError);
    }
  });
});

test("a PubMsg's head ends with the tag and length of its data, and has neither if there is no data", () => {
  const m = { envelope: NONE, guid: bytesOf("g") };
  const bytes = new Uint8Array(20);
  expect(hex(bytes.subarray(0, PubMsg.writeHead(m, 300, bytes, 0)))).toBe("1201672aac02");
  expect(PubMsg.size(m, 300)).toBe(306);
  expect(hex(bytes.subarray(0, PubMsg.writeHead(m, 0, bytes, 0)))).toBe("120167");
  expect(PubMsg.size(m, 0)).toBe(3);
});

test("an Ack is written for sequences up to 2^53 - 1", () => {
  const bytes = new Uint8Array(20);
  const end = Ack.write(bytesOf("a"), 2 ** 53 - 1, bytes, 0);
  expect(end).toBe(Ack.size(bytesOf("a"), 2 ** 53 - 1));
  expect(whole.Ack.read(bytes, 0, end)).toEqual({ subject: "a", sequence: 2n ** 53n - 1n });
  expect(() => Ack.size(bytesOf("a"), Infinity)).toThrow(RangeError);
});
