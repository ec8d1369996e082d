import { expect, test } from "vitest";
import { encode } from "../../src/pb/codec.ts";
import { Ack, MsgProto, PubAck, PubMsg } from "../../src/testing/messages.ts";
import { deliveries, fixtures } from "../pb/fixtures.ts";
import { bytesOf } from "../support/bytes.ts";
import { hex, unhex } from "../support/hex.ts";
import { checkKinds, dataKinds } from "../support/kinds.ts";

test.each(deliveries)("%s is read from the bytes of a real server, and written as the same", (_what, fixture, m) => {
  expect(MsgProto.read(unhex(fixture))).toEqual(m);
  expect(hex(encode(MsgProto, m))).toBe(fixture);
});

test.each([
  [fixtures.pubAck, ""],
  [fixtures.pubAckEmpty, ""],
  [fixtures.pubAckReply, ""],
  [fixtures.pubAckRefused, "stan: invalid publish request"],
])("a PubAck is read from the bytes of a real server, and written as the same", (fixture, error) => {
  const m = { guid: "0123456789ABCDEFGHIJKL", error };
  expect(PubAck.read(unhex(fixture))).toEqual(m);
  expect(hex(encode(PubAck, m))).toBe(fixture);
});

test("an Ack is read from bytes that a real server took", () => {
  expect(Ack.read(unhex(fixtures.ack))).toEqual({ subject: "fixture.one", sequence: 3n });
});

test("a PubMsg's sha256, which we never write, is read", () => {
  expect(PubMsg.read(unhex("52020102")).sha256).toEqual(new Uint8Array([1, 2]));
});

test("messages that were read share no bytes with what they were read from", () => {
  const bytes = unhex(fixtures.msgProto);
  const m = MsgProto.read(bytes);
  bytes.fill(0);
  expect(m.data).toEqual(bytesOf("hello"));
});

checkKinds(Object.values(dataKinds));
