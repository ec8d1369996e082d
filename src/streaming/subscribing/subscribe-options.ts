import { bad, checkChannel, checkDelay, checkNames, LARGEST_INT32 } from "../checks.ts";
import { boolean, integer, seconds } from "../checks.ts";
import { checkSignal } from "../signal.ts";
import type { Signal } from "../signal.ts";
import type { DeadLetterTarget, FailureSettings } from "./failure-policy.ts";
import type { Message } from "./message.ts";

/**
 * Where a subscription begins if the server does not know it: see {@link SubscribeOptions.startAt}. A known durable
 * goes on where it was.
 */
export type StartAt = "newOnly" | "lastReceived" | "first" | { sequence: number } | { time: Date } | { ago: number };

/** Options of `subscribe`. `messages` and `batches` have neither `concurrency` nor `key`. Times are in milliseconds. */
export interface SubscribeOptions {
  /**
   * Where the subscription begins if the server does not know it. Default "newOnly".
   *
   * - "newOnly": messages that are stored from now on
   * - "lastReceived": the last message, and new ones
   * - "first": all messages that are stored
   * - `{ sequence }`: this message and later ones. A sequence beyond the last is like "newOnly"
   * - `{ time }`: messages stored since, and perhaps some that were stored up to `requestTimeout` earlier
   * - `{ ago }`: about the messages of the last `ago` milliseconds, by the server's clock
   */
  startAt?: StartAt | undefined;
  /**
   * A durable name. The server keeps the position of the subscription under it: for this client ID, or with
   * {@link SubscribeOptions.queue} for the group. 1 to 4 096 characters, no line breaks and control characters. Default
   * none.
   */
  durable?: string | undefined;
  /**
   * The name of a queue group. Each message goes to one member of the group. The characters are those of a durable. A
   * group "a:b" without a durable is one with queue "b" and durable "a", where that exists. Default none.
   */
  queue?: string | undefined;
  /** How many new messages the server sends ahead of acks. Default: {@link SubscribeOptions.concurrency}, or 100. */
  maxInFlight?: number | undefined;
  /**
   * How many handlers run at once. With 1, messages are handled in order; in a queue group only if
   * {@link SubscribeOptions.maxInFlight} is 1, too, and while it has one member. Default:
   * {@link SubscribeOptions.maxInFlight}, or 100.
   */
  concurrency?: number | undefined;
  /** After how long the server sends an unacknowledged message again. Whole seconds, at least 1 000. Default 30 000. */
  ackWait?: number | undefined;
  /** True: only `message.ack()` acknowledges a message. Default false: a message is acknowledged when it is handled. */
  manualAck?: boolean | undefined;
  /**
   * How long a message whose handler failed waits for its next run in this process, in milliseconds: one number, or a
   * list with one for each run, of which the last one repeats. From 0 to 2 147 483 647, each varied by up to 10 %: see
   * {@link SubscribeOptions.backoffJitter}.
   *
   * Meanwhile the message takes no handler's place, and its redeliveries start nothing. It still counts against
   * {@link SubscribeOptions.maxInFlight}. In a loop over `messages` or `batches` no handler fails: there this is the
   * delay of `message.nak()`. Default none: the server sends the message again after {@link SubscribeOptions.ackWait}.
   */
  backoff?: number | readonly number[] | undefined;
  /** False: the delays of `backoff` are exact, for tests. Default true. */
  backoffJitter?: boolean | undefined;
  /**
   * How many times a message is handled, from 1 on; after that it goes to {@link SubscribeOptions.deadLetter}, which
   * must be set. What earlier processes and other members of a queue group got counts, too, as the server counts it:
   * `message.redeliveryCount`. Default: no limit.
   */
  maxDeliver?: number | undefined;
  /**
   * Where a message goes after {@link SubscribeOptions.maxDeliver} runs, or by `message.term()`: a channel, or a
   * function that stores it elsewhere, and may return a promise. The message is acknowledged once it is stored there,
   * and not before. If it cannot be stored, `onStatus` gets an `error`, and the client tries again after 250 ms, then
   * less and less often, at last every 30 s. `readDeadLetter` reads what a dead letter says. Default none.
   */
  deadLetter?: DeadLetterTarget | undefined;
  /**
   * A function that gives each message a key. Messages with the same key are handled one at a time, in the order of the
   * channel, and those with different keys side by side, up to {@link SubscribeOptions.concurrency}. A message that is
   * to be handled again holds back later ones with its key, and no others. If the function throws, the message counts
   * as one whose handler failed. Within this client only: members of a queue group do not know of each other's keys.
   * Default none.
   */
  key?: ((message: Message) => string) | undefined;
  /**
   * Aborts the call, which rejects with `ABORTED`. If a request is under way, the call first waits for its answer, at
   * most `requestTimeout`. After the call has resolved it does nothing.
   */
  signal?: Signal | undefined;
}

/** Options of `messages`: those of `subscribe` without `concurrency` and `key`, since there is one loop. */
export type MessagesOptions = Omit<SubscribeOptions, "concurrency" | "key">;

/** Options of `batches`: those of `messages`, and two that are required. */
export interface BatchesOptions extends MessagesOptions {
  /**
   * The most messages in a batch, from 1 on. Required. `maxInFlight` is twice as many by default: the server sends the
   * next batch while the loop is at one.
   */
  size: number;
  /** How long a batch that is not full waits for more after its first message, in milliseconds, from 0 on. Required. */
  wait: number;
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
  readonly key: ((message: Message) => string) | undefined;
  /** Undefined: none of its options is set. */
  readonly failure: FailureSettings | undefined;
}

/** @internal The names of the options of `subscribe`. */
export const SUBSCRIBE_OPTIONS = [
  "startAt", "durable", "queue", "maxInFlight", "concurrency", "ackWait", "manualAck",
  "backoff", "backoffJitter", "maxDeliver", "deadLetter", "key", "signal",
] as const;
/** @internal The names of the options of `messages`. */
export const MESSAGES_OPTIONS = SUBSCRIBE_OPTIONS.filter((name) => name !== "concurrency" && name !== "key");
/** @internal The names of the options of `batches`. */
export const BATCHES_OPTIONS = [...MESSAGES_OPTIONS, "size", "wait"] as const;

/** Limit on the names of durables and queue groups. */
const MOST_CHARACTERS = 4_096;

/** @internal @throws TypeError naming the option, the rule and the value */
export function checkSubscribeOptions(options: SubscribeOptions): SubscribeSettings {
  checkNames("subscribe", SUBSCRIBE_OPTIONS, options, 'subscribe(subject, handler, { startAt: "first" })');
  return settingsOf(options);
}

/** @internal @throws TypeError as for `subscribe`; there is one loop, and so neither `concurrency` nor `key` */
export function checkMessagesOptions(options: MessagesOptions): SubscribeSettings {
  checkNames("messages", MESSAGES_OPTIONS, options, 'messages(subject, { startAt: "first" })');
  return settingsOf(options);
}

/** @internal @throws TypeError as for `messages` */
export function checkBatchesOptions(options: BatchesOptions): {
  readonly settings: SubscribeSettings;
  readonly size: number;
  readonly wait: number;
} {
  checkNames("batches", BATCHES_OPTIONS, options, "batches(subject, { size: 500, wait: 200 })");
  const size = integer("size", options.size, 0, 1, LARGEST_INT32);
  if (size === 0) bad("size", `must be a whole number from 1 to ${LARGEST_INT32}`, undefined);
  checkDelay("wait", options.wait);
  return { settings: settingsOf(withDefaults(options)), size, wait: options.wait };
}

/** By default the server sends the next batch while the loop is at one. */
function withDefaults(options: BatchesOptions): BatchesOptions {
  if (options.maxInFlight !== undefined) return options;
  return { ...options, maxInFlight: Math.min(2 * options.size, LARGEST_INT32) };
}

function settingsOf(options: SubscribeOptions): SubscribeSettings {
  const durable = options.durable === undefined ? "" : nameOf("durable", options.durable);
  const queue = options.queue === undefined ? "" : nameOf("queue", options.queue);
  // The server joins the two with a colon.
  if (queue !== "" && durable.includes(":")) bad("durable", "must have no : when queue is set", durable);
  const { maxInFlight, concurrency, signal } = options;
  checkSignal(signal);
  if (options.key !== undefined && typeof options.key !== "function") bad("key", "must be a function", options.key);
  return {
    startAt: startAt(options.startAt),
    durable,
    queue,
    maxInFlight: integer("maxInFlight", maxInFlight, concurrency ?? 100, 1, LARGEST_INT32),
    concurrency: integer("concurrency", concurrency, maxInFlight ?? 100, 1, LARGEST_INT32),
    ackWait: seconds("ackWait", options.ackWait, 30_000),
    manualAck: boolean("manualAck", options.manualAck),
    key: options.key,
    failure: failureOf(options),
  };
}

/** The server takes any text. No subject contains it, but logs do, and there a line break would begin a line. */
function nameOf(option: string, value: string): string {
  const fits = typeof value === "string" && value !== "" && value.length <= MOST_CHARACTERS;
  if (!fits || /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u.test(value)) {
    bad(option, `must be 1 to ${MOST_CHARACTERS} characters without line breaks and control characters`, value);
  }
  return value;
}

/** Undefined if no option says what becomes of a message that fails. */
function failureOf(options: SubscribeOptions): FailureSettings | undefined {
  const { backoff, maxDeliver, deadLetter } = options;
  const delays = backoff === undefined ? [] : typeof backoff === "number" ? [backoff] : backoff;
  if (!Array.isArray(delays) || (backoff !== undefined && delays.length === 0)) {
    bad("backoff", "must be a number of milliseconds, or a list of some that is not empty", backoff);
  }
  for (const delay of delays as readonly number[]) checkDelay("backoff", delay);
  const jitter = options.backoffJitter === undefined || boolean("backoffJitter", options.backoffJitter);
  const most = integer("maxDeliver", maxDeliver, Infinity, 1, LARGEST_INT32);
  if (typeof deadLetter === "string") checkChannel(deadLetter, "deadLetter");
  else if (deadLetter !== undefined && typeof deadLetter !== "function") {
    bad("deadLetter", "must be a channel or a function", deadLetter);
  }
  if (maxDeliver !== undefined && deadLetter === undefined) {
    const rule = "a channel or a function for the messages that fail: none is dropped";
    throw new TypeError(`maxDeliver needs deadLetter, ${rule}`);
  }
  if (backoff === undefined && deadLetter === undefined) return undefined;
  return { backoff: delays as readonly number[], jitter, maxDeliver: most, deadLetter };
}

/** A copy: a subscription asks for its start again and again, and the caller's object may change. */
function startAt(value: StartAt | undefined): StartAt {
  if (value === undefined) return "newOnly";
  if (value === "newOnly" || value === "lastReceived" || value === "first") return value;
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    checkNames("startAt", ["sequence", "time", "ago"], value, "{ sequence }");
    const { sequence, time, ago } = value as { sequence?: number; time?: Date; ago?: number };
    if ([sequence, time, ago].filter((start) => start !== undefined).length === 1) {
      if (sequence !== undefined) {
        return { sequence: integer("startAt.sequence", sequence, 1, 1, Number.MAX_SAFE_INTEGER) };
      }
      if (time !== undefined) {
        return { time: new Date(instantOf(time) ?? bad("startAt.time", "must be a valid Date", time)) };
      }
      if (typeof ago === "number" && ago >= 0 && ago <= Number.MAX_SAFE_INTEGER) return { ago };
      bad("startAt.ago", "must be a number of milliseconds, 0 or more", ago);
    }
  }
  return bad("startAt", 'must be "newOnly", "lastReceived", "first", { sequence }, { time } or { ago }', value);
}

/** The time of a valid date, also of another realm: a vm context and jsdom have a Date class of their own. */
function instantOf(date: unknown): number | undefined {
  try {
    const time = Date.prototype.getTime.call(date);
    return Number.isNaN(time) ? undefined : time;
  } catch {
    return undefined;
  }
}
