import { bytes, type Codec, int32, int64, message, text, uint64 } from "./codec.ts";

// The messages of NATS Streaming that set up and end a client's session and its subscriptions. Messages and fields
// have the names of the protobuf package `pb`. Every field is always there; a field that is absent on the wire has
// its zero value. Fields are written in the order of their numbers, as the server writes them (seen on
// nats-streaming-server 0.25.6).

/** Registers a client. The server answers with a ConnectResponse. */
export interface ConnectRequest {
  clientID: string;
  /** The subject of the server's heartbeats. */
  heartbeatInbox: string;
  /** 1 says that the client has a connID and sends pings. */
  protocol: number;
  /** Names this session. No two sessions have the same. */
  connID: Uint8Array;
  /** In seconds. The server only echoes it. */
  pingInterval: number;
  /** The server only echoes it. */
  pingMaxOut: number;
}

export const ConnectRequest = message<ConnectRequest>({
  clientID: [1, text],
  heartbeatInbox: [2, text],
  protocol: [3, int32],
  connID: [4, bytes],
  pingInterval: [5, int32],
  pingMaxOut: [6, int32],
});

/** Answers a ConnectRequest with the subjects to use. */
export interface ConnectResponse {
  /** The subject of a publish is this prefix, a dot, and the channel. */
  pubPrefix: string;
  subRequests: string;
  unsubRequests: string;
  closeRequests: string;
  /** "" says that the client is registered. */
  error: string;
  subCloseRequests: string;
  /** The server sets this field and the next two only if the request's protocol is 1 or more. */
  pingRequests: string;
  pingInterval: number;
  pingMaxOut: number;
  protocol: number;
  /** Not used. */
  publicKey: string;
}

export const ConnectResponse = message<ConnectResponse>({
  pubPrefix: [1, text],
  subRequests: [2, text],
  unsubRequests: [3, text],
  closeRequests: [4, text],
  error: [5, text],
  subCloseRequests: [6, text],
  pingRequests: [7, text],
  pingInterval: [8, int32],
  pingMaxOut: [9, int32],
  protocol: [10, int32],
  publicKey: [100, text],
});

/** Asks whether a session lives. The server answers with a PingResponse, or not at all if the connID is empty. */
export interface Ping {
  connID: Uint8Array;
}

export const Ping = message<Ping>({
  connID: [1, bytes],
});

/** Answers a Ping. */
export interface PingResponse {
  /** "" says that the session lives. */
  error: string;
}

export const PingResponse = message<PingResponse>({
  error: [1, text],
});

/** Where a new subscription starts. */
export const StartPosition = {
  NewOnly: 0,
  LastReceived: 1,
  TimeDeltaStart: 2,
  SequenceStart: 3,
  First: 4,
} as const;
export type StartPosition = (typeof StartPosition)[keyof typeof StartPosition];

/** Asks for a subscription. The server answers with a SubscriptionResponse. */
export interface SubscriptionRequest {
  clientID: string;
  /** The channel. */
  subject: string;
  qGroup: string;
  /** The subject that the server delivers to. The server does not check it. */
  inbox: string;
  /** 1 or more. */
  maxInFlight: number;
  /** In seconds, 1 or more. */
  ackWaitInSecs: number;
  durableName: string;
  /** A StartPosition. One that is read may be any int32. */
  startPosition: number;
  /** For SequenceStart. */
  startSequence: bigint;
  /** For TimeDeltaStart: nanoseconds before the server's now. */
  startTimeDelta: bigint;
}

export const SubscriptionRequest = message<SubscriptionRequest>({
  clientID: [1, text],
  subject: [2, text],
  qGroup: [3, text],
  inbox: [4, text],
  maxInFlight: [5, int32],
  ackWaitInSecs: [6, int32],
  durableName: [7, text],
  startPosition: [10, int32],
  startSequence: [11, uint64],
  startTimeDelta: [12, int64],
});

/** Answers a SubscriptionRequest or an UnsubscribeRequest. */
export interface SubscriptionResponse {
  /** The subject that acks go to. "" in the answer to an UnsubscribeRequest. */
  ackInbox: string;
  /** "" says that it is done. */
  error: string;
}

export const SubscriptionResponse = message<SubscriptionResponse>({
  ackInbox: [2, text],
  error: [3, text],
});

/**
 * Ends a subscription. Sent to unsubRequests it makes the server forget a durable. Sent to subCloseRequests it
 * keeps the durable's position. The server answers with a SubscriptionResponse.
 */
export interface UnsubscribeRequest {
  clientID: string;
  /** The channel. */
  subject: string;
  /** The subscription's ackInbox. The server also takes the inbox of its deliveries (seen on 0.25.6). */
  inbox: string;
  /** The server ignores it (seen on 0.25.6). */
  durableName: string;
}

export const UnsubscribeRequest = message<UnsubscribeRequest>({
  clientID: [1, text],
  subject: [2, text],
  inbox: [3, text],
  durableName: [4, text],
});

/** Ends the session that holds the client ID, whoever it belongs to. The server answers with a CloseResponse. */
export interface CloseRequest {
  clientID: string;
}

export const CloseRequest = message<CloseRequest>({
  clientID: [1, text],
});

/** Answers a CloseRequest. */
export interface CloseResponse {
  /** "" says that the session is closed. */
  error: string;
}

/** On the wire it is the same as a PingResponse. */
export const CloseResponse: Codec<CloseResponse> = PingResponse;
