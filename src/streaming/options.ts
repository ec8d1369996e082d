import { checkCredentials } from "../core-nats/auth.ts";
import type { Credentials } from "../core-nats/auth.ts";
import type { Ending } from "../core-nats/lifetime.ts";
import { Servers } from "../core-nats/servers.ts";
import type { TlsOptions } from "../core-nats/socket.ts";
import { subjectRule } from "../core-nats/subject.ts";
import type { Status } from "./status.ts";

/** The host's `AbortSignal`, where its types are known; else the part of it that this library uses. */
export type Signal = typeof globalThis extends { AbortSignal: { prototype: infer T } }
  ? T
  : {
      readonly aborted: boolean;
      readonly reason: unknown;
      addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
      removeEventListener(type: "abort", listener: () => void): void;
    };

/** Options of `connect`. All times are in milliseconds. An option that is undefined counts as not given. */
export interface ConnectOptions {
  /** The ID of the streaming cluster that the server was started with. A server that was not given one has "test-cluster". */
  clusterId: string;
  /** Names this client to the streaming server: 1 to 256 letters, digits, - and _. Each live client needs its own. Operators see it, too. */
  clientId: string;
  /**
   * One URL, several in a list, or several separated by commas: nats:// or tls://, with user:pass@ or token@. Default
   * "nats://127.0.0.1:4222".
   */
  servers?: string | readonly string[] | undefined;
  /**
   * True: the client dials only {@link ConnectOptions.servers}. Default false: it also dials the servers that a server tells of. Set it
   * for clusters that tell of addresses which cannot be reached from here (Docker, NAT).
   */
  ignoreClusterUpdates?: boolean | undefined;
  /**
   * The {@link Credentials} for the NATS server. A function is called at every dial, so credentials may change; it may take
   * {@link ConnectOptions.connectTimeout}. Default: those of the URL, or none.
   */
  auth?: Credentials | (() => Credentials | Promise<Credentials>) | undefined;
  /**
   * The {@link TlsOptions}. If given, even empty, every server must speak TLS. A function is called at every dial, so a client
   * certificate may be replaced; it may take {@link ConnectOptions.connectTimeout}. Default: TLS where a URL says tls:// or a server
   * demands it.
   */
  tls?: TlsOptions | (() => TlsOptions | Promise<TlsOptions>) | undefined;
  /** How long one dial may take: TCP, TLS and handshake together. Default 5 000. */
  connectTimeout?: number | undefined;
  /** How long one attempt to register, subscribe, unsubscribe, close or ping may take. Default 2 000. */
  requestTimeout?: number | undefined;
  /** How long a publish may take, from the call to the server's ack. Waiting for a connection counts. Default 30 000. */
  publishTimeout?: number | undefined;
  /** Limit on the publishes that are sent and not yet acknowledged. More wait. Default 16 384. */
  maxPubAcksInFlight?: number | undefined;
  /** Limit on the bytes of the publishes that are sent and not yet acknowledged. One message always passes. Default 8 MiB. */
  maxPubBytesInFlight?: number | undefined;
  /** Limit on the bytes of the publishes that wait. Each counts its size plus 256. More are refused with `QUEUE_FULL`. Default 16 MiB. */
  maxQueuedBytes?: number | undefined;
  /**
   * Limit on the bytes of received messages that wait for a handler, in all subscriptions together. Each counts its size plus 256.
   * Messages that failed count until their next delivery. Above the limit messages are dropped, and come again after `ackWait`.
   * Default 64 MiB.
   */
  maxWaitingBytes?: number | undefined;
  /** True: a publish whose outcome is unknown is sent again, and may be stored twice. Default false: it rejects with `UNCONFIRMED`. */
  resendUnconfirmed?: boolean | undefined;
  /** How often the client pings the streaming server and the NATS server. Whole seconds. Default 5 000. */
  pingInterval?: number | undefined;
  /** After how many pings without an answer the link counts as dead, or the session is verified. At least 2. Default 3. */
  pingMaxOut?: number | undefined;
  /**
   * True: `connect` waits for a server, for a leader, and for a client ID that another client still holds. It rejects at once for wrong
   * credentials, TLS and arguments all the same. Default false.
   */
  waitOnFirstConnect?: boolean | undefined;
  /**
   * Returns how long to wait before a dial. `attempt` counts the dials in a row, from 0. Default: 0, then 50 doubling to 2 000, each
   * with jitter.
   */
  reconnectDelay?: ((attempt: number) => number) | undefined;
  /** What the subjects of this client's inboxes start with. Default "_INBOX". */
  inboxPrefix?: string | undefined;
  /** What the subject of registrations starts with. It must be the server's. Default "_STAN.discover". */
  discoverPrefix?: string | undefined;
  /**
   * True: the stack of an error of `publish` shows who called and awaits it. It costs one more promise for each publish (a tenth of the
   * CPU). Default false. Errors of `connect` and `subscribe` always show that.
   */
  callerStacks?: boolean | undefined;
  /**
   * Called with each {@link Status} as it happens. What it throws is ignored. Default: `console.warn` prints one line for each problem
   * (for a handler that failed, its stack as well), and one when the client is registered again after an outage.
   */
  onStatus?: ((status: Status) => void) | undefined;
  /**
   * Aborts `connect`, which rejects with `ABORTED`. If a registration is under way, `connect` first waits for its answer, at most
   * {@link ConnectOptions.requestTimeout}. After `connect` has resolved it does nothing.
   */
  signal?: Signal | undefined;
}

/** Options of `publish`. */
export interface PublishOptions {
  /** Stored with the message and delivered as its `reply`, at most 1,024 characters. The server does nothing with it. Default none. */
  reply?: string | undefined;
  /** Aborts the publish, which rejects: with `ABORTED` if it was not sent, with `UNCONFIRMED` if it was. */
  signal?: Signal | undefined;
}

/** What a source of `publishMany` yields: data, or data with a `reply` of its own. */
export type PublishItem = string | Uint8Array | { readonly data: string | Uint8Array; readonly reply?: string | undefined };

/** Options of `publishMany`. `reply` is for every item that has none of its own. `signal` is for all items. */
export interface PublishManyOptions extends PublishOptions {
  /**
   * Called with each ack. `stored` is how many items are stored. `unbroken` is how many of these stand at the beginning of the source
   * without a gap: one could go on from there. What it throws is ignored. Default none.
   */
  onStored?: ((stored: number, unbroken: number) => void) | undefined;
}

/** Where a subscription begins if the server does not know it: see {@link SubscribeOptions.startAt}. A known durable goes on where it was. */
export type StartAt = "newOnly" | "lastReceived" | "first" | { sequence: number } | { time: Date } | { ago: number };

/** Options of `subscribe` and of `messages`, which has no `concurrency`. Times are in milliseconds. */
export interface SubscribeOptions {
  /**
   * Where the subscription begins if the server does not know it. Default "newOnly".
   *
   * - "newOnly": messages that are stored from now on
   * - "lastReceived": the last message, and new ones
   * - "first": all messages that are stored
   * - `{ sequence }`: this message and later ones. A sequence beyond the last is like "newOnly"
   * - `{ time }`: messages stored since, and perhaps some that were stored up to `requestTimeout` earlier
   * - `{ ago }`: about the messages of the last so many milliseconds, by the server's clock
   */
  startAt?: StartAt | undefined;
  /**
   * A durable name. The server keeps the position of the subscription under it: for this client ID, or with
   * {@link SubscribeOptions.queue} for the group. Default none.
   */
  durable?: string | undefined;
  /** The name of a queue group. Each message goes to one member of the group. Default none. */
  queue?: string | undefined;
  /** How many new messages the server sends ahead of acks. Default: {@link SubscribeOptions.concurrency}, or 100. */
  maxInFlight?: number | undefined;
  /** How many handlers run at once. With 1, messages are handled in order. Default: {@link SubscribeOptions.maxInFlight}, or 100. */
  concurrency?: number | undefined;
  /** After how long the server sends an unacknowledged message again. Whole seconds, at least 1 000. Default 30 000. */
  ackWait?: number | undefined;
  /** True: only `message.ack()` acknowledges a message. Default false: a message is acknowledged when it is handled. */
  manualAck?: boolean | undefined;
  /**
   * Aborts the call, which rejects with `ABORTED`. If a request is under way, the call first waits for its answer, at most
   * `requestTimeout`. After the call has resolved it does nothing.
   */
  signal?: Signal | undefined;
}

/** Options of `drain`. */
export interface DrainOptions {
  /** How long to wait for handlers and for publishes, in milliseconds. Leaving the server comes on top. Default 20 000. */
  timeout?: number | undefined;
  /** Ends the waiting when it is aborted, as if {@link DrainOptions.timeout} were up. Default none. */
  signal?: Signal | undefined;
}

/** @internal Connect options after checking, with the defaults filled in. */
export interface Settings {
  readonly clusterId: string;
  readonly clientId: string;
  readonly servers: Servers;
  readonly ignoreClusterUpdates: boolean;
  readonly auth: () => Promise<Credentials | undefined>;
  /** Undefined: TLS is not demanded. */
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
  readonly onStatus: ((status: Status) => void) | undefined;
  readonly signal: Signal | undefined;
}

/** @internal Subscribe options after checking, with the defaults filled in. */
export interface SubscribeSettings {
  readonly startAt: StartAt;
  readonly durable: string;
  readonly queue: string;
  readonly maxInFlight: number;
  readonly concurrency: number;
  readonly ackWait: number;
  readonly manualAck: boolean;
}

/** @internal The names of all options of a call. */
export const OPTIONS = {
  connect:
    "clusterId clientId servers ignoreClusterUpdates auth tls connectTimeout requestTimeout publishTimeout maxPubAcksInFlight " +
    "maxPubBytesInFlight maxQueuedBytes maxWaitingBytes resendUnconfirmed pingInterval pingMaxOut waitOnFirstConnect " +
    "reconnectDelay inboxPrefix discoverPrefix callerStacks onStatus signal",
  subscribe: "startAt durable queue maxInFlight concurrency ackWait manualAck signal",
  messages: "startAt durable queue maxInFlight ackWait manualAck signal",
  publish: "reply signal",
  publishMany: "reply signal onStored",
  "an item of publishMany": "data reply",
  drain: "timeout signal",
  tls: "ca cert key passphrase servername handshakeFirst",
} as const;

/** What other clients call them, where that is not similar. */
const ALIASES: Readonly<Record<string, string>> = {
  url: "servers",
  uri: "servers",
  user: "auth",
  pass: "auth",
  token: "auth",
  creds: "auth",
  nkey: "auth",
  acktimeout: "publishTimeout",
  reconnecttimewait: "reconnectDelay",
  qgroup: "queue",
  group: "queue",
  deliverallavailable: "startAt",
  startsequence: "startAt",
  starttime: "startAt",
  rejectunauthorized: "ca",
};

const LARGEST_INT32 = 2 ** 31 - 1;
const LONGEST_CLIENT_ID = 256;
const LONGEST_NAME = 256;
/** With a dot and a name behind it, it must not be longer than a subject may be. */
const LONGEST_PREFIX = 255;

/** @internal @throws TypeError naming the option, the rule and the value; the value of a credential is never named. */
export function checkConnectOptions(options: ConnectOptions): Settings {
  checkNames("connect", options, "connect({ clusterId, clientId, servers })");
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
  return {
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
    maxPubBytesInFlight: integer("maxPubBytesInFlight", options.maxPubBytesInFlight, 8 * 2 ** 20, 1, Number.MAX_SAFE_INTEGER),
    maxQueuedBytes: integer("maxQueuedBytes", options.maxQueuedBytes, 16 * 2 ** 20, 0, Number.MAX_SAFE_INTEGER),
    maxWaitingBytes: integer("maxWaitingBytes", options.maxWaitingBytes, 64 * 2 ** 20, 1, Number.MAX_SAFE_INTEGER),
    resendUnconfirmed: boolean("resendUnconfirmed", options.resendUnconfirmed),
    pingInterval: seconds("pingInterval", options.pingInterval, 5_000),
    pingMaxOut: integer("pingMaxOut", options.pingMaxOut, 3, 2, 1_000),
    waitOnFirstConnect: boolean("waitOnFirstConnect", options.waitOnFirstConnect),
    reconnectDelay: reconnectDelay ?? defaultDelay,
    inboxPrefix: prefix("inboxPrefix", options.inboxPrefix, "_INBOX"),
    discoverPrefix: prefix("discoverPrefix", options.discoverPrefix, "_STAN.discover"),
    callerStacks: boolean("callerStacks", options.callerStacks),
    onStatus,
    signal,
  };
}

/** @internal @throws TypeError naming the option, the rule and the value */
export function checkSubscribeOptions(options: SubscribeOptions, call: "subscribe" | "messages" = "subscribe"): SubscribeSettings {
  checkNames(call, options, `${call}(subject, ${call === "subscribe" ? "handler, " : ""}{ startAt: "first" })`);
  const durable = options.durable === undefined ? "" : name("durable", options.durable);
  const queue = options.queue === undefined ? "" : name("queue", options.queue);
  // The server joins the two with a colon, and takes a plain group named "a:b" for the durable group a of b.
  if (queue !== "" && durable.includes(":")) bad("durable", "must have no : when queue is set", durable);
  if (queue.includes(":")) bad("queue", "must have no :", queue);
  const { maxInFlight, concurrency, signal } = options;
  checkSignal(signal);
  return {
    startAt: startAt(options.startAt),
    durable,
    queue,
    maxInFlight: integer("maxInFlight", maxInFlight, concurrency ?? 100, 1, LARGEST_INT32),
    concurrency: integer("concurrency", concurrency, maxInFlight ?? 100, 1, LARGEST_INT32),
    ackWait: seconds("ackWait", options.ackWait, 30_000),
    manualAck: boolean("manualAck", options.manualAck),
  };
}

/** @internal @throws TypeError as for `subscribe`; there is one loop, and so no `concurrency` */
export function checkMessagesOptions(options: Omit<SubscribeOptions, "concurrency">): SubscribeSettings {
  return checkSubscribeOptions(options, "messages");
}

/** @internal @throws TypeError unless the server takes it for a channel name, and it can be part of a NATS subject */
export function checkChannel(subject: string): void {
  const rule = subjectRule(subject, false) ?? (subject.includes("/") ? "must have no /" : undefined);
  if (rule !== undefined) bad("subject", rule, subject);
}

/** @internal @throws TypeError */
export function checkPublishOptions(options: PublishOptions): void {
  checkNames("publish", options, "publish(subject, data, { reply })");
  const { reply, signal } = options;
  // Stored and delivered as it is, never a subject on the wire: any text will do, within reason.
  if (reply !== undefined && (typeof reply !== "string" || reply.length > 1024)) {
    bad("reply", "must be a string of at most 1024 characters", reply);
  }
  checkSignal(signal);
}

/** @internal @throws TypeError */
export function checkPublishManyOptions(options: PublishManyOptions): void {
  checkNames("publishMany", options, "publishMany(subject, source, { onStored })");
  const { onStored, ...publishOptions } = options;
  checkPublishOptions(publishOptions);
  if (onStored !== undefined && typeof onStored !== "function") bad("onStored", "must be a function", onStored);
}

/** @internal @throws TypeError for what is neither data nor reply */
export function checkPublishItem(item: { readonly data: unknown; readonly reply?: unknown }): void {
  checkNames("an item of publishMany", item, "{ data, reply }");
}

/** @internal The time to wait for, and what ends the wait before. @throws TypeError */
export function checkDrainOptions(options: DrainOptions): { timeout: number; endings: readonly Ending[] } {
  checkNames("drain", options, `drain({ timeout: ${typeof options === "number" ? String(options) : "20_000"} })`);
  const { timeout, signal } = options;
  checkSignal(signal);
  return { timeout: milliseconds("timeout", timeout, 20_000), endings: signal === undefined ? [] : [signal] };
}

/** A misspelt option would be one that silently does nothing. `form` shows how the call is meant. */
function checkNames(call: keyof typeof OPTIONS, options: object, form: string): void {
  if (typeof options !== "object" || options === null) throw new TypeError(`the options of ${call} must be an object: ${form}`);
  const names = OPTIONS[call].split(" ");
  for (const option of Object.keys(options)) {
    if (names.includes(option)) continue;
    const meant = similar(option.toLowerCase(), names);
    const question = meant === undefined ? "" : `; did you mean ${meant}?`;
    throw new TypeError(`${call} has no option ${JSON.stringify(option.slice(0, 64))}${question}`);
  }
}

function similar(option: string, names: readonly string[]): string | undefined {
  const alias = ALIASES[option];
  if (alias !== undefined && names.includes(alias)) return alias;
  const like = (name: string): boolean => option.includes(name.toLowerCase()) || name.toLowerCase().includes(option);
  return names.find((name) => name.toLowerCase() === option) ?? (option.length > 2 ? names.find(like) : undefined);
}

/** What is in the PEM texts is seen when TLS begins; nothing of them, nor of the passphrase, is shown. */
function checkTls(tls: TlsOptions): TlsOptions {
  if (typeof tls !== "object" || tls === null || Array.isArray(tls)) {
    throw new TypeError(`tls must be an object, {} to trust the host's authorities, or a function, not ${typeof tls === "boolean" ? String(tls) : kindOf(tls)}`);
  }
  checkNames("tls", tls, "{ ca }");
  const { ca, cert, key, passphrase, servername, handshakeFirst } = tls;
  for (const authority of Array.isArray(ca) ? ca : [ca]) pem("tls.ca", authority);
  pem("tls.cert", cert);
  pem("tls.key", key);
  if (passphrase !== undefined && typeof passphrase !== "string") secret("tls.passphrase", "must be a string", passphrase);
  if (servername !== undefined && (typeof servername !== "string" || !/^[^\s\p{Cc}\p{Z}\p{Cs}]{1,253}$/u.test(servername))) {
    bad("tls.servername", "must be a host name or an IP address", servername);
  }
  boolean("tls.handshakeFirst", handshakeFirst);
  return tls;
}

function pem(option: string, value: unknown): void {
  if (value === undefined || typeof value === "string" || ArrayBuffer.isView(value)) return;
  secret(option, "must be a PEM text or its bytes", value);
}

function startAt(value: StartAt | undefined): StartAt {
  if (value === undefined) return "newOnly";
  if (value === "newOnly" || value === "lastReceived" || value === "first") return value;
  if (typeof value === "object" && value !== null) {
    if ("sequence" in value) {
      integer("startAt.sequence", value.sequence, 1, 1, Number.MAX_SAFE_INTEGER);
      return value;
    }
    if ("time" in value) {
      if (isDate(value.time)) return value;
      bad("startAt.time", "must be a valid Date", value.time);
    }
    if ("ago" in value) {
      if (typeof value.ago === "number" && value.ago >= 0 && value.ago <= Number.MAX_SAFE_INTEGER) return value;
      bad("startAt.ago", "must be a number of milliseconds, 0 or more", value.ago);
    }
  }
  return bad("startAt", 'must be "newOnly", "lastReceived", "first", { sequence }, { time } or { ago }', value);
}

/** Whether it is a valid date, of whatever realm: that of a vm context or of jsdom is of another class. */
function isDate(value: unknown): boolean {
  try {
    return !Number.isNaN(Date.prototype.getTime.call(value));
  } catch {
    return false;
  }
}

function prefix(option: string, value: string | undefined, fallback: string): string {
  if (value === undefined) return fallback;
  const rule = subjectRule(value, false) ?? (value.length > LONGEST_PREFIX ? `must have at most ${LONGEST_PREFIX} characters` : undefined);
  return rule === undefined ? value : bad(option, rule, value);
}

/** Names are never part of a NATS subject, but operators read them, and they end up in file names and logs. */
function name(option: string, value: string): string {
  if (typeof value !== "string" || value === "" || value.length > LONGEST_NAME || /[\s\p{Cc}\p{Z}\p{Cs}\ufeff]/u.test(value)) {
    bad(option, `must be 1 to ${LONGEST_NAME} characters without blanks, line breaks and control characters`, value);
  }
  return value;
}

function milliseconds(option: string, value: number | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !(value > 0) || value > LARGEST_INT32) {
    bad(option, `must be a number of milliseconds above 0 and up to ${LARGEST_INT32}`, value);
  }
  return value;
}

function seconds(option: string, value: number | undefined, fallback: number): number {
  const whole = milliseconds(option, value, fallback);
  if (whole % 1000 !== 0) bad(option, "must be whole seconds (a multiple of 1000 milliseconds), at least 1000", value);
  return whole;
}

function integer(option: string, value: number | undefined, fallback: number, least: number, most: number): number {
  if (value === undefined) return fallback;
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    bad(option, `must be a whole number from ${least} to ${most}`, value);
  }
  return value;
}

function boolean(option: string, value: boolean | undefined): boolean {
  if (value !== undefined && typeof value !== "boolean") bad(option, "must be true or false", value);
  return value === true;
}

function checkSignal(signal: Signal | undefined): void {
  if (signal !== undefined && (typeof signal !== "object" || signal === null || typeof signal.addEventListener !== "function")) {
    bad("signal", "must be an AbortSignal", signal);
  }
}

/** @internal @throws TypeError naming the option, the rule and the value */
export function bad(option: string, rule: string, value: unknown): never {
  throw new TypeError(`${option} ${rule}, not ${shown(value)}`);
}

/** The value of a secret is never shown. */
function secret(option: string, rule: string, value: unknown): never {
  throw new TypeError(`${option} ${rule}, not ${kindOf(value)}`);
}

function shown(value: unknown): string {
  if (typeof value === "string") {
    const text = JSON.stringify(value.slice(0, 64)).replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
    return value.length > 64 ? `${text}… (${value.length} characters)` : text;
  }
  return typeof value === "number" || typeof value === "boolean" ? String(value) : kindOf(value);
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  return Array.isArray(value) ? "an array" : "an object";
}

/** Nothing before the first dial, so that a bounced link costs no time; then ever longer, and not all clients at once. */
function defaultDelay(attempt: number): number {
  return attempt === 0 ? 0 : Math.min(2_000, 50 * 2 ** (attempt - 1)) * (0.75 + Math.random() / 2);
}
