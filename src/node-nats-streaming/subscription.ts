import { soon } from "../core-nats/clock.ts";
import type { Client, Message as Delivered, Subscription as ClientSubscription } from "../index.ts";
import { CLOSED, StanError, subscriptionError } from "./errors.ts";
import { EventEmitter } from "./event-emitter.ts";
import { guid } from "./guid.ts";
import { Message } from "./message.ts";
import { timeoutOf } from "./stan-options.ts";
import { subscribeOptionsOf, type SubscriptionOptions } from "./subscription-options.ts";

/** What a subscription needs of its client. */
export interface SubscriptionOwner {
  readonly options: { readonly stanEncoding?: string | undefined; readonly connectTimeout: number };
  /** Resolves once connected; rejects if that fails. */ readonly connected: Promise<Client>;
  /** Those that have not ended. */ readonly subscriptions: Set<Subscription>;
  /** The client is being closed. */ readonly ending: boolean;
  isClosed(): boolean;
  /** Emits an event. What a listener throws is an "error" of the client. */
  announce(emitter: EventEmitter, event: string, ...args: unknown[]): void;
  /** Emits an "error" of the client. */
  raise(error: unknown): void;
}

/**
 * A subscription, which the client keeps through outages. It emits "ready" once the server has accepted it, "message",
 * "error", "unsubscribed" and "closed".
 */
export class Subscription extends EventEmitter {
  /** @internal Undefined once it was closed or unsubscribed. */ stanConnection: SubscriptionOwner | undefined;
  /** @internal */ readonly stanClient: SubscriptionOwner;
  /** @internal */ readonly subject: string;
  /** @internal */ readonly qGroup: string | undefined;
  /** @internal */ readonly opts: Partial<SubscriptionOptions>;
  /** @internal */ readonly inbox = `_INBOX.${guid()}`;
  /** @internal Undefined until it is ready. */ ackInbox: string | undefined = undefined;
  /** @internal Resolves once the server has answered; with undefined if it has refused. */
  asked: Promise<ClientSubscription | undefined> = Promise.resolve(undefined);
  /** @internal Resolves once the server knows of the end. */ left: Promise<void> | undefined = undefined;

  /** @internal */
  constructor(owner: SubscriptionOwner, subject: string, qGroup: string | undefined, opts: SubscriptionOptions) {
    super();
    this.stanConnection = owner;
    this.stanClient = owner;
    this.subject = subject;
    this.qGroup = qGroup;
    this.opts = opts;
  }

  /** Returns true once it was closed or unsubscribed. */
  isClosed(): boolean {
    return this.stanConnection === undefined;
  }

  /** Ends it, and the server forgets the durable. Emits "unsubscribed" once the server knows. */
  unsubscribe(): void {
    this.end("unsubscribe", "unsubscribed");
  }

  /** Ends it. The server keeps the position of a durable. Emits "closed" once the server knows. */
  close(): void {
    this.end("close", "closed");
  }

  /** @internal Asks the server for it, or, with a reason, has it fail once the caller can listen. */
  start(refusal: string | undefined): this {
    if (refusal === undefined) {
      this.stanClient.subscriptions.add(this);
      this.asked = this.ask();
    } else soon(() => this.fail(new StanError(refusal)));
    return this;
  }

  /** @internal */ async ask(): Promise<ClientSubscription | undefined> {
    const { stanClient } = this;
    const client = await stanClient.connected.catch(() => undefined);
    try {
      const options = subscribeOptionsOf(this.opts, this.qGroup);
      const subscription = await client?.subscribe(this.subject, (message) => this.receive(message), options);
      if (subscription === undefined) return undefined;
      this.ackInbox = `_INBOX.${guid()}`;
      stanClient.announce(this, "ready");
      void subscription.closed.then((error) => error !== undefined && !this.isClosed() && this.refused(error));
      return subscription;
    } catch (error) {
      // If the client has ended, its own events say so.
      if (client?.state !== "closed") this.refused(error);
      return undefined;
    }
  }

  /** @internal */ refused(error: unknown): void {
    this.stanClient.subscriptions.delete(this);
    this.fail(subscriptionError(error));
    this.stanClient.announce(this, "unsubscribed");
  }

  /** @internal Calls the listeners. If they return promises, it resolves when all have settled. */
  receive(delivered: Delivered): unknown {
    const { stanConnection } = this;
    if (stanConnection === undefined || stanConnection.ending) return undefined;
    // The server may send messages together with its answer.
    if (this.ackInbox === undefined) return this.asked.then((asked) => asked && this.receive(delivered));
    const message = new Message(stanConnection, delivered, this);
    let pending: unknown[] | undefined;
    try {
      // Instrumentation replaces `emit`, which does not tell what listeners return.
      const instrumented = this.emit !== EventEmitter.prototype.emit;
      if (instrumented) this.emit("message", message);
      for (const listener of instrumented ? [] : this.rawListeners("message")) {
        const result = listener.call(this, message) as { readonly then?: unknown } | null | undefined;
        if (typeof result?.then === "function") (pending ??= []).push(result);
      }
    } catch (error) {
      void Promise.allSettled(pending ?? []);
      return this.fail(error);
    }
    if (pending === undefined) return this.opts.manualAcks ? undefined : message.ack();
    // Also if one of them has closed the subscription, which waits for them.
    const ended = (): unknown => (this.opts.manualAcks ? undefined : delivered.ack());
    return Promise.all(pending).then(ended, (error: unknown) => this.fail(error));
  }

  /** @internal As in 0.3.2 an error that nobody listens to here is one of the client. */ fail(error: unknown): void {
    if (this.listenerCount("error") === 0) this.stanClient.raise(error);
    else this.stanClient.announce(this, "error", error);
  }

  /** @internal */ end(call: "close" | "unsubscribe", event: "closed" | "unsubscribed"): void {
    const { stanConnection } = this;
    if (stanConnection === undefined) return this.fail(new StanError("stan: invalid subscription"));
    this.stanConnection = undefined;
    if (stanConnection.isClosed()) return this.fail(new StanError(CLOSED));
    this.left = this.leave(call, event);
  }

  /** @internal */ async leave(call: "close" | "unsubscribe", event: "closed" | "unsubscribed"): Promise<void> {
    // It may not be ready yet. 0.3.2 leaves it to the server for ever then.
    const subscription = await this.asked;
    try {
      const last = call === "close" ? this.finish(subscription) : undefined;
      if (last !== undefined) await last;
      await subscription?.[call]();
      if (subscription !== undefined) this.stanClient.announce(this, event);
    } catch (error) {
      const failure = subscriptionError(error);
      // As in 0.3.2, what the end of the client overtakes has no event.
      if (failure.message !== CLOSED) this.fail(failure);
    }
    this.stanClient.subscriptions.delete(this);
  }

  /** @internal If async listeners run it starts no more, and has those end, so that their messages are acknowledged. */
  finish(subscription: ClientSubscription | undefined): Promise<unknown> | undefined {
    if (subscription === undefined || this.opts.manualAcks || subscription.stats().running === 0) return undefined;
    return subscription.drain({ timeout: timeoutOf(this.stanClient.options.connectTimeout) });
  }
}
