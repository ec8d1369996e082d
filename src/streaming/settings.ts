import type { Credentials } from "../core-nats/auth.ts";
import type { Servers } from "../core-nats/servers.ts";
import type { TlsOptions } from "../core-nats/socket.ts";

/** @internal The checked options of `connect`, with their defaults. */
export interface Settings {
  readonly clusterId: string;
  readonly clientId: string;
  readonly servers: Servers;
  readonly ignoreClusterUpdates: boolean;
  readonly auth: () => Promise<Credentials | undefined>;
  /** Undefined if TLS is not demanded. */
  readonly tls: (() => Promise<TlsOptions>) | undefined;
  readonly connectTimeout: number;
  readonly requestTimeout: number;
  readonly publishTimeout: number;
  readonly maxPubAcksInFlight: number;
  readonly maxPubBytesInFlight: number;
  readonly maxQueuedBytes: number;
  readonly maxWaitingBytes: number;
  readonly resendUnconfirmed: boolean;
  readonly pingInterval: number;
  readonly pingMaxOut: number;
  readonly waitOnFirstConnect: boolean;
  readonly reconnectDelay: (attempt: number) => number;
  readonly inboxPrefix: string;
  readonly discoverPrefix: string;
  readonly callerStacks: boolean;
}
