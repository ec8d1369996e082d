import { deferred } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import type { Message, Subscription } from "./message.ts";
import type { SubscriptionImpl } from "./subscription.ts";

type Result = IteratorResult<Message, undefined>;

/**
 * The messages of a {@link Subscription}, one at a time, for a `for await` loop. A message is acknowledged when the
 * loop comes back for the next one, unless `manualAck` is set. Leaving the loop by `break`, `return` or `throw` leaves
 * the last message unacknowledged and closes the subscription: call {@link Message.ack} before, if the message is done.
 * The loop ends when the subscription ends, and throws if the server refused the subscription for good.
 *
 * A drain waits until the loop has left its current message, and gives the loop no other. It does not wait for messages
 * that the loop has not asked for. If you call {@link Messages.next} yourself, call {@link Messages.return} when you
 * want no more.
 *
 * @example
 * ```ts
 * for await (const message of await client.messages("orders", { startAt: "first" })) {
 *   await save(message.text());
 *   message.ack();
 *   if (message.sequence >= 1_000) break;
 * }
 * ```
 */
export class Messages implements AsyncIterableIterator<Message> {
  #subscription: SubscriptionImpl | undefined;
  readonly #manualAck: boolean;
  /** The calls of `next` without a message. */
  readonly #waiting: Deferred<Result>[] = [];
  /** The message that the loop is at. The subscription gives no other until the loop is done with it. */
  #current: { readonly message: Message; readonly done: Deferred<void> } | undefined;
  /** Undefined until the end of the subscription, or of the loop. */
  #ended: { readonly error: Error | undefined } | undefined;

  private constructor(manualAck: boolean) {
    this.#manualAck = manualAck;
  }

  /**
   * @internal `subscribe` gets the handler to subscribe with: one message at a time and none at first, acknowledged by
   * hand.
   */
  static async start(
    manualAck: boolean,
    subscribe: (handler: (message: Message) => Promise<void>) => Promise<SubscriptionImpl>,
  ): Promise<Messages> {
    const messages = new Messages(manualAck);
    const subscription = await subscribe((message) => messages.#take(message));
    messages.#subscription = subscription;
    void subscription.closed.then((error) => messages.#end(error));
    return messages;
  }

  /** The subscription behind it. When the subscription ends, the loop ends. */
  get subscription(): Subscription {
    return this.#subscription!;
  }

  /** Returns itself, for `for await`. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * Acknowledges the current message, unless `manualAck` is set, and resolves with the next one. Resolves with
   * `done: true` when the subscription has ended. Rejects with a `StreamingError` if the server refused the
   * subscription for good.
   *
   * @example
   * ```ts
   * const messages = await client.messages("orders", { startAt: "first" });
   * const { value: first } = await messages.next();
   * await messages.return();
   * ```
   */
  next(): Promise<Result> {
    this.#leave(!this.#manualAck);
    const waiting = deferred<Result>();
    this.#waiting.push(waiting);
    if (this.#ended === undefined) this.#subscription!.concurrency = 1;
    else this.#finish(this.#ended.error);
    return waiting.promise;
  }

  /**
   * Leaves the current message unacknowledged and closes the subscription. A loop calls it on `break`, `return` and
   * `throw`. Never rejects.
   *
   * @example
   * ```ts
   * await messages.return();
   * ```
   */
  async return(): Promise<Result> {
    const { subscription } = this;
    this.#end(undefined);
    this.#leave(false);
    const drained = subscription.drain();
    // During an outage the close may take long, and happens anyway: the caller need not wait for it.
    if (subscription.state === "subscribed") await drained;
    return { done: true, value: undefined };
  }

  #take(message: Message): Promise<void> {
    const done = deferred();
    this.#current = { message, done };
    const waiting = this.#waiting.shift();
    // Only a call of `next` makes the subscription start a handler.
    if (waiting === undefined) throw new Error("no call of next() waits for the message");
    waiting.resolve({ done: false, value: message });
    return done.promise;
  }

  #leave(ack: boolean): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    if (ack) current.message.ackUnlessDecided();
    current.done.resolve();
  }

  #end(error: Error | undefined): void {
    this.#ended ??= { error };
    this.#finish(this.#ended.error);
  }

  #finish(error: Error | undefined): void {
    for (const waiting of this.#waiting.splice(0)) {
      if (error === undefined) waiting.resolve({ done: true, value: undefined });
      else waiting.reject(error);
    }
  }
}
