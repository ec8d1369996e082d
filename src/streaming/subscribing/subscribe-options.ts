import { bad, boolean, checkNames, integer, LARGEST_INT32, name, seconds } from "../checks.ts";
import { checkSignal } from "../signal.ts";
import type { Signal } from "../signal.ts";

/**
 * Where a subscription begins if the server does not know it: see {@link SubscribeOptions.startAt}. A known durable
 * goes on where it was.
 */
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
   * - `{ ago }`: about the messages of the last `ago` milliseconds, by the server's clock
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
   * Aborts the call, which rejects with `ABORTED`. If a request is under way, the call first waits for its answer, at
   * most `requestTimeout`. After the call has resolved it does nothing.
   */
  signal?: Signal | undefined;
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

/** @internal The names of the options of `subscribe`. */
export const SUBSCRIBE_OPTIONS = [
  "startAt", "durable", "queue", "maxInFlight", "concurrency", "ackWait", "manualAck", "signal",
] as const;
/** @internal The names of the options of `messages`. */
export const MESSAGES_OPTIONS = [
  "startAt", "durable", "queue", "maxInFlight", "ackWait", "manualAck", "signal",
] as const;

/** @internal @throws TypeError naming the option, the rule and the value */
export function checkSubscribeOptions(
  options: SubscribeOptions,
  call: "subscribe" | "messages" = "subscribe",
): SubscribeSettings {
  const [names, handler] = call === "subscribe" ? [SUBSCRIBE_OPTIONS, "handler, "] : [MESSAGES_OPTIONS, ""];
  checkNames(call, names, options, `${call}(subject, ${handler}{ startAt: "first" })`);
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
