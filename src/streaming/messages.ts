import { deferred } from "../core-nats/async.ts";
import type { Deferred } from "../core-nats/async.ts";
import type { Message } from "./message.ts";
import type { Subscription } from "./subscription.ts";

type Result = IteratorResult<Message, undefined>;

/**
 * The messages of a subscription, one at a time. A message is acknowledged when the loop comes back for the next one,
 * unless `manualAck` is set. Leaving the loop by `break`, `return` or `throw` leaves the last message unacknowledged
 * and closes the subscription. The loop ends when the subscription does, and throws if the server refused it for good.
 */
export class Messages implements AsyncIterableIterator<Message> {
  #subscription: Subscription | undefined;
  readonly #manualAck: boolean;
  readonly #wanting: Deferred<Result>[] = [];
  /** The message that waits for the loop, or that the loop is at; until `done`, the subscription offers no other. */
  #offered: { readonly message: Message; readonly done: Deferred<void> } | undefined;
  #taken = false;
  #over: { readonly error: Error | undefined } | undefined;

  private constructor(manualAck: boolean) {
    this.#manualAck = manualAck;
  }

  /** @internal `subscribe` gets the handler to subscribe with: one message at a time, acknowledged by hand. */
  static async start(
    manualAck: boolean,
    subscribe: (handler: (message: Message) => Promise<void>) => Promise<Subscription>,
  ): Promise<Messages> {
    const messages = new Messages(manualAck);
    const subscription = await subscribe((message) => messages.#offer(message));
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
    this.#match();
    return want.promise;
  }

  /** Leaves the current message unacknowledged and closes the subscription. Called by `break`, `return` and `throw`. */
  async return(): Promise<Result> {
    const { subscription } = this;
    this.#end(undefined);
    this.#leave(false);
    const closed = subscription.close();
    // While disconnected that may take long, and is done all the same: nobody should have to wait for it.
    if (subscription.state === "subscribed") await closed;
    return { done: true, value: undefined };
  }

  #offer(message: Message): Promise<void> {
    const done = deferred();
    this.#offered = { message, done };
    this.#taken = false;
    if (this.#over !== undefined) done.resolve();
    else this.#match();
    return done.promise;
  }

  #match(): void {
    if (this.#over !== undefined) {
      for (const want of this.#wanting.splice(0)) this.#finish(want, this.#over.error);
    } else if (this.#offered !== undefined && !this.#taken && this.#wanting.length > 0) {
      this.#taken = true;
      this.#wanting.shift()!.resolve({ done: false, value: this.#offered.message });
    }
  }

  #leave(ack: boolean): void {
    const offered = this.#offered;
    if (offered === undefined || !this.#taken) return;
    this.#offered = undefined;
    if (ack) offered.message.ack();
    offered.done.resolve();
  }

  #end(error: Error | undefined): void {
    this.#over ??= { error };
    if (!this.#taken) this.#offered?.done.resolve();
    this.#match();
  }

  #finish(want: Deferred<Result>, error: Error | undefined): void {
    if (error === undefined) want.resolve({ done: true, value: undefined });
    else want.reject(error);
  }
}
