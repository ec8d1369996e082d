import type { MsgProtoView } from "../pb/protocol.ts";
import type { Progress } from "./progress.ts";
import type { Subscription } from "./subscription.ts";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const NANOSECONDS_PER_MILLISECOND = 1_000_000n;

/** A message of a channel, as it was delivered to a subscription. */
export class Message {
  /** The channel. */
  readonly subject: string;
  /** This message's own bytes, nobody else's. */
  readonly data: Uint8Array;
  /** The `reply` it was published with, or "". */
  readonly reply: string;
  /** Its number in the channel, from 1. */
  readonly sequence: number;
  /** True when the server has sent it before. It need not have arrived then. */
  readonly redelivered: boolean;
  /** How often the server has sent it before, as far as it remembers: a restart forgets. */
  readonly redeliveryCount: number;

  readonly #subscription: Subscription;
  readonly #progress: Progress;
  readonly #low: number;
  readonly #high: number;

  private constructor(subscription: Subscription, progress: Progress, view: MsgProtoView, data: Uint8Array, reply: string) {
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
  static from(subscription: Subscription, progress: Progress, view: MsgProtoView, bytes: Uint8Array): Message {
    const { dataStart, dataEnd, replyStart, replyEnd } = view;
    const data = bytes.slice(dataStart, dataEnd);
    const reply = replyStart === replyEnd ? "" : decoder.decode(bytes.subarray(replyStart, replyEnd));
    return new Message(subscription, progress, view, data, reply);
  }

  /** When the server stored it, in nanoseconds since 1970, exactly. */
  get timestamp(): bigint {
    return (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  /** When the server stored it, to the millisecond. */
  get time(): Date {
    return new Date(Number(this.timestamp / NANOSECONDS_PER_MILLISECOND));
  }

  /** The data as UTF-8; what is none becomes U+FFFD. */
  text(): string {
    return decoder.decode(this.data);
  }

  /** The data as JSON. Throws a `SyntaxError` if it is none. `T` is the caller's word for it, not checked. */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }

  /**
   * Tells the server that the message is done with, now or, while disconnected, as soon as it can be told. Returns
   * false if it can no longer be told, since the subscription has ended or the channel has begun anew: expect the message again.
   */
  ack(): boolean {
    return this.#subscription.acknowledge(this.sequence, this.#progress);
  }

  /** @internal A handler has it: a redelivery starts no other. */
  hold(): void {
    if (!this.#progress.isFinished(this.sequence)) this.#progress.begin(this.sequence);
  }

  /** @internal Nobody has it any more. If it is not finished, its next delivery is handled. */
  release(): void {
    if (!this.#progress.isFinished(this.sequence)) this.#progress.release(this.sequence);
  }
}
