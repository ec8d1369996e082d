import { describe, expect, test } from "vitest";
import {
  Ack,
  CloseRequest,
  CloseResponse,
  ConnectRequest,
  ConnectResponse,
  MsgProto,
  MsgProtoView,
  Ping,
  PingResponse,
  PubAck,
  PubAckView,
  PubMsg,
  StartPosition,
  SubscriptionRequest,
  SubscriptionResponse,
  UnsubscribeRequest,
} from "../../src/pb/protocol.ts";
import { type Codec, encode } from "../../src/pb/codec.ts";
import { DecodeError, Reader } from "../../src/pb/wire.ts";
import { bytesOf, concat } from "../support/bytes.ts";
import { forEachSeed, type Random } from "../support/random.ts";
import { fixtures, hex, unhex } from "./fixtures.ts";

// The two messages that the client writes at full rate have writers of another shape. Here they get the usual one.

function head(m: PubMsg) {
  return { envelope: PubMsg.envelope(m), guid: bytesOf(m.guid) };
}

const pubMsg: Codec<PubMsg> = {
  size: (m) => PubMsg.size(head(m), m.data.length),
  write(m, bytes, at) {
    const end = PubMsg.writeHead(head(m), m.data.length, bytes, at);
    bytes.set(m.data, end);
    return end + m.data.length;
  },
  read: PubMsg.read,
};

const ack: Codec<Ack> = {
  size: (m) => Ack.size(bytesOf(m.subject), Number(m.sequence)),
  write: (m, bytes, at) => Ack.write(bytesOf(m.subject), Number(m.sequence), bytes, at),
  read: Ack.read,
};

const NONE = new Uint8Array(0);
const connID = bytesOf("LKJIHGFEDCBA9876543210");
const guid = "0123456789ABCDEFGHIJKL";

describe("real bytes", () => {
  /** Reading the bytes gives the message, and writing the message gives the bytes. */
  function same<M>(codec: Codec<M>, fixture: string, message: M): void {
    expect(codec.read(unhex(fixture))).toEqual(message);
    expect(hex(encode(codec, message))).toBe(fixture);
  }

  const request: ConnectRequest = {
    clientID: "fixture-1",
    heartbeatInbox: "_INBOX.fixture.hb",
    protocol: 1,
    connID,
    pingInterval: 5,
    pingMaxOut: 3,
  };
  const response: ConnectResponse = {
    pubPrefix: "_STAN.pub.test-cluster",
    subRequests: "_STAN.sub.test-cluster",
    unsubRequests: "_STAN.unsub.test-cluster",
    closeRequests: "_STAN.close.test-cluster",
    error: "",
    subCloseRequests: "_STAN.subclose.test-cluster",
    pingRequests: "_STAN.discover.test-cluster.pings",
    pingInterval: 5,
    pingMaxOut: 3,
    protocol: 1,
    publicKey: "",
  };

  test("registering", () => {
    same(ConnectRequest, fixtures.connectRequest, request);
    same(ConnectResponse, fixtures.connectResponse, response);
  });

  test("registering with protocol 0", () => {
    const old = { protocol: 0, connID: NONE, pingInterval: 0, pingMaxOut: 0 };
    same(ConnectRequest, fixtures.connectRequestOld, { ...request, ...old, clientID: "old" });
    const none = { pingRequests: "", pingInterval: 0, pingMaxOut: 0 };
    same(ConnectResponse, fixtures.connectResponseOld, { ...response, ...none });
  });

  test("registering under a client ID that is held", () => {
    const empty = ConnectResponse.read(NONE);
    same(ConnectResponse, fixtures.connectResponseHeld, { ...empty, error: "stan: clientID already registered" });
  });

  test("negative numbers, which the server echoes", () => {
    const negative = { pingInterval: -1, pingMaxOut: -(2 ** 31) };
    const names = { clientID: "negative", connID: bytesOf("negative") };
    same(ConnectRequest, fixtures.connectRequestNegative, { ...request, ...names, ...negative });
    same(ConnectResponse, fixtures.connectResponseNegative, { ...response, ...negative });
  });

  test("pinging", () => {
    same(Ping, fixtures.ping, { connID });
    same(PingResponse, fixtures.pingResponse, { error: "" });
    same(Ping, fixtures.pingUnknown, { connID: bytesOf("nobody") });
    const error = "client has been replaced or is no longer registered";
    same(PingResponse, fixtures.pingResponseUnknown, { error });
  });

  const message: PubMsg = {
    clientID: "fixture-1",
    guid,
    subject: "fixture.one",
    reply: "",
    data: bytesOf("hello"),
    connID,
    sha256: NONE,
  };

  test("publishing", () => {
    same(pubMsg, fixtures.pubMsg, message);
    same(PubAck, fixtures.pubAck, { guid, error: "" });
    same(pubMsg, fixtures.pubMsgEmpty, { ...message, data: NONE });
    same(PubAck, fixtures.pubAckEmpty, { guid, error: "" });
    same(pubMsg, fixtures.pubMsgReply, { ...message, reply: "answers.here", data: bytesOf("é€😀") });
    same(PubAck, fixtures.pubAckReply, { guid, error: "" });
  });

  test("publishing what is refused", () => {
    same(pubMsg, fixtures.pubMsgRefused, { ...message, subject: "not..valid", data: bytesOf("x") });
    same(PubAck, fixtures.pubAckRefused, { guid, error: "stan: invalid publish request" });
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

  const first: MsgProto = {
    sequence: 1n,
    subject: "fixture.one",
    reply: "",
    data: bytesOf("hello"),
    timestamp: 1_795_509_685_690_913_173n,
    redelivered: false,
    redeliveryCount: 0,
    CRC32: 0,
  };
  const delivered: [string, string, MsgProto][] = [
    ["a message", fixtures.msgProto, first],
    [
      "an empty message",
      fixtures.msgProtoEmpty,
      { ...first, sequence: 2n, data: NONE, timestamp: 1_795_509_685_734_953_386n },
    ],
    [
      "a message with a reply",
      fixtures.msgProtoReply,
      {
        ...first,
        sequence: 3n,
        reply: "answers.here",
        data: bytesOf("é€😀"),
        timestamp: 1_795_509_685_778_814_383n,
      },
    ],
    ["a redelivered message", fixtures.msgProtoRedelivered, { ...first, redelivered: true, redeliveryCount: 2 }],
  ];

  test.each(delivered)("%s", (_what, fixture, m) => {
    same(MsgProto, fixture, m);
    expect(viewed(unhex(fixture))).toEqual(m);
  });

  test("acknowledging", () => {
    same(ack, fixtures.ack, { subject: "fixture.one", sequence: 3n });
  });

  const subscription: SubscriptionRequest = {
    clientID: "fixture-1",
    subject: "fixture.one",
    qGroup: "",
    inbox: "_INBOX.fixture.sub",
    maxInFlight: 100,
    ackWaitInSecs: 1,
    durableName: "",
    startPosition: StartPosition.First,
    startSequence: 0n,
    startTimeDelta: 0n,
  };
  const ackInbox = "_INBOX.QzqzpazQxrfUPkQcEZGtDn";

  test("subscribing", () => {
    same(SubscriptionRequest, fixtures.subscriptionRequest, subscription);
    same(SubscriptionResponse, fixtures.subscriptionResponse, { ackInbox, error: "" });
    const inbox = "_INBOX.fixture.sub2";
    same(SubscriptionRequest, fixtures.subscriptionRequestFull, {
      ...subscription,
      inbox,
      qGroup: "workers",
      durableName: "fixture",
      maxInFlight: 2 ** 31 - 1,
      ackWaitInSecs: 30,
      startPosition: StartPosition.SequenceStart,
      startSequence: 2n,
    });
    same(SubscriptionRequest, fixtures.subscriptionRequestTime, {
      ...subscription,
      inbox,
      startPosition: StartPosition.TimeDeltaStart,
      startTimeDelta: 3_600_000_000_000n,
    });
    same(SubscriptionRequest, fixtures.subscriptionRequestHuge, {
      ...subscription,
      inbox,
      startPosition: StartPosition.SequenceStart,
      startSequence: 2n ** 64n - 1n,
    });
  });

  test("subscribing in vain", () => {
    const refused = { ...subscription, inbox: "_INBOX.fixture.sub2", ackWaitInSecs: -1 };
    same(SubscriptionRequest, fixtures.subscriptionRequestRefused, refused);
    const error = "stan: invalid ack wait time, should be >= 1s";
    same(SubscriptionResponse, fixtures.subscriptionResponseRefused, { ackInbox: "", error });
  });

  test("unsubscribing", () => {
    const end: UnsubscribeRequest = { clientID: "fixture-1", subject: "fixture.one", inbox: ackInbox, durableName: "" };
    same(UnsubscribeRequest, fixtures.unsubscribeRequest, end);
    same(SubscriptionResponse, fixtures.unsubscribeResponse, { ackInbox: "", error: "" });
    same(UnsubscribeRequest, fixtures.unsubscribeRequestRefused, { ...end, durableName: "fixture" });
    const error = "stan: invalid subscription";
    same(SubscriptionResponse, fixtures.unsubscribeResponseRefused, { ackInbox: "", error });
  });

  test("closing", () => {
    same(CloseRequest, fixtures.closeRequest, { clientID: "fixture-1" });
    same(CloseResponse, fixtures.closeResponse, { error: "" });
    same(CloseResponse, fixtures.closeResponseRefused, { error: "stan: unknown clientID" });
  });
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
    sequence: view.sequence === Infinity ? MsgProto.read(message).sequence : BigInt(view.sequence),
    subject: text(view.subjectStart, view.subjectEnd),
    reply: text(view.replyStart, view.replyEnd),
    data: bytes.slice(view.dataStart, view.dataEnd),
    timestamp: (BigInt(view.timestampHigh) << 32n) + BigInt(view.timestampLow),
    redelivered: view.redelivered,
    redeliveryCount: view.redeliveryCount,
    CRC32: MsgProto.read(message).CRC32,
  };
}

// Every message with a random one of its kind and the types of its fields.

function text(random: Random): string {
  const alphabet = random.pick(["abcXYZ019-_.", "\u0000\r\n \ufeff", "éß€漢"]);
  return random.pick(["", "__proto__", "constructor", "😀", random.text(random.int(1, 30), alphabet), "a".repeat(130)]);
}

function data(random: Random): Uint8Array {
  return random.bytes(random.pick([0, 0, 1, 12, 13, 22, 127, 128, 300]));
}

function int32(random: Random): number {
  return random.pick([0, 0, 1, 127, 128, 2 ** 31 - 1, -1, -(2 ** 31), random.bits() | 0]);
}

function uint32(random: Random): number {
  return random.pick([0, 0, 1, 300, 2 ** 31, 2 ** 32 - 1, random.bits()]);
}

function uint64(random: Random): bigint {
  const any = (BigInt(random.bits()) << 32n) | BigInt(random.bits());
  const limits = [2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 64n - 1n];
  return random.pick([0n, 1n, any, ...limits]);
}

function int64(random: Random): bigint {
  return random.pick([-1n, -(2n ** 63n), BigInt.asIntN(64, uint64(random))]);
}

/** Field numbers: those of integers, and those of text and bytes. */
interface Fields {
  integers: number[];
  spans: number[];
}

class Kind<M> {
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

const kinds = [
  new Kind("PubMsg", pubMsg, { integers: [], spans: [1, 2, 3, 4, 5, 6, 10] }, (random) => ({
    clientID: text(random),
    guid: text(random),
    subject: text(random),
    reply: text(random),
    data: data(random),
    connID: data(random),
    sha256: NONE,
  })),
  new Kind("PubAck", PubAck, { integers: [], spans: [1, 2] }, (random) => ({
    guid: text(random),
    error: text(random),
  })),
  new Kind("MsgProto", MsgProto, { integers: [1, 5, 6, 7, 10], spans: [2, 3, 4] }, (random) => ({
    sequence: uint64(random),
    subject: text(random),
    reply: text(random),
    data: data(random),
    timestamp: int64(random),
    redelivered: random.bool(),
    redeliveryCount: uint32(random),
    CRC32: uint32(random),
  })),
  new Kind("Ack", ack, { integers: [2], spans: [1] }, (random) => ({
    subject: text(random),
    sequence: uint64(random) & (2n ** 53n - 1n),
  })),
  new Kind("ConnectRequest", ConnectRequest, { integers: [3, 5, 6], spans: [1, 2, 4] }, (random) => ({
    clientID: text(random),
    heartbeatInbox: text(random),
    protocol: int32(random),
    connID: data(random),
    pingInterval: int32(random),
    pingMaxOut: int32(random),
  })),
  new Kind(
    "ConnectResponse",
    ConnectResponse,
    { integers: [8, 9, 10], spans: [1, 2, 3, 4, 5, 6, 7, 100] },
    (random) => ({
      pubPrefix: text(random),
      subRequests: text(random),
      unsubRequests: text(random),
      closeRequests: text(random),
      error: text(random),
      subCloseRequests: text(random),
      pingRequests: text(random),
      pingInterval: int32(random),
      pingMaxOut: int32(random),
      protocol: int32(random),
      publicKey: text(random),
    }),
  ),
  new Kind("Ping", Ping, { integers: [], spans: [1] }, (random) => ({ connID: data(random) })),
  new Kind("PingResponse", PingResponse, { integers: [], spans: [1] }, (random) => ({ error: text(random) })),
  new Kind(
    "SubscriptionRequest",
    SubscriptionRequest,
    { integers: [5, 6, 10, 11, 12], spans: [1, 2, 3, 4, 7] },
    (random) => ({
      clientID: text(random),
      subject: text(random),
      qGroup: text(random),
      inbox: text(random),
      maxInFlight: int32(random),
      ackWaitInSecs: int32(random),
      durableName: text(random),
      startPosition: int32(random),
      startSequence: uint64(random),
      startTimeDelta: int64(random),
    }),
  ),
  new Kind("SubscriptionResponse", SubscriptionResponse, { integers: [], spans: [2, 3] }, (random) => ({
    ackInbox: text(random),
    error: text(random),
  })),
  new Kind("UnsubscribeRequest", UnsubscribeRequest, { integers: [], spans: [1, 2, 3, 4] }, (random) => ({
    clientID: text(random),
    subject: text(random),
    inbox: text(random),
    durableName: text(random),
  })),
  new Kind("CloseRequest", CloseRequest, { integers: [], spans: [1] }, (random) => ({ clientID: text(random) })),
  new Kind("CloseResponse", CloseResponse, { integers: [], spans: [1] }, (random) => ({ error: text(random) })),
];

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
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** Changes up to four bytes. */
function damage(bytes: Uint8Array, random: Random): void {
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

describe.each(kinds)("$name", (kind) => {
  const read = (bytes: Uint8Array): unknown => kind.codec.read(bytes);

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
        expect(attempt(() => read(field(number, wire))) !== undefined, `field ${number}, type ${wire}`).toBe(expected);
      }
    }
  });

  test("hostile bytes are a DecodeError, at once and without room for what they claim", () => {
    const known = hex(field(kind.fields.spans[0], 2)).slice(0, 4);
    const groups = new Uint8Array(100_000).fill(0x0b);
    const unknownGroups = unhex("eb01".repeat(100_000));
    for (const bytes of [groups, unknownGroups, unhex("ea018080808002"), unhex("e801ffffffffffffffffffff01")]) {
      expect(() => read(bytes)).toThrow(DecodeError);
    }
    for (const length of ["8080808002", "ffffffff07", "ffffffff0f", "80808080808080808001", "ffffffffffffffffff01"]) {
      expect(() => read(unhex(known + length))).toThrow(DecodeError);
    }
  });
});

describe("the views", () => {
  test("MsgProtoView reads what MsgProto reads", () =>
    forEachSeed(300, (random) => {
      const bytes = kinds[2].bytes(random);
      expect(viewed(bytes)).toEqual(MsgProto.read(bytes));
    }));

  test("a sequence is exact up to 2^53 - 1 and Infinity from 2^53 on", () => {
    const view = new MsgProtoView();
    const zero = MsgProto.read(NONE);
    for (const [sequence, seen] of [
      [2n ** 32n + 5n, 2 ** 32 + 5],
      [2n ** 53n - 1n, 2 ** 53 - 1],
      [2n ** 53n, Infinity],
      [2n ** 63n, Infinity],
      [2n ** 64n - 1n, Infinity],
      [1n, 1],
    ] as const) {
      const bytes = encode(MsgProto, { ...zero, sequence });
      view.read(bytes, 0, bytes.length);
      expect(view.sequence).toBe(seen);
    }
  });

  test("they refuse and accept the same bytes as the plain messages", () =>
    forEachSeed(500, (random) => {
      const bytes = random.pick([kinds[1], kinds[2]]).bytes(random);
      damage(bytes, random);
      const pubAckView = new PubAckView();
      const msgProtoView = new MsgProtoView();
      const pubAck = attempt(() => PubAck.read(bytes));
      const seen = attempt(() => (pubAckView.read(bytes, 0, bytes.length), pubAckView.error()));
      expect(seen).toBe(pubAck?.error);
      const plain = attempt(() => MsgProto.read(bytes)) !== undefined;
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
});

test("a PubMsg's sha256, which we never write, is read", () => {
  expect(PubMsg.read(unhex("52020102")).sha256).toEqual(new Uint8Array([1, 2]));
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
  expect(Ack.read(bytes, 0, end)).toEqual({ subject: "a", sequence: 2n ** 53n - 1n });
  expect(() => Ack.size(bytesOf("a"), Infinity)).toThrow(RangeError);
});

test("messages that were read share no bytes with what they were read from", () => {
  const bytes = unhex(fixtures.msgProto);
  const m = MsgProto.read(bytes);
  bytes.fill(0);
  expect(m.data).toEqual(bytesOf("hello"));
});

test("names like __proto__ are just text", () => {
  const before = Object.getOwnPropertyNames(Object.prototype);
  for (const guid of ["__proto__", "constructor", "toString"]) {
    expect(PubAck.read(encode(PubAck, { guid, error: guid }))).toEqual({ guid, error: guid });
  }
  expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
});
