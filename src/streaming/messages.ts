import { deferred } from "../core-nats/async.ts";
import type { Deferred } from "../core-nats/async.ts";
import type { Message } from "./message.ts";
import type { Subscription } from "./subscription.ts";

type Result = IteratorResult<Message, undefined>;

/**
 * The messages of a subscription, one at a time. A message is acknowledged when the loop comes back for the next one,
 * unless `manualAck` is set. Leaving the loop by `break`, `return` or `throw` leaves the last message unacknowledged
 * and closes the subscription. The loop ends when the subscription does, and throws if the server refused it for good.
 *
 * A drain waits until the loop has left the message that it is at, and gives it no other. What the loop has not asked for is
 * not waited for. Whoever calls `next` by hand and wants no more calls `return`.
 */
export class Messages implements AsyncIterableIterator<Message> {
  #subscription: Subscription | undefined;
  readonly #manualAck: boolean;
  readonly #wanting: Deferred<Result>[] = [];
  /** The message that the loop is at; until it has left that, the subscription gives no other. */
  #current: { readonly message: Message; readonly left: Deferred<void> } | undefined;
  #over: { readonly error: Error | undefined } | undefined;

  private constructor(manualAck: boolean) {
    this.#manualAck = manualAck;
  }

  /** @internal `subscribe` gets the handler to subscribe with: one message at a time and none at first, acknowledged by hand. */
  static async start(
    manualAck: boolean,
    subscribe: (handler: (message: Message) => Promise<void>) => Promise<Subscription>,
  ): Promise<Messages> {
    const messages = new Messages(manualAck);
    const subscription = await subscribe((message) => messages.#take(message));
    messages.#subscription = subscription;
    void subscription.closed.then((error) => messages.#end(error));
    return messages;
  }

  /** The subscription behind it; ending that ends the loop. */
  get subscription(): Subscription {
    return this.#subscription!;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Takes leave of the current message, and resolves with the next one. */
  next(): Promise<Result> {
    this.#leave(!this.#manualAck);
    const want = deferred<Result>();
    this.#wanting.push(want);
    if (this.#over === undefined) this.subscription.concurrency = 1;
    else this.#finish(this.#over.error);
    return want.promise;
  }

  /** Leaves the current message unacknowledged and closes the subscription. Called by `break`, `return` and `throw`. */
  async return(): Promise<Result> {
    const { subscription } = this;
    this.#end(undefined);
    this.#leave(false);
    const left = subscription.drain();
    // While disconnected, or with nobody in charge, it may take long, and is done all the same: nobody should have to wait for it.
    if (subscription.state === "subscribed") await left;
    return { done: true, value: undefined };
  }

  #take(message: Message): Promise<void> {
    const left = deferred();
    this.#current = { message, left };
    // Somebody wants it: the first one was wanted, and a message is left by wanting another.
    this.#wanting.shift()!.resolve({ done: false, value: message });
    return left.promise;
  }

  #leave(ack: boolean): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    if (ack) current.message.ack();
    current.left.resolve();
  }

  #end(error: Error | undefined): void {
    this.#over ??= { error };
    this.#finish(this.#over.error);
  }

  #finish(error: Error | undefined): void {
    for (const want of this.#wanting.splice(0)) {
      if (error === undefined) want.resolve({ done: true, value: undefined });
      else want.reject(error);
    }
  }
}
