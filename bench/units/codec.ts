// Measures the codec, in nanoseconds per message, for the messages of the hot path:
//   npm run programs && node build/bench/units/codec.js
import { encode } from "../../src/pb/codec.ts";
import { Ack, MsgProtoView, PubAckView, PubMsg } from "../../src/pb/data.ts";
import { writeBytes } from "../../src/pb/wire.ts";
import { MsgProto, PubAck } from "../../src/testing/messages.ts";
import { measure } from "./measure.ts";

const TIMES = 2_000_000;

const utf8 = new TextEncoder();
const out = new Uint8Array(65_536);
/** Takes up all results, so that the compiler can leave out nothing as unused. */
let sum = 0;

/** Places a message as a socket does: inside a larger array, not at its start. */
function received(message: Uint8Array): { bytes: Uint8Array; start: number; end: number } {
  const bytes = new Uint8Array(message.length + 200);
  bytes.set(message, 100);
  return { bytes, start: 100, end: 100 + message.length };
}

const subject = utf8.encode("orders.created");
const head = {
  envelope: PubMsg.envelope({
    clientID: "orders-1",
    subject: "orders.created",
    reply: "",
    connID: utf8.encode("LKJIHGFEDCBA9876543210"),
  }),
  guid: utf8.encode("0123456789ABCDEFGHIJKL"),
};

measure("PubMsg size + head, 128 B of data", TIMES, (times) => {
  for (let i = 0; i < times; i++) {
    head.guid[21] = i & 0x7f;
    sum += PubMsg.size(head, 128) + PubMsg.writeHead(head, 128, out, i & 0xfff);
  }
});

const ack = received(encode(PubAck, { guid: "0123456789ABCDEFGHIJKL", error: "" }));
const ackView = new PubAckView();
measure("PubAck read", TIMES, (times) => {
  for (let i = 0; i < times; i++) {
    ackView.read(ack.bytes, ack.start, ack.end);
    sum += ackView.guidEnd + ackView.errorEnd;
  }
});

const delivered = received(
  encode(MsgProto, {
    sequence: 1_234_567n,
    subject: "orders.created",
    reply: "",
    data: new Uint8Array(128),
    timestamp: 1_764_000_000_123_456_789n,
    redelivered: false,
    redeliveryCount: 0,
    CRC32: 0,
  }),
);
const view = new MsgProtoView();
measure("MsgProto read, 128 B of data", TIMES, (times) => {
  for (let i = 0; i < times; i++) {
    view.read(delivered.bytes, delivered.start, delivered.end);
    sum += view.sequence + view.timestampLow + view.dataEnd;
  }
});

measure("Ack size + write", TIMES, (times) => {
  for (let i = 0; i < times; i++) {
    sum += Ack.size(subject, 1_000_000 + i) + Ack.write(subject, 1_000_000 + i, out, i & 0xfff);
  }
});

for (const length of [8, 16, 22, 32, 48, 64, 128]) {
  const value = new Uint8Array(length);
  measure(`bytes field, ${length} B`, TIMES, (times) => {
    for (let i = 0; i < times; i++) sum += writeBytes(out, i & 0xfff, 1, value);
  });
}

process.stdout.write(`(${sum.toExponential(3)})\n`);
