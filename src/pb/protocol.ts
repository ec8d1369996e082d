import {
  type Codec,
  Reader,
  sizeOfBool,
  sizeOfInt,
  sizeOfInt64,
  sizeOfLength,
  sizeOfText,
  textOf,
  writeBool,
  writeBytes,
  writeInt,
  writeInt64,
  writeLength,
  writeText,
} from "./wire.ts";

const NO_BYTES = new Uint8Array(0);

// The messages of NATS Streaming (protobuf package `pb`), with its names for messages and fields. All fields are
// always there; one that is absent on the wire has its zero value. Fields are written in the order of their numbers,
// as the server does (seen on nats-streaming-server 0.25.6), but for PubMsg, whose data comes last.

/** A message to be stored. Answered by a PubAck. */
export interface PubMsg {
  /** May be empty if `connID` is not: the server then looks at that alone. */
  clientID: string;
  /** Names this publish in the PubAck. The server refuses an empty one, and neither stores it nor looks for doubles. */
  guid: string;
  /** The channel. This, not the NATS subject, says where the message is stored. */
  subject: string;
  /** Stored, and delivered as the reply of the MsgProto. */
  reply: string;
  data: Uint8Array;
  connID: Uint8Array;
  /** Never read by the server, never written here. */
  sha256: Uint8Array;
}

/** What is written of a PubMsg besides its data. */
export interface PubMsgHead {
  /** From `PubMsg.envelope`. */
  envelope: Uint8Array;
  /** The guid's text in UTF-8. */
  guid: Uint8Array;
}

export const PubMsg = {
  /**
   * Encodes the fields that many messages have in common, for use in all of them. Measured: a head of an envelope and
   * a guid takes 45 ns to write, one of five fields 115 ns.
   */
  envelope(m: Pick<PubMsg, "clientID" | "subject" | "reply" | "connID">): Uint8Array {
    const bytes = new Uint8Array(
      sizeOfText(1, m.clientID) + sizeOfText(3, m.subject) + sizeOfText(4, m.reply) + sizeOfLength(6, m.connID.length),
    );
    let at = writeText(bytes, 0, 1, m.clientID);
    at = writeText(bytes, at, 3, m.subject);
    at = writeText(bytes, at, 4, m.reply);
    writeBytes(bytes, at, 6, m.connID);
    return bytes;
  },

  /** Size of the whole message, its `dataLength` bytes of data included. */
  size(m: PubMsgHead, dataLength: number): number {
    return m.envelope.length + sizeOfLength(2, m.guid.length) + sizeOfLength(5, dataLength);
  },

  /** Writes all but the data, which the caller puts behind: at the end that is returned, exactly `dataLength` bytes. */
  writeHead(m: PubMsgHead, dataLength: number, bytes: Uint8Array, at: number): number {
    bytes.set(m.envelope, at);
    at = writeBytes(bytes, at + m.envelope.length, 2, m.guid);
    return writeLength(bytes, at, 5, dataLength);
  },

  /** @throws DecodeError */
  read(bytes: Uint8Array, start = 0, end = bytes.length): PubMsg {
    const none = NO_BYTES;
    const m: PubMsg = { clientID: "", guid: "", subject: "", reply: "", data: none, connID: none, sha256: none };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 1) m.clientID = reader.text();
      else if (reader.field === 2) m.guid = reader.text();
      else if (reader.field === 3) m.subject = reader.text();
      else if (reader.field === 4) m.reply = reader.text();
      else if (reader.field === 5) m.data = reader.copy();
      else if (reader.field === 6) m.connID = reader.copy();
      else if (reader.field === 10) m.sha256 = reader.copy();
      else reader.skip();
    }
    return m;
  },
};

/** The answer to a PubMsg. */
export interface PubAck {
  guid: string;
  /** Empty: the message is stored. */
  error: string;
}

export const PubAck: Codec<PubAck> = {
  size(m) {
    return sizeOfText(1, m.guid) + sizeOfText(2, m.error);
  },
  write(m, bytes, at) {
    at = writeText(bytes, at, 1, m.guid);
    return writeText(bytes, at, 2, m.error);
  },
  read(bytes, start, end) {
    const m: PubAck = { guid: "", error: "" };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 1) m.guid = reader.text();
      else if (reader.field === 2) m.error = reader.text();
      else reader.skip();
    }
    return m;
  },
};

/** A PubAck looked at in place: nothing is copied or allocated. For reuse; after a DecodeError it says nothing. */
export class PubAckView {
  /** The guid and the error are between these offsets in the bytes that were read; equal where absent. */
  guidStart = 0;
  guidEnd = 0;
  errorStart = 0;
  errorEnd = 0;
  readonly #reader = new Reader(NO_BYTES);
  #bytes: Uint8Array = NO_BYTES;

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

  /** The error as text; empty: the message is stored. To be asked while the bytes are as they were when read. */
  error(): string {
    return textOf(this.#bytes, this.errorStart, this.errorEnd);
  }
}

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

export const MsgProto: Codec<MsgProto> = {
  size(m) {
    return (
      sizeOfInt64(1, m.sequence) +
      sizeOfText(2, m.subject) +
      sizeOfText(3, m.reply) +
      sizeOfLength(4, m.data.length) +
      sizeOfInt64(5, m.timestamp) +
      sizeOfBool(6, m.redelivered) +
      sizeOfInt(7, m.redeliveryCount) +
      sizeOfInt(10, m.CRC32)
    );
  },
  write(m, bytes, at) {
    at = writeInt64(bytes, at, 1, m.sequence);
    at = writeText(bytes, at, 2, m.subject);
    at = writeText(bytes, at, 3, m.reply);
    at = writeBytes(bytes, at, 4, m.data);
    at = writeInt64(bytes, at, 5, m.timestamp);
    at = writeBool(bytes, at, 6, m.redelivered);
    at = writeInt(bytes, at, 7, m.redeliveryCount);
    return writeInt(bytes, at, 10, m.CRC32);
  },
  read(bytes, start, end) {
    const m: MsgProto = {
      sequence: 0n,
      subject: "",
      reply: "",
      data: NO_BYTES,
      timestamp: 0n,
      redelivered: false,
      redeliveryCount: 0,
      CRC32: 0,
    };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 1) m.sequence = reader.uint64();
      else if (reader.field === 2) m.subject = reader.text();
      else if (reader.field === 3) m.reply = reader.text();
      else if (reader.field === 4) m.data = reader.copy();
      else if (reader.field === 5) m.timestamp = reader.int64();
      else if (reader.field === 6) m.redelivered = reader.bool();
      else if (reader.field === 7) m.redeliveryCount = reader.uint32();
      else if (reader.field === 10) m.CRC32 = reader.uint32();
      else reader.skip();
    }
    return m;
  },
};

/** A MsgProto looked at in place: nothing is copied or allocated. For reuse; after a DecodeError it says nothing. */
export class MsgProtoView {
  /** Exact up to 2^53 - 1; what is larger is Infinity. */
  sequence = 0;
  /** The lower 32 bits of the timestamp, unsigned. */
  timestampLow = 0;
  /** The higher 32 bits of the timestamp, signed. */
  timestampHigh = 0;
  redelivered = false;
  redeliveryCount = 0;
  /** Subject, reply and data are between these offsets in the bytes that were read; equal where absent. */
  subjectStart = 0;
  subjectEnd = 0;
  replyStart = 0;
  replyEnd = 0;
  dataStart = 0;
  dataEnd = 0;
  readonly #reader = new Reader(NO_BYTES);

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
          // Of no use, but of a known type: a field of another one fails the message, as it does with MsgProto.
          reader.varint();
          break;
        default:
          reader.skip();
      }
    }
  }
}

/** Says that a message was handled. Never answered. */
export interface Ack {
  /** The channel. */
  subject: string;
  sequence: bigint;
}

export const Ack = {
  /** `subject` is UTF-8 bytes, `sequence` a whole number up to 2^53 - 1. */
  size(subject: Uint8Array, sequence: number): number {
    return sizeOfLength(1, subject.length) + sizeOfInt(2, sequence);
  },

  /** Writes at `at` and returns the end. */
  write(subject: Uint8Array, sequence: number, bytes: Uint8Array, at: number): number {
    at = writeBytes(bytes, at, 1, subject);
    return writeInt(bytes, at, 2, sequence);
  },

  /** @throws DecodeError */
  read(bytes: Uint8Array, start = 0, end = bytes.length): Ack {
    const m: Ack = { subject: "", sequence: 0n };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 1) m.subject = reader.text();
      else if (reader.field === 2) m.sequence = reader.uint64();
      else reader.skip();
    }
    return m;
  },
};

/** Registers a client. Answered by a ConnectResponse. */
export interface ConnectRequest {
  clientID: string;
  /** Where the server's heartbeats go. */
  heartbeatInbox: string;
  /** 1: with connID and pings. */
  protocol: number;
  /** Names this session; unique. */
  connID: Uint8Array;
  /** Seconds. The server only echoes it. */
  pingInterval: number;
  /** The server only echoes it. */
  pingMaxOut: number;
}

export const ConnectRequest: Codec<ConnectRequest> = {
  size(m) {
    return (
      sizeOfText(1, m.clientID) +
      sizeOfText(2, m.heartbeatInbox) +
      sizeOfInt(3, m.protocol) +
      sizeOfLength(4, m.connID.length) +
      sizeOfInt(5, m.pingInterval) +
      sizeOfInt(6, m.pingMaxOut)
    );
  },
  write(m, bytes, at) {
    at = writeText(bytes, at, 1, m.clientID);
    at = writeText(bytes, at, 2, m.heartbeatInbox);
    at = writeInt(bytes, at, 3, m.protocol);
    at = writeBytes(bytes, at, 4, m.connID);
    at = writeInt(bytes, at, 5, m.pingInterval);
    return writeInt(bytes, at, 6, m.pingMaxOut);
  },
  read(bytes, start, end) {
    const m: ConnectRequest = {
      clientID: "",
      heartbeatInbox: "",
      protocol: 0,
      connID: NO_BYTES,
      pingInterval: 0,
      pingMaxOut: 0,
    };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 1) m.clientID = reader.text();
      else if (reader.field === 2) m.heartbeatInbox = reader.text();
      else if (reader.field === 3) m.protocol = reader.int32();
      else if (reader.field === 4) m.connID = reader.copy();
      else if (reader.field === 5) m.pingInterval = reader.int32();
      else if (reader.field === 6) m.pingMaxOut = reader.int32();
      else reader.skip();
    }
    return m;
  },
};

/** The answer to a ConnectRequest: the subjects to use. */
export interface ConnectResponse {
  /** Messages are published to this, a dot, and the channel. */
  pubPrefix: string;
  subRequests: string;
  unsubRequests: string;
  closeRequests: string;
  /** Empty: registered. */
  error: string;
  subCloseRequests: string;
  /** This one and the next two are set only if the request's protocol is 1 or more. */
  pingRequests: string;
  pingInterval: number;
  pingMaxOut: number;
  protocol: number;
  /** Not used. */
  publicKey: string;
}

export const ConnectResponse: Codec<ConnectResponse> = {
  size(m) {
    return (
      sizeOfText(1, m.pubPrefix) +
      sizeOfText(2, m.subRequests) +
      sizeOfText(3, m.unsubRequests) +
      sizeOfText(4, m.closeRequests) +
      sizeOfText(5, m.error) +
      sizeOfText(6, m.subCloseRequests) +
      sizeOfText(7, m.pingRequests) +
      sizeOfInt(8, m.pingInterval) +
      sizeOfInt(9, m.pingMaxOut) +
      sizeOfInt(10, m.protocol) +
      sizeOfText(100, m.publicKey)
    );
  },
  write(m, bytes, at) {
    at = writeText(bytes, at, 1, m.pubPrefix);
    at = writeText(bytes, at, 2, m.subRequests);
    at = writeText(bytes, at, 3, m.unsubRequests);
    at = writeText(bytes, at, 4, m.closeRequests);
    at = writeText(bytes, at, 5, m.error);
    at = writeText(bytes, at, 6, m.subCloseRequests);
    at = writeText(bytes, at, 7, m.pingRequests);
    at = writeInt(bytes, at, 8, m.pingInterval);
    at = writeInt(bytes, at, 9, m.pingMaxOut);
    at = writeInt(bytes, at, 10, m.protocol);
    return writeText(bytes, at, 100, m.publicKey);
  },
  read(bytes, start, end) {
    const m: ConnectResponse = {
      pubPrefix: "",
      subRequests: "",
      unsubRequests: "",
      closeRequests: "",
      error: "",
      subCloseRequests: "",
      pingRequests: "",
      pingInterval: 0,
      pingMaxOut: 0,
      protocol: 0,
      publicKey: "",
    };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 1) m.pubPrefix = reader.text();
      else if (reader.field === 2) m.subRequests = reader.text();
      else if (reader.field === 3) m.unsubRequests = reader.text();
      else if (reader.field === 4) m.closeRequests = reader.text();
      else if (reader.field === 5) m.error = reader.text();
      else if (reader.field === 6) m.subCloseRequests = reader.text();
      else if (reader.field === 7) m.pingRequests = reader.text();
      else if (reader.field === 8) m.pingInterval = reader.int32();
      else if (reader.field === 9) m.pingMaxOut = reader.int32();
      else if (reader.field === 10) m.protocol = reader.int32();
      else if (reader.field === 100) m.publicKey = reader.text();
      else reader.skip();
    }
    return m;
  },
};

/** Asks whether a session lives. Answered by a PingResponse, but not at all if the connID is empty. */
export interface Ping {
  connID: Uint8Array;
}

export const Ping: Codec<Ping> = {
  size(m) {
    return sizeOfLength(1, m.connID.length);
  },
  write(m, bytes, at) {
    return writeBytes(bytes, at, 1, m.connID);
  },
  read(bytes, start, end) {
    const m: Ping = { connID: NO_BYTES };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 1) m.connID = reader.copy();
      else reader.skip();
    }
    return m;
  },
};

/** The answer to a Ping. */
export interface PingResponse {
  /** Empty: the session lives. */
  error: string;
}

export const PingResponse: Codec<PingResponse> = {
  size(m) {
    return sizeOfText(1, m.error);
  },
  write(m, bytes, at) {
    return writeText(bytes, at, 1, m.error);
  },
  read(bytes, start, end) {
    const m: PingResponse = { error: "" };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 1) m.error = reader.text();
      else reader.skip();
    }
    return m;
  },
};

/** Where a new subscription starts. */
export const StartPosition = {
  NewOnly: 0,
  LastReceived: 1,
  TimeDeltaStart: 2,
  SequenceStart: 3,
  First: 4,
} as const;
export type StartPosition = (typeof StartPosition)[keyof typeof StartPosition];

/** Asks for a subscription. Answered by a SubscriptionResponse. */
export interface SubscriptionRequest {
  clientID: string;
  /** The channel. */
  subject: string;
  qGroup: string;
  /** Where messages are to be delivered. The server does not check it. */
  inbox: string;
  /** 1 or more. */
  maxInFlight: number;
  /** Seconds, 1 or more. */
  ackWaitInSecs: number;
  durableName: string;
  /** A StartPosition; what is read may be any int32. */
  startPosition: number;
  /** For SequenceStart. */
  startSequence: bigint;
  /** For TimeDeltaStart: nanoseconds before the server's now. */
  startTimeDelta: bigint;
}

export const SubscriptionRequest: Codec<SubscriptionRequest> = {
  size(m) {
    return (
      sizeOfText(1, m.clientID) +
      sizeOfText(2, m.subject) +
      sizeOfText(3, m.qGroup) +
      sizeOfText(4, m.inbox) +
      sizeOfInt(5, m.maxInFlight) +
      sizeOfInt(6, m.ackWaitInSecs) +
      sizeOfText(7, m.durableName) +
      sizeOfInt(10, m.startPosition) +
      sizeOfInt64(11, m.startSequence) +
      sizeOfInt64(12, m.startTimeDelta)
    );
  },
  write(m, bytes, at) {
    at = writeText(bytes, at, 1, m.clientID);
    at = writeText(bytes, at, 2, m.subject);
    at = writeText(bytes, at, 3, m.qGroup);
    at = writeText(bytes, at, 4, m.inbox);
    at = writeInt(bytes, at, 5, m.maxInFlight);
    at = writeInt(bytes, at, 6, m.ackWaitInSecs);
    at = writeText(bytes, at, 7, m.durableName);
    at = writeInt(bytes, at, 10, m.startPosition);
    at = writeInt64(bytes, at, 11, m.startSequence);
    return writeInt64(bytes, at, 12, m.startTimeDelta);
  },
  read(bytes, start, end) {
    const m: SubscriptionRequest = {
      clientID: "",
      subject: "",
      qGroup: "",
      inbox: "",
      maxInFlight: 0,
      ackWaitInSecs: 0,
      durableName: "",
      startPosition: 0,
      startSequence: 0n,
      startTimeDelta: 0n,
    };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 1) m.clientID = reader.text();
      else if (reader.field === 2) m.subject = reader.text();
      else if (reader.field === 3) m.qGroup = reader.text();
      else if (reader.field === 4) m.inbox = reader.text();
      else if (reader.field === 5) m.maxInFlight = reader.int32();
      else if (reader.field === 6) m.ackWaitInSecs = reader.int32();
      else if (reader.field === 7) m.durableName = reader.text();
      else if (reader.field === 10) m.startPosition = reader.int32();
      else if (reader.field === 11) m.startSequence = reader.uint64();
      else if (reader.field === 12) m.startTimeDelta = reader.int64();
      else reader.skip();
    }
    return m;
  },
};

/** The answer to a SubscriptionRequest, and to an UnsubscribeRequest. */
export interface SubscriptionResponse {
  /** Where acks go. Empty in the answer to an UnsubscribeRequest. */
  ackInbox: string;
  /** Empty: done. */
  error: string;
}

export const SubscriptionResponse: Codec<SubscriptionResponse> = {
  size(m) {
    return sizeOfText(2, m.ackInbox) + sizeOfText(3, m.error);
  },
  write(m, bytes, at) {
    at = writeText(bytes, at, 2, m.ackInbox);
    return writeText(bytes, at, 3, m.error);
  },
  read(bytes, start, end) {
    const m: SubscriptionResponse = { ackInbox: "", error: "" };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 2) m.ackInbox = reader.text();
      else if (reader.field === 3) m.error = reader.text();
      else reader.skip();
    }
    return m;
  },
};

/** Ends a subscription: a durable for good, or sent to subCloseRequests for now. Answered by a SubscriptionResponse. */
export interface UnsubscribeRequest {
  clientID: string;
  /** The channel. */
  subject: string;
  /** The subscription's ackInbox; the inbox of its deliveries is understood too (seen on 0.25.6). */
  inbox: string;
  /** Ignored by the server (seen on 0.25.6). */
  durableName: string;
}

export const UnsubscribeRequest: Codec<UnsubscribeRequest> = {
  size(m) {
    return sizeOfText(1, m.clientID) + sizeOfText(2, m.subject) + sizeOfText(3, m.inbox) + sizeOfText(4, m.durableName);
  },
  write(m, bytes, at) {
    at = writeText(bytes, at, 1, m.clientID);
    at = writeText(bytes, at, 2, m.subject);
    at = writeText(bytes, at, 3, m.inbox);
    return writeText(bytes, at, 4, m.durableName);
  },
  read(bytes, start, end) {
    const m: UnsubscribeRequest = { clientID: "", subject: "", inbox: "", durableName: "" };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 1) m.clientID = reader.text();
      else if (reader.field === 2) m.subject = reader.text();
      else if (reader.field === 3) m.inbox = reader.text();
      else if (reader.field === 4) m.durableName = reader.text();
      else reader.skip();
    }
    return m;
  },
};

/** Ends whatever session holds the client ID. Answered by a CloseResponse. */
export interface CloseRequest {
  clientID: string;
}

export const CloseRequest: Codec<CloseRequest> = {
  size(m) {
    return sizeOfText(1, m.clientID);
  },
  write(m, bytes, at) {
    return writeText(bytes, at, 1, m.clientID);
  },
  read(bytes, start, end) {
    const m: CloseRequest = { clientID: "" };
    const reader = new Reader(bytes, start, end);
    while (reader.next()) {
      if (reader.field === 1) m.clientID = reader.text();
      else reader.skip();
    }
    return m;
  },
};

/** The answer to a CloseRequest. */
export interface CloseResponse {
  /** Empty: closed. */
  error: string;
}

/** On the wire it is the same as a PingResponse. */
export const CloseResponse: Codec<CloseResponse> = PingResponse;
