import type { MsgProtoView } from "../../pb/protocol.ts";
import { textOf } from "../../pb/wire.ts";
import { inspectable } from "../inspect.ts";
import type { Signal } from "../options.ts";
import type { Progress } from "./progress.ts";
import { NANOSECONDS_PER_MILLISECOND } from "./start-position.ts";
import type { Subscription } from "./subscription.ts";

/** Up to so many bytes V8 keeps among its own objects, at a tenth of what memory from elsewhere costs. */
const MOST_ON_HEAP = 64;
/** From so many on, the host's pool takes memory from elsewhere for each, as well. */
const TOO_LARGE_TO_POOL = 4 * 1024;

/** So many characters are shown by `console.log`. */
const MOST_SHOWN = 200;

/** A message of a channel, as the server has delivered it to a {@link Subscription}. */
export class Message {
  /** The channel. */
  readonly subject: string;
  /**
   * The bytes of this message. They are yours: nothing else uses them. Below 4 KiB they may share `data.buffer` with other data, as
   * Node's Buffers do.
   * `postMessage` and `structuredClone` copy all of `data.buffer`: give them `data.slice()`. A message that you keep holds at most 8 KiB
   * of shared memory, from Node 24 on 64 KiB.
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

  readonly #subscription: Subscription;
  readonly #progress: Progress<Message>;
  readonly #low: number;
  readonly #high: number;

  private constructor(subscription: Subscription, progress: Progress<Message>, view: MsgProtoView, data: Uint8Array, reply: string) {
    this.subject = subscription.subject;
    this.data = data;
    this.reply = reply;
    this.sequence = view.sequence;
    this.redelivered = view.redelivered;
    this.redeliveryCount = view.redeliveryCount;
    this.#subscription = subscription;
    this.#progress = progress;
    this.#low = view.timestampLow;
    this.#high = view.timestampHigh;
  }

  /** @internal Copies what it needs: the bytes are the connection's. */
  static from(subscription: Subscription, progress: Progress<Message>, view: MsgProtoView, bytes: Uint8Array): Message {
    const { dataStart, dataEnd, replyStart, replyEnd } = view;
    return new Message(subscription, progress, view, copyOf(bytes, dataStart, dataEnd), textOf(bytes, replyStart, replyEnd));
  }

  /** The subscription that it was delivered to. It is there also if the handler is called before `subscribe` has resolved. */
  get subscription(): Subscription {
    return this.#subscription;
  }

  /**
   * An `AbortSignal` for the handler, or the loop, that works on the message. It is aborted when a drain or a close begins, of the
   * subscription or its client. It is also aborted when the message can no longer be acknowledged, because the channel has begun anew.
   * A handler that stops early should throw: the message is then not acknowledged, and comes again. The reason is a `StreamingError`.
   *
   * @example
   * ```ts
   * await client.subscribe("jobs", async (message) => {
   *   await fetch("https://example.com/slow", { signal: message.signal });
   * });
   * ```
   */
  get signal(): Signal {
    return this.#subscription.signalOf(this);
  }

  /** When the server stored it, in nanoseconds since 1970, exactly. */
  get timestamp(): bigint {
    return (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  /** When the server stored it, to the millisecond. {@link Message.timestamp} is exact. */
  get time(): Date {
    return new Date(Number(this.timestamp / NANOSECONDS_PER_MILLISECOND));
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
   * Returns {@link Message.data}, parsed as JSON. Throws a `SyntaxError` if it is not JSON. The type `T` is your claim: nothing checks it.
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
   * Tells the server that the message is done with. While the client is disconnected, the server is told afterwards. Needed only with
   * `manualAck: true`. A second call does no harm.
   *
   * Returns false if the server can no longer be told, because the {@link Subscription} has ended or the channel has begun anew. Then
   * expect the message again.
   *
   * @example
   * ```ts
   * await save(message.text());
   * if (!message.ack()) console.warn(`${message.sequence} comes again`);
   * ```
   */
  ack(): boolean {
    return this.#subscription.acknowledge(this.sequence, this.#progress);
  }

  /** @internal It was acknowledged. */
  get finished(): boolean {
    return this.#progress.isFinished(this.sequence);
  }

  /** @internal A handler has it: a redelivery starts no other. */
  hold(): void {
    if (!this.finished) this.#progress.begin(this.sequence);
  }

  /** @internal Nobody has it any more. If it is not finished, its next delivery is handled; `again`: and waited for. */
  release(again = true): void {
    if (!this.finished) this.#progress.release(this.sequence, this, again);
  }
}

inspectable(Message, (message) => {
  const { subject, sequence, time, reply, redelivered, redeliveryCount } = message;
  const text = message.text();
  const shown = text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}… (${message.data.length} bytes)` : text;
  return { subject, sequence, time, text: shown, reply, redelivered, redeliveryCount };
});

// Why: docs/decisions.md#copies-of-message-data
/** From the host's pool where it pays: at 128 bytes 0.14 µs instead of 0.45, and a third of the memory. */
function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length <= MOST_ON_HEAP || length >= TOO_LARGE_TO_POOL) return bytes.slice(start, end);
  const { buffer, byteOffset } = Buffer.allocUnsafe(length);
  const copy = new Uint8Array(buffer, byteOffset, length);
  copy.set(bytes.subarray(start, end));
  return copy;
}
