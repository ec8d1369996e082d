import type { MsgProtoView } from "../../pb/data.ts";
import { textOf } from "../../pb/wire.ts";
import { checkDelay } from "../checks.ts";
import type { DrainOptions } from "../drain-options.ts";
import type { StreamingError } from "../errors.ts";
import { inspectable } from "../inspect.ts";
import type { Signal } from "../signal.ts";
import type { SubscriptionStats } from "../stats.ts";
import type { Progress } from "./progress.ts";

/** V8 keeps up to this many bytes among its own objects, at a tenth of the cost of other memory. */
const MOST_ON_HEAP = 64;
/** From this many bytes on, the host's pool allocates other memory for each buffer, too. */
const TOO_LARGE_TO_POOL = 4 * 1024;
/** Bytes of a piece. The host's pool gives two; a larger part would have memory of its own. */
const PIECE = 4_080;
/** A larger copy has a part of the pool to itself, so that little of a piece stays empty. */
const LARGEST_IN_PIECE = PIECE / 8;
/** Copies begin at multiples of 8 bytes. */
const ALIGNED = 7;

/** The nanoseconds in a millisecond. */
const NANOSECONDS = 1_000_000n;
/** The most characters of a text that `console.log` shows. */
const MOST_SHOWN = 200;

/** @internal What a handler asked for. */
export type Verdict = { readonly nak: number | undefined } | { readonly term: string | undefined };

/** @internal Takes the acks of messages. */
export interface Acker {
  /** The channel. */
  readonly subject: string;
  readonly subscription: Subscription;
  /** See `Message.ack`. */
  acknowledge(sequence: number, progress: Progress<Message>): boolean;
  /** See `Message.signal`. */
  signalOf(message: Message): Signal;
  /** See `Message.nak` and `Message.term`. */
  decide(message: Message, verdict: Verdict): boolean;
  /** Whether a verdict waits for the end of the handler. */
  isDecided(message: Message): boolean;
}

/** A message of a channel, as the server has delivered it to a {@link Subscription}. */
export class Message {
  /** The channel. */
  readonly subject: string;
  /**
   * The bytes of this message. They are yours: nothing else uses them. Below 4 KiB they may share `data.buffer` with
   * other data, as Node's Buffers do. `postMessage` and `structuredClone` copy all of `data.buffer`: give them
   * `data.slice()`. A message that you keep holds at most 8 KiB of shared memory, from Node 24 on 64 KiB.
   */
  readonly data: Uint8Array;
  /** The `reply` that it was published with, or "". The server does nothing with it. */
  readonly reply: string;
  /** Its number in the channel, from 1. */
  readonly sequence: number;
  /** True if the server has sent it before. That delivery need not have arrived. */
  readonly redelivered: boolean;
  /** How often the server has sent it before. A server that restarts begins again at 0. */
  readonly redeliveryCount: number;

  readonly #acker: Acker;
  readonly #progress: Progress<Message>;
  readonly #low: number;
  readonly #high: number;

  private constructor(acker: Acker, progress: Progress<Message>, view: MsgProtoView, data: Uint8Array, reply: string) {
    this.subject = acker.subject;
    this.data = data;
    this.reply = reply;
    this.sequence = view.sequence;
    this.redelivered = view.redelivered;
    this.redeliveryCount = view.redeliveryCount;
    this.#acker = acker;
    this.#progress = progress;
    this.#low = view.timestampLow;
    this.#high = view.timestampHigh;
  }

  /** @internal Copies the data: the bytes belong to the connection. */
  static from(acker: Acker, progress: Progress<Message>, view: MsgProtoView, bytes: Uint8Array): Message {
    const { dataStart, dataEnd, replyStart, replyEnd } = view;
    return new Message(acker, progress, view, copyOf(bytes, dataStart, dataEnd), textOf(bytes, replyStart, replyEnd));
  }

  /**
   * The subscription that it was delivered to. It is there also if the handler is called before `subscribe` has
   * resolved.
   */
  get subscription(): Subscription {
    return this.#acker.subscription;
  }

  /**
   * An `AbortSignal` for the handler, or the loop, that works on the message. It is aborted when a drain or a close
   * begins, of the subscription or its client. It is also aborted when the message can no longer be acknowledged,
   * because the channel has begun anew. A handler that stops early should throw: the message is then not acknowledged,
   * and comes again. The reason is a `StreamingError`.
   *
   * @example
   * ```ts
   * await client.subscribe("jobs", async (message) => {
   *   await fetch("https://example.com/slow", { signal: message.signal });
   * });
   * ```
   */
  get signal(): Signal {
    return this.#acker.signalOf(this);
  }

  /** When the server stored it, in nanoseconds since 1970, exactly. */
  get timestamp(): bigint {
    return (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  /** When the server stored it, to the millisecond. {@link Message.timestamp} is exact. */
  get time(): Date {
    return new Date(Number(this.timestamp / NANOSECONDS));
  }

  /**
   * Returns {@link Message.data} as UTF-8 text. Bytes that are not UTF-8 become U+FFFD. Never throws.
   *
   * @example
   * ```ts
   * console.log(message.sequence, message.text());
   * ```
   */
  text(): string {
    return textOf(this.data, 0, this.data.length);
  }

  /**
   * Returns {@link Message.data}, parsed as JSON. Throws a `SyntaxError` if it is not JSON. The type `T` is your claim:
   * nothing checks it.
   *
   * @example
   * ```ts
   * const { item } = message.json<{ item: string }>();
   * console.log(item);
   * ```
   */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }

  /**
   * Tells the server that the message is done with. During an outage the ack waits, and is sent afterwards. Needed only
   * with `manualAck: true`. A second call does no harm.
   *
   * Returns false if the ack can no longer be sent, because the {@link Subscription} has ended or the channel has begun
   * anew. Then expect the message again.
   *
   * @example
   * ```ts
   * await save(message.text());
   * if (!message.ack()) console.warn(`${message.sequence} comes again`);
   * ```
   */
  ack(): boolean {
    return this.#acker.acknowledge(this.sequence, this.#progress);
  }

  /**
   * Has the message handled again in this process, whatever its handler returns or throws: `delay` milliseconds (from 0
   * on) after the handler has ended, or the loop has come back; by default after the next delay of `backoff`. Without
   * both the server sends it again after `ackWait`. The run counts for `maxDeliver`.
   *
   * Returns false, and does nothing, if the message is acknowledged already, waits for its next run, or can no longer
   * be acknowledged. Throws a `TypeError` for a `delay` that is no number of milliseconds.
   *
   * @example
   * ```ts
   * await client.subscribe("orders", (message) => {
   *   if (message.text() === "locked") message.nak(5_000);
   * });
   * ```
   */
  nak(delay?: number): boolean {
    if (delay !== undefined) checkDelay("delay", delay);
    return this.#acker.decide(this, { nak: delay });
  }

  /**
   * Gives the message up, whatever its handler returns or throws: when the handler has ended, or the loop has come
   * back, it goes to `deadLetter`, with `reason` as the error, and is not handled again. For what no retry can cure.
   *
   * Returns false, and does nothing, if the message is acknowledged already, waits for its next run, or can no longer
   * be acknowledged. Throws a `TypeError` if the subscription has no `deadLetter`: nothing is dropped silently.
   *
   * @example
   * ```ts
   * const handler = (message: Message): void => {
   *   if (message.text() === "") message.term("it is empty");
   * };
   * await client.subscribe("orders", handler, { deadLetter: "orders.dead" });
   * ```
   */
  term(reason?: string): boolean {
    return this.#acker.decide(this, { term: reason });
  }

  /** @internal Acknowledges the message, unless `nak` or `term` was called. */
  ackUnlessDecided(): void {
    if (!this.#acker.isDecided(this)) this.ack();
  }

  /** @internal Orders the messages of the subscription, those before and after a reset of the channel. */
  get order(): number {
    return this.#progress.offset + this.sequence;
  }

  /** @internal False once the channel was reset. */
  get isCurrent(): boolean {
    return this.#progress.isCurrent;
  }

  /** @internal True once it was acknowledged. */
  get finished(): boolean {
    return this.#progress.isFinished(this.sequence);
  }

  /** @internal True while a handler has the message, or will have it. */
  get isActive(): boolean {
    return this.#progress.isActive(this.sequence);
  }

  /** @internal A handler has the message, or will have it. A redelivery starts no other. */
  activate(): void {
    if (!this.finished) this.#progress.activate(this.sequence);
  }

  /** @internal No handler has the message. If it is unfinished, its redelivery is handled. */
  awaitRedelivery(): void {
    if (!this.finished) this.#progress.awaitRedelivery(this.sequence, this);
  }
}

inspectable(Message, (message) => {
  const { subject, sequence, time, reply, redelivered, redeliveryCount } = message;
  const text = message.text();
  const shown = text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}… (${message.data.length} bytes)` : text;
  return { subject, sequence, time, text: shown, reply, redelivered, redeliveryCount };
});

// Message and Subscription refer to each other, so one file declares both.
/**
 * A subscription to a channel. The client keeps it across lost connections, lost sessions and channels that begin anew.
 * It ends by {@link Subscription.close}, {@link Subscription.unsubscribe} or {@link Subscription.drain}, with its
 * client, or because the server refuses it for good.
 */
export abstract class Subscription {
  /** The channel. */
  abstract readonly subject: string;

  /**
   * Where the subscription is: `disconnected` while the client is not registered, `connected` while the server is being
   * asked, `subscribed` while the server delivers, `closed` when it has ended.
   */
  abstract readonly state: "disconnected" | "connected" | "subscribed" | "closed";

  /**
   * Resolves when the subscription has ended. The value is a {@link StreamingError} if the server refused it for good,
   * otherwise undefined. Never rejects.
   */
  abstract readonly closed: Promise<StreamingError | undefined>;

  /**
   * Returns what the subscription has done so far, and what is under way. {@link SubscriptionStats} describes each
   * number. The call is cheap: the subscription keeps these numbers anyway.
   *
   * @example
   * ```ts
   * const { handled, failed, waiting } = subscription.stats();
   * console.log({ handled, failed, waiting });
   * ```
   */
  abstract stats(): SubscriptionStats;

  /**
   * Starts no handler, and gives no loop a message, until {@link Subscription.resume}: for a circuit breaker. Handlers
   * that run go on, and their acks count. Messages that come wait, within `maxInFlight` and `maxWaitingBytes`. The
   * server sends those that wait longer than `ackWait` again, which starts no second run here; in a queue group it may
   * send them to another member.
   *
   * The subscription stays in place, through outages, too. {@link Subscription.drain} works. A second call does
   * nothing.
   *
   * @example
   * ```ts
   * subscription.pause();
   * setTimeout(() => subscription.resume(), 10_000);
   * ```
   */
  abstract pause(): void;

  /**
   * Goes on after {@link Subscription.pause}: handlers start for the messages that waited, in their order. Does nothing
   * if the subscription is not paused.
   *
   * @example
   * ```ts
   * subscription.resume();
   * ```
   */
  abstract resume(): void;

  /**
   * Ends the subscription now; {@link Subscription.drain} ends it gracefully. No more handlers start. Acks of handlers
   * that still run are lost, and their messages come again. The server keeps the position of a durable.
   *
   * Resolves when the server has answered, after an outage if there is one, or when the client has ended. Never
   * rejects. If the server refuses, `onStatus` gets an `error`, and the durable cannot be used again until the client
   * ends.
   *
   * @example
   * ```ts
   * await subscription.close();
   * ```
   */
  abstract close(): Promise<void>;

  /**
   * Does what {@link Subscription.close} does, and the server forgets the durable with its position.
   *
   * Rejects with a {@link StreamingError}. `CLOSED`: the client ended before the server was told, or the durable was
   * closed before; the server still has the durable. `REFUSED` or `NOT_PERMITTED`: the server refuses, or refused the
   * subscription before.
   *
   * @example
   * ```ts
   * await subscription.unsubscribe();
   * ```
   */
  abstract unsubscribe(): Promise<void>;

  /**
   * Ends the subscription gracefully. No more handlers start. Handlers that run finish, and their acks still count.
   * Then the subscription closes as by {@link Subscription.close}. The report says which messages come again:
   * {@link DrainReport.unhandled}.
   *
   * The waiting ends after {@link DrainOptions.timeout} milliseconds (default 20 000) in any case, also if a handler
   * waits for this very drain. Leaving the server takes up to `requestTimeout` on top. An aborted
   * {@link DrainOptions.signal} ends the waiting at once. Rejects with a `TypeError` if an option is wrong, and never
   * else.
   *
   * @example
   * ```ts
   * const { unhandled } = await subscription.drain({ timeout: 10_000 });
   * console.log(unhandled.map(({ sequence }) => sequence));
   * ```
   */
  abstract drain(options?: DrainOptions): Promise<Pick<DrainReport, "unhandled">>;
}

/** What was left when a {@link Subscription.drain}, or a drain of the client, ended. */
export interface DrainReport {
  /**
   * Messages that were received, and neither handled to the end nor acknowledged by hand. They come again. A message
   * whose handler failed is among them until it is handled again: also one that waits for that as `backoff` says. A
   * message that was dropped because of `maxWaitingBytes` is not among them.
   */
  readonly unhandled: readonly Message[];
  /** How many publishes were rejected with `UNCONFIRMED` during the drain: it is unknown whether they are stored. */
  readonly unconfirmed: number;
}

/** A piece of the host's pool, in which small copies stand one behind the other, and how much of it is taken. */
let piece: Uint8Array = new Uint8Array(0);
let taken = 0;
/** False once the host has shown that it has no pool: then each copy has memory of its own. */
let isPooled = true;

// Why: docs/decisions.md#copies-of-message-data
/** Copies into the host's pool where that pays: at 128 bytes 0.12 µs instead of 0.45, and a third of the memory. */
function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length <= MOST_ON_HEAP || length >= TOO_LARGE_TO_POOL) return bytes.slice(start, end);
  const data = bytes.subarray(start, end);
  if (length > LARGEST_IN_PIECE || !isPooled) return copyTo(Buffer.allocUnsafe(length), 0, data);
  if (length > piece.length - taken) {
    piece = Buffer.allocUnsafe(PIECE);
    taken = 0;
    isPooled = piece.length < piece.buffer.byteLength;
  }
  const at = taken;
  taken += (length + ALIGNED) & ~ALIGNED;
  return copyTo(piece, at, data);
}

function copyTo(target: Uint8Array, at: number, data: Uint8Array): Uint8Array {
  target.set(data, at);
  return new Uint8Array(target.buffer, target.byteOffset + at, data.length);
}
