import { settledWithin } from "../../core-nats/async.ts";
import { elapsed } from "../../core-nats/clock.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import { checkDrainOptions } from "../drain-options.ts";
import type { DrainOptions } from "../drain-options.ts";
import { StreamingError } from "../errors.ts";
import { inspectable } from "../inspect.ts";
import type { SessionListener } from "../session/registration.ts";
import { follow } from "../signal.ts";
import type { SubscriptionStats } from "../stats.ts";
import type { ClientContext } from "./client-context.ts";
import type { MessageHandler } from "./handlers.ts";
import { Subscription } from "./message.ts";
import type { DrainReport, Message } from "./message.ts";
import { Resubscriber } from "./resubscriber.ts";
import type { SubscribeSettings } from "./subscribe-options.ts";
import type { WatchedSubscription } from "./watchdog.ts";

/** The subscription that a client returns. */
export class SubscriptionImpl extends Subscription {
  readonly #resubscriber: Resubscriber;

  private constructor(context: ClientContext, subject: string, handler: MessageHandler, settings: SubscribeSettings) {
    super();
    this.#resubscriber = new Resubscriber(context, this, subject, handler, settings);
  }

  /** Starts a subscription. `ready` settles when the server has accepted or refused it. */
  static start(
    context: ClientContext,
    subject: string,
    handler: MessageHandler,
    settings: SubscribeSettings,
  ): { subscription: SubscriptionImpl; ready: Promise<void> } {
    const subscription = new SubscriptionImpl(context, subject, handler, settings);
    return { subscription, ready: subscription.#resubscriber.start() };
  }

  get subject(): string {
    return this.#resubscriber.deliveries.subject;
  }

  get state(): "disconnected" | "connected" | "subscribed" | "closed" {
    return this.#resubscriber.state;
  }

  get closed(): Promise<StreamingError | undefined> {
    return this.#resubscriber.closing.closed;
  }

  stats(): SubscriptionStats {
    return this.#resubscriber.deliveries.stats();
  }

  pause(): void {
    this.#resubscriber.deliveries.handlers.paused = true;
  }

  resume(): void {
    this.#resubscriber.deliveries.handlers.paused = false;
  }

  async close(): Promise<void> {
    this.#resubscriber.close("close");
    await this.closed;
  }

  async unsubscribe(): Promise<void> {
    this.#resubscriber.close("unsubscribe");
    const error = await this.closed;
    if (error !== undefined) throw error;
    const { kind, done } = this.#resubscriber.closing;
    if (this.durable === "" || (done && kind === "unsubscribe")) return;
    const reason =
      kind === "unsubscribe" ? "the client ended before the server was told" : "the subscription was closed before";
    throw new StreamingError("CLOSED", `unsubscribe ${this.subject}: ${reason}`);
  }

  async drain(options: DrainOptions = {}): Promise<Pick<DrainReport, "unhandled">> {
    const { timeout, signal } = checkDrainOptions(options);
    const { lifetime, release } = follow(signal);
    const unhandled = await this.finishHandlers(timeout, lifetime);
    release();
    await settledWithin(this.#resubscriber.context.settings.requestTimeout, this.close());
    return { unhandled };
  }

  /** Starts no more handlers, and waits until no handler runs. Resolves with the unfinished messages. */
  async finishHandlers(timeout: number, ...endings: readonly AbortSignalLike[]): Promise<Message[]> {
    const { deliveries } = this.#resubscriber;
    // The server sends nothing again to a subscription that has ended.
    const ended = this.state === "closed";
    deliveries.stop("it is drained");
    const before = elapsed();
    const running = await deliveries.handlers.finish(timeout, this.closed, ...endings);
    const left = Math.max(1, before + timeout - elapsed());
    const unstored = (await deliveries.failures?.finishStoring(left, ...endings)) ?? [];
    const ofGroup = ended ? [] : [...deliveries.group.progress.awaitingRedelivery()];
    const awaiting = ofGroup.filter((message) => message.subscription === this);
    const unfinished = [...running, ...unstored].filter((message) => !message.finished);
    return [...unfinished, ...awaiting].sort((a, b) => a.sequence - b.sequence);
  }

  get durable(): string {
    return this.#resubscriber.settings.durable;
  }

  get queue(): string {
    return this.#resubscriber.settings.queue;
  }

  /** True once the subscription was asked to close, or has ended. */
  get isClosing(): boolean {
    return this.#resubscriber.deliveries.handlers.stopped;
  }

  /** True while the server may lack acks. */
  get owesAcks(): boolean {
    return this.#resubscriber.deliveries.owesAcks;
  }

  /** The listener for the supervisor. */
  get listener(): SessionListener {
    return this.#resubscriber;
  }

  /** The part for the watchdog. */
  get watched(): WatchedSubscription {
    return this.#resubscriber.deliveries;
  }

  /** The number of handlers that may run at once. A loop over messages starts with 0. */
  set concurrency(concurrency: number) {
    this.#resubscriber.deliveries.handlers.concurrency = concurrency;
  }
}

inspectable({ name: "Subscription", prototype: SubscriptionImpl.prototype }, (subscription) => {
  const { subject, queue, durable, state } = subscription;
  return { subject, ...(queue && { queue }), ...(durable && { durable }), state, ...subscription.stats() };
});
