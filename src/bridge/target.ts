import { noop, RETRY_DELAY, sleep } from "../core-nats/async.ts";
import { now } from "../core-nats/clock.ts";
import type { Connection } from "../core-nats/connection.ts";
import { NatsError } from "../core-nats/errors.ts";
import type { AbortSignalLike } from "../core-nats/lifetime.ts";
import type { Link } from "../core-nats/link.ts";
import { decodeText, encoder } from "../core-nats/text.ts";
import { BridgeError } from "./errors.ts";
import type { TargetServer } from "./options.ts";

/** How long the first request may take, in milliseconds, and each further one twice as long: a leader may be gone. */
const REQUEST_TIMEOUT = 2_000;
/** How long a request is tried again while nobody answers it, in milliseconds: a cluster elects a leader meanwhile. */
const PATIENCE = 30_000;

const UNAVAILABLE = 503;
/** An account or a server has no more room, or a stream has reached a limit. */
const FULL: readonly number[] = [10_002, 10_047, 10_077];

/** @internal An error as JetStream writes it. */
export interface ApiFailure {
  readonly code: number;
  readonly err_code: number;
  readonly description: string;
}

/** @internal What JetStream says in place of a result. The codes: nats-server's errors.json, each seen on 2.10.29. */
export class ApiError extends Error {
  /** What exactly: 10059, say, is "stream not found". */
  readonly errCode: number;
  /** Whether it may pass by itself, as when a cluster has no leader, or a disk is full. */
  readonly passes: boolean;

  constructor({ code, err_code, description }: ApiFailure) {
    super(`${description} (${err_code})`);
    this.errCode = err_code;
    this.passes = code === UNAVAILABLE || FULL.includes(err_code);
  }

  override get name(): string {
    return "ApiError";
  }
}

/** @internal The codes of errors that the bridge tells apart. */
export const API_ERRORS = {
  startSequence: 10_012,
  consumerNotFound: 10_014,
  noMessage: 10_037,
  notEnabled: 10_039,
  nameInUse: 10_058,
  streamNotFound: 10_059,
  overlap: 10_065,
  wrongLastSequence: 10_071,
  consumerExists: 10_148,
} as const;

/** @internal A stream's configuration, with names for what the bridge reads. Durations are in nanoseconds. */
export interface StreamConfig {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly max_age?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** @internal */
export interface StreamInfo {
  readonly config: StreamConfig;
  readonly state: Readonly<Record<"messages" | "bytes" | "first_seq" | "last_seq", number>>;
}

/** @internal A consumer's configuration, with names for what the bridge reads. Durations are in nanoseconds. */
export interface ConsumerConfig {
  readonly name?: string;
  readonly ack_wait?: number;
  readonly max_ack_pending?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** @internal */
export interface ConsumerInfo {
  readonly name: string;
  readonly config: ConsumerConfig;
  readonly delivered: { readonly stream_seq: number };
  readonly ack_floor: { readonly stream_seq: number };
  readonly num_ack_pending: number;
  readonly num_pending: number;
  readonly num_waiting: number;
}

/** @internal A message as the stream has it. */
export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  /** The header block, or undefined. */
  readonly headers: Uint8Array | undefined;
  readonly data: Uint8Array;
}

/** @internal What `$JS.API.INFO` says. A limit of -1 is none. */
export interface AccountInfo {
  readonly storage: number;
  readonly streams: number;
  readonly limits: { readonly max_storage: number; readonly max_streams: number };
}

/**
 * @internal
 * The JetStream of the target: its API as requests. A request that nobody answers is asked again: all of them may be
 * repeated. What JetStream refuses is an `ApiError`; everything else is a `BridgeError`.
 */
export class Target {
  readonly #link: Link;
  readonly inboxPrefix: string;
  /** Is called with each connection that `connection` gives. */
  opened: (connection: Connection) => void = noop;
  readonly #prefix: string;
  readonly #signal: AbortSignalLike;

  /** The signal ends each wait. */
  constructor(link: Link, { domain, inboxPrefix = "_INBOX" }: TargetServer, signal: AbortSignalLike) {
    this.#link = link;
    this.inboxPrefix = inboxPrefix;
    this.#prefix = domain === undefined ? "$JS.API." : `$JS.${domain}.API.`;
    this.#signal = signal;
  }

  /** The open connection, dialled if need be. */
  async connection(): Promise<Connection> {
    try {
      const connection = await this.#link.connection(this.#signal);
      this.opened(connection);
      return connection;
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  account(patience?: number): Promise<AccountInfo> {
    return this.ask("INFO", undefined, patience);
  }

  /** Undefined if there is no such stream. */
  stream(name: string): Promise<StreamInfo | undefined> {
    return this.#unless(API_ERRORS.streamNotFound, this.ask<StreamInfo>(`STREAM.INFO.${name}`));
  }

  createStream(config: StreamConfig): Promise<StreamInfo> {
    return this.ask(`STREAM.CREATE.${config.name}`, config);
  }

  /** What is missing in the configuration becomes the default. */
  updateStream(config: StreamConfig): Promise<StreamInfo> {
    return this.ask(`STREAM.UPDATE.${config.name}`, config);
  }

  /** The names of the streams that capture the subject. */
  async streamNames(subject: string): Promise<string[]> {
    const names: string[] = [];
    for (;;) {
      type Page = { readonly total: number; readonly streams: string[] | null };
      const { total, streams } = await this.ask<Page>("STREAM.NAMES", { subject, offset: names.length });
      names.push(...(streams ?? []));
      if (names.length >= total || !streams?.length) return names;
    }
  }

  purge(stream: string, what: { seq: number } | { filter: string }): Promise<unknown> {
    return this.ask(`STREAM.PURGE.${stream}`, what);
  }

  /** Undefined if the stream has no such message. */
  async message(stream: string, which: { seq: number } | { last_by_subj: string }): Promise<StoredMessage | undefined> {
    type Found = { readonly message: { subject: string; seq: number; hdrs?: string; data?: string } };
    const found = await this.#unless(API_ERRORS.noMessage, this.ask<Found>(`STREAM.MSG.GET.${stream}`, which));
    if (found === undefined) return undefined;
    const { subject, seq, hdrs, data = "" } = found.message;
    return { subject, sequence: seq, headers: hdrs === undefined ? hdrs : fromBase64(hdrs), data: fromBase64(data) };
  }

  /** Does not make a consumer if there is one of this name with another configuration. */
  putConsumer(action: "create" | "update", stream: string, config: ConsumerConfig): Promise<ConsumerInfo> {
    const name = config.name === undefined ? "" : `.${config.name}`;
    return this.ask(`CONSUMER.CREATE.${stream}${name}`, { stream_name: stream, action, config });
  }

  /** Undefined if there is no such consumer. */
  consumer(stream: string, name: string): Promise<ConsumerInfo | undefined> {
    return this.#unless(API_ERRORS.consumerNotFound, this.ask<ConsumerInfo>(`CONSUMER.INFO.${stream}.${name}`));
  }

  async deleteConsumer(stream: string, name: string): Promise<void> {
    await this.#unless(API_ERRORS.consumerNotFound, this.ask(`CONSUMER.DELETE.${stream}.${name}`));
  }

  /** Stores an empty message in the stream that captures the subject. */
  async store(subject: string): Promise<void> {
    await this.#request(subject, undefined, PATIENCE);
  }

  /** The subject of an API request. */
  subject(name: string): string {
    return this.#prefix + name;
  }

  /** Asks until somebody answers, for `patience` milliseconds. */
  ask<T>(name: string, body?: object, patience = PATIENCE): Promise<T> {
    return this.#request(this.subject(name), body, patience);
  }

  async #request<T>(subject: string, body: object | undefined, patience: number): Promise<T> {
    const payload = encoder.encode(body === undefined ? "" : JSON.stringify(body));
    const deadline = now() + patience;
    for (let times = 1; ; times = Math.min(2 * times, 8)) {
      const connection = await this.connection();
      try {
        const answer = await connection.request(subject, payload, times * REQUEST_TIMEOUT, readAnswer<T>);
        if (answer.error === undefined) return answer;
        if (answer.error.err_code === API_ERRORS.notEnabled) throw noJetStream(answer.error.description);
        if (answer.error.code !== UNAVAILABLE || now() >= deadline) throw new ApiError(answer.error);
      } catch (error) {
        if (!(error instanceof NatsError)) throw error;
        const remedy = "Let the bridge's user publish to it: docs/leaving.md lists all that it needs.";
        const denied = error.code === "PERMISSIONS";
        if (denied) throw new BridgeError("NOT_PERMITTED", undefined, error.reason, remedy, error);
        if (now() >= deadline) throw this.#unreachable(error);
      }
      await sleep(times * RETRY_DELAY, this.#signal);
    }
  }

  async #unless<T>(code: number, answer: Promise<T>): Promise<T | undefined> {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof ApiError && error.errCode === code) return undefined;
      throw error;
    }
  }

  #unreachable(error: unknown): BridgeError {
    if (this.#signal.aborted) return aborted(this.#signal.reason);
    if (error instanceof NatsError && error.code === "NO_RESPONDERS") return noJetStream(error.reason, error);
    const reason = error instanceof NatsError ? error.reason : String(error);
    const remedy = "Check the target's address, credentials and TLS; the same command goes on where this one ended.";
    return new BridgeError("TARGET_UNREACHABLE", undefined, `the target does not answer: ${reason}`, remedy, error);
  }
}

function noJetStream(reason: string, cause?: unknown): BridgeError {
  const remedy = "Start the target with -js, and let the bridge's account use JetStream.";
  return new BridgeError("NO_JETSTREAM", undefined, `no JetStream answers: ${reason}`, remedy, cause);
}

/** @internal The error of a call whose caller has aborted its signal. */
export function aborted(reason: unknown): BridgeError {
  const remedy = "The same call goes on where this one ended.";
  return new BridgeError("ABORTED", undefined, "ended by the caller's signal", remedy, reason);
}

type Answer<T> = T & { readonly error?: ApiFailure };

function readAnswer<T>(bytes: Uint8Array, start: number, end: number): Answer<T> {
  return JSON.parse(decodeText(bytes, start, end)) as Answer<T>;
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
