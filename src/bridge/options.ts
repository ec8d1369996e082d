import { checkCredentials } from "../core-nats/auth.ts";
import { subjectRule } from "../core-nats/subject.ts";
import { encoder } from "../core-nats/text.ts";
import type { ConnectOptions, Signal } from "../index.ts";
import { bad, checkNames, integer, name, secret } from "../streaming/checks.ts";
import { checkSignal } from "../streaming/signal.ts";

/** The streaming server that the messages are copied from. What `connect` takes, too, is as there. */
export interface Source
  extends Pick<ConnectOptions, "clusterId" | "servers" | "auth" | "tls" | "inboxPrefix" | "discoverPrefix"> {
  /** The bridge's client ID: no two bridges with the same one run at a time. Default "bridge-" and the cluster ID. */
  clientId?: string | undefined;
  /**
   * The URL of the streaming server's monitoring port, "http://127.0.0.1:8222". Without it channels must be named, and
   * positions are found more slowly. Default none.
   */
  monitor?: string | undefined;
}

/** The NATS server with JetStream that the messages are copied to. What `connect` takes, too, is as there. */
export interface TargetServer extends Pick<ConnectOptions, "servers" | "auth" | "tls" | "inboxPrefix"> {
  /** The JetStream domain. Default: the one of the server. */
  domain?: string | undefined;
}

/** Where a channel goes, and what its stream keeps. Everything has a default. */
export interface ChannelMapping {
  /** The stream's name. Default: the channel's, with _ for each character that a stream's name cannot have. */
  stream?: string | undefined;
  /** The subject of the messages in JetStream. Default: the channel's name. */
  subject?: string | undefined;
  /** Copies of the stream in a cluster, 1 to 5. Default: {@link BridgeOptions.replicas}. */
  replicas?: number | undefined;
  /** How long the stream keeps a message after the copy, in milliseconds. Default: {@link BridgeOptions.maxAge}. */
  maxAge?: number | undefined;
  /** The most messages that the stream keeps, from `finish` on. Default no limit. */
  maxMessages?: number | undefined;
  /** The most bytes that the stream keeps, from `finish` on. Default no limit. */
  maxBytes?: number | undefined;
}

/** What all functions of the bridge take. Times are in milliseconds. */
export interface BridgeOptions {
  from: Source;
  to: TargetServer;
  /** Names, and patterns like "orders.*" and "orders.>", which need {@link Source.monitor}. Default: all channels. */
  channels?: string | readonly string[] | undefined;
  /** Where channels go that the defaults do not fit, by their names. Default none. */
  map?: Readonly<Record<string, ChannelMapping>> | undefined;
  /** Copies of each stream in a cluster, 1 to 5. Default 1. */
  replicas?: number | undefined;
  /** How long streams keep a message, counted from the copy. Default 0: for ever. */
  maxAge?: number | undefined;
  /** What the streams are kept in. Default "file". */
  storage?: "file" | "memory" | undefined;
  /** Ends the call, which rejects with `ABORTED`. What was copied stays. */
  signal?: Signal | undefined;
}

/** @internal The checked options that all functions share. Without channels all are meant. */
export interface Settings {
  readonly from: Source & { readonly clientId: string };
  readonly to: TargetServer;
  readonly channels: readonly string[] | undefined;
  readonly map: Readonly<Record<string, ChannelMapping>>;
  readonly replicas: number;
  readonly maxAge: number;
  readonly storage: "file" | "memory";
  readonly signal: Signal | undefined;
}

const BRIDGE_OPTIONS = ["from", "to", "channels", "map", "replicas", "maxAge", "storage", "signal"] as const;
const TARGET_OPTIONS = ["servers", "auth", "tls", "inboxPrefix", "domain"] as const;
const SOURCE_OPTIONS = ["clusterId", "clientId", "discoverPrefix", "monitor", ...TARGET_OPTIONS.slice(0, 4)];
const MAPPING_OPTIONS = ["stream", "subject", "replicas", "maxAge", "maxMessages", "maxBytes"] as const;

/** JetStream counts durations in nanoseconds, in 64 bits: 292 years. */
const LONGEST_AGE = 9e15;

/**
 * @internal Checks what all functions take. `more` are the options that `call` has beside them, which it checks itself.
 * What `connect` takes is checked by `connect`, before anything is sent.
 * @throws TypeError that names the option, the rule and the value, but never the value of a credential
 */
export function checkBridgeOptions(call: string, options: BridgeOptions, more: readonly string[] = []): Settings {
  checkNames(call, [...BRIDGE_OPTIONS, ...more], options, `${call}({ from: { clusterId, servers }, to: { servers } })`);
  const { from, to, channels, map = {}, storage = "file", signal } = options;
  checkNames(`${call}: from`, SOURCE_OPTIONS, from, "from: { clusterId, servers }");
  checkNames(`${call}: to`, TARGET_OPTIONS, to, "to: { servers }");
  checkNames(`${call}: map`, Object.keys(map), map, 'map: { "orders.eu": { stream: "ORDERS_EU" } }');
  name("from.clusterId", from.clusterId);
  const { monitor, clientId = `bridge-${from.clusterId.replace(/[^\w-]/g, "_")}` } = from;
  if (monitor !== undefined && !/^https?:\/\/[^\s/@]+(\/.*)?$/.test(String(monitor))) {
    secret("from.monitor", "must be a URL with http:// or https://, without credentials", monitor);
  }
  if (to.domain !== undefined && !isName(to.domain)) bad("to.domain", NAME_RULE, to.domain);
  if (to.auth !== undefined && typeof to.auth !== "function") checkCredentials(to.auth);
  const list = typeof channels === "string" ? [channels] : channels;
  if (list !== undefined && (!Array.isArray(list) || list.length === 0)) {
    bad("channels", "must be a name or a pattern, or a list of them that is not empty", channels);
  }
  for (const channel of list ?? []) {
    const rule = subjectRule(channel, true);
    if (rule !== undefined) bad("channels", rule, channel);
  }
  for (const [channel, mapping] of Object.entries(map)) checkMapping(call, channel, mapping);
  if (storage !== "file" && storage !== "memory") bad("storage", 'must be "file" or "memory"', storage);
  checkSignal(signal);
  const replicas = integer("replicas", options.replicas, 1, 1, 5);
  const maxAge = integer("maxAge", options.maxAge, 0, 0, LONGEST_AGE);
  return { from: { ...from, clientId }, to, channels: list, map, replicas, maxAge, storage, signal };
}

/** What a stream's, a consumer's or a domain's name may be. */
const NAME_RULE = "must be 1 to 255 characters without blanks, control characters and . * > / \\";

/** @internal Whether JetStream takes it as the name of a stream or a consumer: to a wrong one it gives no answer. */
export function isName(value: unknown): value is string {
  const fits = typeof value === "string" && /^[^\s.*>/\\\p{Cc}\p{Z}\p{Cs}]+$/u.test(value);
  return fits && encoder.encode(value).length < 256;
}

function checkMapping(call: string, channel: string, mapping: ChannelMapping): void {
  const option = `map[${JSON.stringify(channel.slice(0, 64))}]`;
  checkNames(`${call}: ${option}`, MAPPING_OPTIONS, mapping, `${option}: { stream: "ORDERS" }`);
  const { stream, subject } = mapping;
  if (stream !== undefined && !isName(stream)) bad(`${option}.stream`, NAME_RULE, stream);
  if (subject !== undefined) {
    const rule = subjectRule(subject, false);
    if (rule !== undefined) bad(`${option}.subject`, rule, subject);
  }
  integer(`${option}.replicas`, mapping.replicas, 1, 1, 5);
  integer(`${option}.maxAge`, mapping.maxAge, 0, 0, LONGEST_AGE);
  integer(`${option}.maxMessages`, mapping.maxMessages, 1, 1, Number.MAX_SAFE_INTEGER);
  integer(`${option}.maxBytes`, mapping.maxBytes, 1, 1, Number.MAX_SAFE_INTEGER);
}
