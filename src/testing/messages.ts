import { bytes, int32, int64, message, text, type Type, uint64 } from "../pb/codec.ts";
import type { PubMsgEnvelope } from "../pb/data.ts";

// The four messages of src/pb/data.ts, each as a whole and in both directions: the server reads what the client
// writes, and writes what the client reads. Every field is always there; a field that is absent on the wire has its
// zero value.

/** A boolean. */
export const bool: Type<boolean> = {
  zero: false,
  size: (field, value) => int32.size(field, Number(value)),
  write: (bytes, at, field, value) => int32.write(bytes, at, field, Number(value)),
  read: (reader) => reader.bool(),
};

/** A uint32. */
export const uint32: Type<number> = { ...int32, read: (reader) => reader.uint32() };

/** A message to be stored. The server answers with a PubAck. */
export interface PubMsg extends PubMsgEnvelope {
  /** Names this publish in the PubAck. The server refuses an empty one, and neither stores it nor looks for doubles. */
  guid: string;
  data: Uint8Array;
  /** Never read by the server, never written by the client. */
  sha256: Uint8Array;
}

export const PubMsg = message<PubMsg>({
  clientID: [1, text],
  guid: [2, text],
  subject: [3, text],
  reply: [4, text],
  data: [5, bytes],
  connID: [6, bytes],
  sha256: [10, bytes],
});

/** Answers a PubMsg. */
export interface PubAck {
  guid: string;
  /** "" says that the message is stored. */
  error: string;
}

export const PubAck = message<PubAck>({
  guid: [1, text],
  error: [2, text],
});

/** A stored message, as delivered to a subscription. */
export interface MsgProto {
  /** Counts from 1 in each channel. */
  sequence: bigint;
  /** The channel. */
  subject: string;
  reply: string;
  data: Uint8Array;
  /** When it was stored: nanoseconds since 1970. */
  timestamp: bigint;
  redelivered: boolean;
  /** 0 at the first delivery, then 1, 2, 3, … */
  redeliveryCount: number;
  /** Never set by the server (seen on 0.25.6). */
  CRC32: number;
}

export const MsgProto = message<MsgProto>({
  sequence: [1, uint64],
  subject: [2, text],
  reply: [3, text],
  data: [4, bytes],
  timestamp: [5, int64],
  redelivered: [6, bool],
  redeliveryCount: [7, uint32],
  CRC32: [10, uint32],
});

/** Says that a message was handled. The server never answers. */
export interface Ack {
  /** The channel. */
  subject: string;
  sequence: bigint;
}

export const Ack = message<Ack>({
  subject: [1, text],
  sequence: [2, uint64],
});
