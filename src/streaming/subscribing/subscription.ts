import { settledWithin } from "../../core-nats/async.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import { checkDrainOptions } from "../drain-options.ts";
import type { DrainOptions } from "../drain-options.ts";
import { StreamingError } from "../errors.ts";
import { inspectable } from "../inspect.ts";
import type { SessionListener } from "../session/registration.ts";
import type { SubscriptionStats } from "../stats.ts";
import type { ClientContext } from "./client-context.ts";
import type { MessageHandler } from "./handlers.ts";
import { Subscription } from "./message.ts";
import type { DrainReport, Message } from "./message.ts";
import { Resubscriber } from "./resubscriber.ts";
import type { SubscribeSettings } from "./subscribe-options.ts";
import type { WatchedSubscription } from "./watchdog.ts";

/** A subscription, as the client has it. */
export class SubscriptionImpl extends Subscription {
  readonly #settings: SubscribeSettings;
  readonly #requestTimeout: number;
  readonly #resubscriber: Resubscriber;

  private constructor(context: ClientContext, subject: string, handler: MessageHandler, settings: SubscribeSettings) {
    super();
    this.#settings = settings;
    this.#requestTimeout = context.settings.requestTimeout;
    this.#resubscriber = new Resubscriber(context, this, subject, handler, settings);
  }

  /** Starts the loop. `ready` settles when the server has accepted or refused. */
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
    const reason = kind === "unsubscribe" ? "the client ended before the server was told" : "the subscription was closed before";
    throw new StreamingError("CLOSED", `unsubscribe ${this.subject}: ${reason}`);
  }

  async drain(options: DrainOptions = {}): Promise<Pick<DrainReport, "unhandled">> {
    const { timeout, endings } = checkDrainOptions(options);
    const unhandled = await this.finishHandlers(timeout, ...endings);
    await settledWithin(this.#requestTimeout, this.close());
    return { unhandled };
  }

  /**
   * Starts no more handlers and waits for those that run, until closed. Resolves with the messages that are not
   * finished.
   */
  async finishHandlers(timeout: number, ...endings: readonly AbortSignalLike[]): Promise<Message[]> {
    const { deliveries } = this.#resubscriber;
    // Nothing comes again to one that has ended.
    const ended = this.state === "closed";
    deliveries.stop("it is drained");
    const running = await deliveries.handlers.finish(timeout, this.closed, ...endings);
    const awaiting = ended ? [] : [...deliveries.group.progress.awaitingRedelivery()].filter((message) => message.subscription === this);
    return [...running.filter((message) => !message.finished), ...awaiting].sort((a, b) => a.sequence - b.sequence);
  }

  get durable(): string {
    return this.#settings.durable;
  }

  get queue(): string {
    return this.#settings.queue;
  }

  /** It was told to go, and is not gone yet, or it is. */
  get isClosing(): boolean {
    return this.#resubscriber.deliveries.handlers.stopped;
  }

  /** True while there are acks that the server may not have. */
  get owesAcks(): boolean {
    return this.#resubscriber.deliveries.owesAcks;
  }

  /** What the supervisor keeps informed. */
  get listener(): SessionListener {
    return this.#resubscriber;
  }

  /** What the watchdog watches. */
  get watched(): WatchedSubscription {
    return this.#resubscriber.deliveries;
  }

  /** For a loop over messages, which wants none before it begins. */
  set concurrency(concurrency: number) {
    this.#resubscriber.deliveries.handlers.concurrency = concurrency;
  }
}

inspectable({ name: "Subscription", prototype: SubscriptionImpl.prototype }, (subscription) => {
  const { subject, queue, durable, state } = subscription;
  return { subject, ...(queue && { queue }), ...(durable && { durable }), state, ...subscription.stats() };
});
