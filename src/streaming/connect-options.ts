import { checkCredentials } from "../core-nats/auth.ts";
import type { Credentials } from "../core-nats/auth.ts";
import { backoff } from "../core-nats/backoff.ts";
import { Servers } from "../core-nats/servers.ts";
import type { TlsOptions } from "../core-nats/socket.ts";
import { subjectRule } from "../core-nats/subject.ts";
import { bad, boolean, checkNames, integer, kindOf, milliseconds, name, seconds, secret } from "./checks.ts";
import type { Settings } from "./settings.ts";
import { checkSignal } from "./signal.ts";
import type { Signal } from "./signal.ts";
import type { Status } from "./status.ts";

/** Options of `connect`. All times are in milliseconds. An option that is undefined counts as not given. */
export interface ConnectOptions {
  /**
   * The ID of the streaming cluster that the server was started with. A server that was not given one has
   * "test-cluster".
   */
  clusterId: string;
  /**
   * Names this client to the streaming server: 1 to 256 letters, digits, - and _. Each live client needs its own.
   * Operators see it, too.
   */
  clientId: string;
  /**
   * One URL, several in a list, or several separated by commas: nats:// or tls://, with user:pass@ or token@. Default
   * "nats://127.0.0.1:4222".
   */
  servers?: string | readonly string[] | undefined;
  /**
   * True: the client dials only {@link ConnectOptions.servers}. Default false: it also dials the servers that a server
   * tells of. Set it for clusters that tell of addresses which cannot be reached from here (Docker, NAT).
   */
  ignoreClusterUpdates?: boolean | undefined;
  /**
   * The {@link Credentials} for the NATS server. A function is called at every dial, so credentials may change; it may
   * take {@link ConnectOptions.connectTimeout}. Default: those of the URL, or none.
   */
  auth?: Credentials | (() => Credentials | Promise<Credentials>) | undefined;
  /**
   * The {@link TlsOptions}. If given, even empty, every server must speak TLS. A function is called at every dial, so a
   * client certificate may be replaced; it may take {@link ConnectOptions.connectTimeout}. Default: TLS where a URL
   * says tls:// or a server demands it.
   */
  tls?: TlsOptions | (() => TlsOptions | Promise<TlsOptions>) | undefined;
  /** How long one dial may take: TCP, TLS and handshake together. Default 5 000. */
  connectTimeout?: number | undefined;
  /** How long one attempt to register, subscribe, unsubscribe, close or ping may take. Default 2 000. */
  requestTimeout?: number | undefined;
  /**
   * How long a publish may take, from the call to the server's ack. Waiting for a connection counts. Default 30 000.
   */
  publishTimeout?: number | undefined;
  /** Limit on the publishes that are sent and not yet acknowledged. More wait. Default 16 384. */
  maxPubAcksInFlight?: number | undefined;
  /**
   * Limit on the bytes of the publishes that are sent and not yet acknowledged. One message always passes. Default 8
   * MiB.
   */
  maxPubBytesInFlight?: number | undefined;
  /**
   * Limit on the bytes of the publishes that wait. Each counts its size plus 256. More are refused with `QUEUE_FULL`.
   * Default 16 MiB.
   */
  maxQueuedBytes?: number | undefined;
  /**
   * Limit on the bytes of received messages that wait for a handler, in all subscriptions together. Each counts its
   * size plus 256. Messages that failed count until their next delivery. Above the limit messages are dropped, and come
   * again after `ackWait`. Default 64 MiB.
   */
  maxWaitingBytes?: number | undefined;
  /**
   * True: a publish whose outcome is unknown is sent again, and may be stored twice. Default false: it rejects with
   * `UNCONFIRMED`.
   */
  resendUnconfirmed?: boolean | undefined;
  /** How often the client pings the streaming server and the NATS server. Whole seconds. Default 5 000. */
  pingInterval?: number | undefined;
  /**
   * After how many pings without an answer the link counts as dead, or the session is verified. At least 2. Default 3.
   */
  pingMaxOut?: number | undefined;
  /**
   * True: `connect` waits for a server, for a leader, and for a client ID that another client still holds. It rejects
   * at once for wrong credentials, TLS and arguments all the same. Default false.
   */
  waitOnFirstConnect?: boolean | undefined;
  /**
   * Returns how long to wait before a dial. `attempt` counts the dials in a row, from 0. Default: 0, then 50 doubling
   * to 2 000, each with jitter.
   */
  reconnectDelay?: ((attempt: number) => number) | undefined;
  /** What the subjects of this client's inboxes start with. Default "_INBOX". */
  inboxPrefix?: string | undefined;
  /** What the subject of registrations starts with. It must be the server's. Default "_STAN.discover". */
  discoverPrefix?: string | undefined;
  /**
   * True: the stack of an error of `publish` shows who called and awaits it. It costs one more promise for each publish
   * (a tenth of the CPU). Default false. Errors of `connect` and `subscribe` always show that.
   */
  callerStacks?: boolean | undefined;
  /**
   * Called with each {@link Status} as it happens. What it throws is ignored. Default: `console.warn` prints one line
   * for each problem (for a handler that failed, its stack as well), and one when the client is registered again after
   * an outage.
   */
  onStatus?: ((status: Status) => void) | undefined;
  /**
   * Aborts `connect`, which rejects with `ABORTED`. If a registration is under way, `connect` first waits for its
   * answer, at most {@link ConnectOptions.requestTimeout}. After `connect` has resolved it does nothing.
   */
  signal?: Signal | undefined;
}

/** @internal The checked options of `connect`. */
export interface Connect {
  readonly settings: Settings;
  readonly onStatus: ((status: Status) => void) | undefined;
  readonly signal: Signal | undefined;
}

/** @internal The names of the options of `connect`. */
export const CONNECT_OPTIONS = [
  "clusterId", "clientId", "servers", "ignoreClusterUpdates", "auth", "tls", "connectTimeout", "requestTimeout",
  "publishTimeout", "maxPubAcksInFlight", "maxPubBytesInFlight", "maxQueuedBytes", "maxWaitingBytes",
  "resendUnconfirmed", "pingInterval", "pingMaxOut", "waitOnFirstConnect", "reconnectDelay", "inboxPrefix",
  "discoverPrefix", "callerStacks", "onStatus", "signal",
] as const;
const TLS_OPTIONS = ["ca", "cert", "key", "passphrase", "servername", "handshakeFirst"];

const LONGEST_CLIENT_ID = 256;
/** A prefix, a dot and a name together must not be longer than a subject may be. */
const LONGEST_PREFIX = 255;
const MIB = 2 ** 20;
const MOST_BYTES = Number.MAX_SAFE_INTEGER;

/** @internal @throws TypeError that names the option, the rule and the value, but never the value of a credential */
export function checkConnectOptions(options: ConnectOptions): Connect {
  checkNames("connect", CONNECT_OPTIONS, options, "connect({ clusterId, clientId, servers })");
  const clusterId = name("clusterId", options.clusterId);
  const rule = subjectRule(clusterId, false);
  if (rule !== undefined) bad("clusterId", rule, clusterId);
  const clientId = options.clientId;
  if (typeof clientId !== "string" || !/^[a-zA-Z0-9_-]+$/.test(clientId) || clientId.length > LONGEST_CLIENT_ID) {
    bad("clientId", `must be 1 to ${LONGEST_CLIENT_ID} letters, digits, - and _`, clientId);
  }
  const { auth, tls, onStatus, reconnectDelay, signal } = options;
  if (auth !== undefined && typeof auth !== "function") checkCredentials(auth);
  if (tls !== undefined && typeof tls !== "function") checkTls(tls);
  if (onStatus !== undefined && typeof onStatus !== "function") bad("onStatus", "must be a function", onStatus);
  if (reconnectDelay !== undefined && typeof reconnectDelay !== "function") {
    bad("reconnectDelay", "must be a function", reconnectDelay);
  }
  checkSignal(signal);
  const settings: Settings = {
    clusterId,
    clientId,
    servers: new Servers(options.servers, tls !== undefined),
    ignoreClusterUpdates: boolean("ignoreClusterUpdates", options.ignoreClusterUpdates),
    auth: async () => (typeof auth === "function" ? await auth() : auth),
    tls: tls && (async () => (typeof tls === "function" ? checkTls(await tls()) : tls)),
    connectTimeout: milliseconds("connectTimeout", options.connectTimeout, 5_000),
    requestTimeout: milliseconds("requestTimeout", options.requestTimeout, 2_000),
    publishTimeout: milliseconds("publishTimeout", options.publishTimeout, 30_000),
    maxPubAcksInFlight: integer("maxPubAcksInFlight", options.maxPubAcksInFlight, 16_384, 1, 2 ** 20),
    maxPubBytesInFlight: integer("maxPubBytesInFlight", options.maxPubBytesInFlight, 8 * MIB, 1, MOST_BYTES),
    maxQueuedBytes: integer("maxQueuedBytes", options.maxQueuedBytes, 16 * MIB, 0, MOST_BYTES),
    maxWaitingBytes: integer("maxWaitingBytes", options.maxWaitingBytes, 64 * MIB, 1, MOST_BYTES),
    resendUnconfirmed: boolean("resendUnconfirmed", options.resendUnconfirmed),
    pingInterval: seconds("pingInterval", options.pingInterval, 5_000),
    pingMaxOut: integer("pingMaxOut", options.pingMaxOut, 3, 2, 1_000),
    waitOnFirstConnect: boolean("waitOnFirstConnect", options.waitOnFirstConnect),
    reconnectDelay: reconnectDelay ?? backoff,
    inboxPrefix: prefix("inboxPrefix", options.inboxPrefix, "_INBOX"),
    discoverPrefix: prefix("discoverPrefix", options.discoverPrefix, "_STAN.discover"),
    callerStacks: boolean("callerStacks", options.callerStacks),
  };
  return { settings, onStatus, signal };
}

/** TLS itself checks the PEM texts. No error shows a part of them or of the passphrase. */
function checkTls(tls: TlsOptions): TlsOptions {
  if (typeof tls !== "object" || tls === null || Array.isArray(tls)) {
    const given = typeof tls === "boolean" ? String(tls) : kindOf(tls);
    throw new TypeError(`tls must be an object, {} to trust the host's authorities, or a function, not ${given}`);
  }
  checkNames("tls", TLS_OPTIONS, tls, "{ ca }");
  const { ca, cert, key, passphrase, servername, handshakeFirst } = tls;
  for (const authority of Array.isArray(ca) ? ca : [ca]) pem("tls.ca", authority);
  pem("tls.cert", cert);
  pem("tls.key", key);
  if (passphrase !== undefined && typeof passphrase !== "string") {
    secret("tls.passphrase", "must be a string", passphrase);
  }
  if (servername !== undefined && !isServerName(servername)) {
    bad("tls.servername", "must be a host name or an IP address", servername);
  }
  boolean("tls.handshakeFirst", handshakeFirst);
  return tls;
}

function isServerName(value: unknown): boolean {
  return typeof value === "string" && /^[^\s\p{Cc}\p{Z}\p{Cs}]{1,253}$/u.test(value);
}

function pem(option: string, value: unknown): void {
  if (value === undefined || typeof value === "string" || ArrayBuffer.isView(value)) return;
  secret(option, "must be a PEM text or its bytes", value);
}

function prefix(option: string, value: string | undefined, fallback: string): string {
  if (value === undefined) return fallback;
  const rule = subjectRule(value, false);
  if (rule !== undefined) bad(option, rule, value);
  if (value.length > LONGEST_PREFIX) bad(option, `must have at most ${LONGEST_PREFIX} characters`, value);
  return value;
}
