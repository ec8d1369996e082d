import { bytes, encode, message, text } from "./codec.ts";
import { Reader, sizeOfInt, sizeOfLength, textOf, writeBytes, writeInt, writeLength } from "./wire.ts";

// The four messages of NATS Streaming that a channel's every message needs: PubMsg and Ack as the client writes
// them, PubAck and MsgProto as it reads them. Messages and fields have the names of the protobuf package `pb`. The
// client writes them by hand and reads them in place. The server for tests has each of them as a whole:
// src/testing/messages.ts.

/** The fields that the PubMsgs of one session to one channel have in common. */
export interface PubMsgEnvelope {
  /** May be empty if `connID` is not: the server then looks at `connID` alone. */
  clientID: string;
  /** The channel. This field, not the NATS subject, says where the message is stored. */
  subject: string;
  /** The server stores it and delivers it as the reply of the MsgProto. */
  reply: string;
  connID: Uint8Array;
}

/** Everything that is written of a PubMsg besides its data. */
export interface PubMsgHead {
  /** From `PubMsg.envelope`. */
  envelope: Uint8Array;
  /** The guid's text in UTF-8. */
  guid: Uint8Array;
}

const envelope = message<PubMsgEnvelope>({
  clientID: [1, text],
  subject: [3, text],
  reply: [4, text],
  connID: [6, bytes],
});

/**
 * Writes a message to be stored. The server answers with a PubAck. The data comes last, whatever its field's
 * number.
 */
export const PubMsg = {
  /**
   * Encodes the fields that many messages have in common, for use in all of them. Measured: a head of an envelope and
   * a guid takes 45 ns to write, one of five fields 115 ns.
   */
  envelope(m: PubMsgEnvelope): Uint8Array {
    return encode(envelope, m);
  },

  /** The size of the whole message, its `dataLength` bytes of data included. */
  size(m: PubMsgHead, dataLength: number): number {
    return m.envelope.length + sizeOfLength(2, m.guid.length) + sizeOfLength(5, dataLength);
  },

  /** Writes all but the data. The caller writes exactly `dataLength` bytes at the end that is returned. */
  writeHead(m: PubMsgHead, dataLength: number, bytes: Uint8Array, at: number): number {
    bytes.set(m.envelope, at);
    at = writeBytes(bytes, at + m.envelope.length, 2, m.guid);
    return writeLength(bytes, at, 5, dataLength);
  },
};

/**
 * The answer to a PubMsg, read in place: nothing is copied or allocated. A view can be used again and again. After a
 * DecodeError its fields mean nothing.
 */
export class PubAckView {
  /** Offsets of the guid and the error in the bytes that were read. An absent field starts where it ends. */
  guidStart = 0;
  guidEnd = 0;
  errorStart = 0;
  errorEnd = 0;
  readonly #reader = new Reader(bytes.zero);
  #bytes = bytes.zero;

  /** @throws DecodeError */
  read(bytes: Uint8Array, start: number, end: number): void {
    const reader = this.#reader;
    reader.reset(bytes, start, end);
    this.#bytes = bytes;
    this.guidStart = this.guidEnd = this.errorStart = this.errorEnd = start;
    while (reader.next()) {
      if (reader.field === 1) {
        reader.span();
        this.guidStart = reader.from;
        this.guidEnd = reader.at;
      } else if (reader.field === 2) {
        reader.span();
        this.errorStart = reader.from;
        this.errorEnd = reader.at;
      } else {
        reader.skip();
      }
    }
  }

  /** The error as text; "" says that the message is stored. The bytes must not have changed since `read`. */
  error(): string {
    return textOf(this.#bytes, this.errorStart, this.errorEnd);
  }
}

/**
 * A message as a subscription gets it, read in place: nothing is copied or allocated. A view can be used again and
 * again. After a DecodeError its fields mean nothing.
 */
export class MsgProtoView {
  /** Counts from 1 in each channel. Exact up to 2^53 - 1; a larger one is Infinity. */
  sequence = 0;
  /** When the message was stored, in nanoseconds since 1970: the lower 32 bits, unsigned. */
  timestampLow = 0;
  /** The higher 32 bits of the timestamp, signed. */
  timestampHigh = 0;
  redelivered = false;
  /** 0 at the first delivery, then 1, 2, 3, … */
  redeliveryCount = 0;
  /**
   * Offsets of subject (the channel), reply and data in the bytes that were read. An absent field starts where it
   * ends.
   */
  subjectStart = 0;
  subjectEnd = 0;
  replyStart = 0;
  replyEnd = 0;
  dataStart = 0;
  dataEnd = 0;
  readonly #reader = new Reader(bytes.zero);

  /** @throws DecodeError */
  read(bytes: Uint8Array, start: number, end: number): void {
    const reader = this.#reader;
    reader.reset(bytes, start, end);
    this.sequence = this.timestampLow = this.timestampHigh = this.redeliveryCount = 0;
    this.redelivered = false;
    this.subjectStart = this.subjectEnd = this.replyStart = this.replyEnd = this.dataStart = this.dataEnd = start;
    while (reader.next()) {
      switch (reader.field) {
        case 1: {
          reader.varint();
          const high = reader.high >>> 0;
          this.sequence = high > 0x1fffff ? Infinity : high * 0x100000000 + (reader.low >>> 0);
          break;
        }
        case 2:
          reader.span();
          this.subjectStart = reader.from;
          this.subjectEnd = reader.at;
          break;
        case 3:
          reader.span();
          this.replyStart = reader.from;
          this.replyEnd = reader.at;
          break;
        case 4:
          reader.span();
          this.dataStart = reader.from;
          this.dataEnd = reader.at;
          break;
        case 5:
          reader.varint();
          this.timestampLow = reader.low >>> 0;
          this.timestampHigh = reader.high;
          break;
        case 6:
          this.redelivered = reader.bool();
          break;
        case 7:
          this.redeliveryCount = reader.uint32();
          break;
        case 10:
          // The CRC32 is not used. But its type is known: a field of another type fails the message, as any other
          // field does.
          reader.varint();
          break;
        default:
          reader.skip();
      }
    }
  }
}

/** Writes that a message was handled. The server never answers. */
export const Ack = {
  /** `subject` is the channel as UTF-8 bytes, `sequence` a whole number up to 2^53 - 1. */
  size(subject: Uint8Array, sequence: number): number {
    return sizeOfLength(1, subject.length) + sizeOfInt(2, sequence);
  },

  /** Writes at `at` and returns the end. */
  write(subject: Uint8Array, sequence: number, bytes: Uint8Array, at: number): number {
    at = writeBytes(bytes, at, 1, subject);
    return writeInt(bytes, at, 2, sequence);
  },
};
