import { deferred } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import { clearTimeout, setTimeout } from "../../core-nats/clock.ts";
import type { Message, Subscription } from "./message.ts";
import type { SubscriptionImpl } from "./subscription.ts";

type Result = IteratorResult<Message[], undefined>;

/** A message whose handler waits until the loop has left it. */
interface Held {
  readonly message: Message;
  readonly left: Deferred<void>;
}

/**
 * The messages of a {@link Subscription} in batches, for a `for await` loop: for inserts into a database, and for all
 * that is cheaper for many at once. A batch is a list of at least one message. All its messages are acknowledged when
 * the loop comes back for the next batch, unless `manualAck` is set. Leaving the loop by `break`, `return` or `throw`
 * leaves the messages of its last batch unacknowledged, and closes the subscription. The loop ends when the
 * subscription ends, and throws if the server refused the subscription for good.
 *
 * Inside the loop, {@link Message.ack}, {@link Message.nak} and {@link Message.term} decide about a single message of
 * the batch. A message that failed comes again in a later batch.
 *
 * A drain waits until the loop has left its current batch, and gives the loop no other. It does not wait for messages
 * that the loop has not got. If you call {@link Batches.next} yourself, call {@link Batches.return} when you want no
 * more.
 *
 * @example
 * ```ts
 * for await (const batch of await client.batches("orders", { size: 500, wait: 200, durable: "db" })) {
 *   await save(batch.map((message) => message.text()).join("\n"));
 * }
 * ```
 */
export class Batches implements AsyncIterableIterator<Message[]> {
  #subscription: SubscriptionImpl | undefined;
  readonly #size: number;
  readonly #wait: number;
  readonly #manualAck: boolean;
  readonly #wanting: Deferred<Result>[] = [];
  /** The batch that the loop is at. */
  #current: readonly Held[] = [];
  /** What the next one has so far. */
  #next: Held[] = [];
  #timer: Timer | undefined;
  #over: { readonly error: Error | undefined } | undefined;

  private constructor(size: number, wait: number, manualAck: boolean) {
    this.#size = size;
    this.#wait = wait;
    this.#manualAck = manualAck;
  }

  /** @internal `subscribe` gets the handler to subscribe with: none at first, acknowledged by hand. */
  static async start(
    size: number,
    wait: number,
    manualAck: boolean,
    subscribe: (handler: (message: Message) => Promise<void>) => Promise<SubscriptionImpl>,
  ): Promise<Batches> {
    const batches = new Batches(size, wait, manualAck);
    const subscription = await subscribe((message) => batches.#take(message));
    batches.#subscription = subscription;
    void subscription.closed.then((error) => batches.#end(error));
    return batches;
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
   * Acknowledges the current batch, unless `manualAck` is set, and resolves with the next one: `size` messages, or
   * those that came within `wait` milliseconds of the first. Resolves with `done: true` when the subscription has
   * ended. Rejects with a `StreamingError` if the server refused the subscription for good.
   *
   * @example
   * ```ts
   * const batches = await client.batches("orders", { size: 100, wait: 200, startAt: "first" });
   * const { value: batch } = await batches.next();
   * await batches.return();
   * ```
   */
  next(): Promise<Result> {
    this.#leave(!this.#manualAck);
    const want = deferred<Result>();
    this.#wanting.push(want);
    if (this.#over === undefined) this.#subscription!.concurrency = this.#size;
    else this.#finish(this.#over.error);
    return want.promise;
  }

  /**
   * Leaves the current batch unacknowledged and closes the subscription. A loop calls it on `break`, `return` and
   * `throw`. Never rejects.
   *
   * @example
   * ```ts
   * await batches.return();
   * ```
   */
  async return(): Promise<Result> {
    const subscription = this.#subscription!;
    this.#end(undefined);
    this.#leave(false);
    const left = subscription.drain();
    // In an outage this may take long. It is done all the same, so the caller does not wait for it.
    if (subscription.state === "subscribed") await left;
    return { done: true, value: undefined };
  }

  #take(message: Message): Promise<void> {
    const held = { message, left: deferred() };
    this.#next.push(held);
    if (this.#next.length === 1) {
      this.#timer = setTimeout(() => this.#give(), this.#wait);
      // A drain does not wait for messages that the loop has not got.
      message.signal.addEventListener("abort", () => this.#drop(), { once: true });
    }
    if (this.#next.length >= this.#size) this.#give();
    return held.left.promise;
  }

  #give(): void {
    clearTimeout(this.#timer);
    const batch = this.#next;
    const want = this.#wanting.shift();
    if (batch.length === 0 || want === undefined) return;
    this.#next = [];
    this.#current = batch;
    // No more handlers start until the loop comes back: those of the batch have all places.
    this.#subscription!.concurrency = batch.length;
    want.resolve({ done: false, value: batch.map(({ message }) => message) });
  }

  #leave(ack: boolean): void {
    const batch = this.#current;
    this.#current = [];
    for (const { message, left } of batch) {
      if (ack) message.ackUnlessDecided();
      left.resolve();
    }
  }

  /** Gives up what was collected: it comes again. */
  #drop(): void {
    clearTimeout(this.#timer);
    for (const { left } of this.#next.splice(0)) left.resolve();
  }

  #end(error: Error | undefined): void {
    this.#over ??= { error };
    this.#drop();
    this.#finish(this.#over.error);
  }

  #finish(error: Error | undefined): void {
    for (const want of this.#wanting.splice(0)) {
      if (error === undefined) want.resolve({ done: true, value: undefined });
      else want.reject(error);
    }
  }
}
