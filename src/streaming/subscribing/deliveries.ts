import type { Delivery } from "../../core-nats/delivery.ts";
import { MsgProtoView } from "../../pb/data.ts";
import { StreamingError } from "../errors.ts";
import type { Session } from "../session/session.ts";
import type { Signal } from "../signal.ts";
import type { SubscriptionStats } from "../stats.ts";
import type { ClientContext } from "./client-context.ts";
import type { GroupMember } from "./group-members.ts";
import { Handlers } from "./handlers.ts";
import type { HandlerEvents, MessageHandler } from "./handlers.ts";
import { Message } from "./message.ts";
import type { Acker, Subscription } from "./message.ts";
import type { EndpointEvents, Endpoint } from "./endpoint.ts";
import { Progress, timeOf } from "./progress.ts";
import type { ProgressEvents } from "./progress.ts";
import { RecentAcks } from "./recent-acks.ts";
import type { SubscriptionGroup } from "./subscription-group.ts";
import type { SubscribeSettings } from "./subscribe-options.ts";
import type { WatchedSubscription } from "./watchdog.ts";

/** The reasons for the resubscriber to act on a subscription in place. */
export interface DeliveryEvents {
  /** A message contradicts earlier ones, or the server denied the inbox. No message is taken until that is verified. */
  suspected(): void;
  /** Messages are missing. Returns true if the channel was searched for them. Otherwise it will be. */
  searched(from: number, to: number): boolean;
  /** No message came for `patience` milliseconds. */
  silent(): void;
  /** The client must request the subscription again. */
  renew(reason: string): void;
}

/** From this delivery on a message is reported as redelivered often. */
const OFTEN = 5;
/** No message has this sequence. */
const NO_MESSAGE = 0;

/** All subscriptions use one view: a message is read, and its data copied, before another one comes. */
const view = new MsgProtoView();

/** Takes the messages that the server delivers to a subscription, hands them to the handlers, and sends the acks. */
export class Deliveries
  implements Acker, EndpointEvents, HandlerEvents, ProgressEvents, GroupMember, WatchedSubscription
{
  readonly subscription: Subscription;
  readonly subject: string;
  readonly handlers: Handlers;
  readonly group: SubscriptionGroup;
  /** The source of messages and the target of acks. Undefined while the subscription is not requested. */
  endpoint: Endpoint | undefined;
  /** A message contradicts earlier ones. No message is taken until the resubscriber has verified the channel. */
  isSuspect = false;
  readonly #context: ClientContext;
  readonly #settings: SubscribeSettings;
  readonly #events: DeliveryEvents;
  /** The acks since the subscription was last requested. Undefined before the first one. */
  #recentAcks: RecentAcks | undefined;
  /** Some of the recent acks could not be sent yet, or may be lost. */
  #owesAcks = false;
  /**
   * The first message that the server had not sent before. An earlier process may have acknowledged messages that are
   * missing below it.
   */
  #firstNew = 0;
  #received = 0;
  #redelivered = 0;
  #handled = 0;
  #failed = 0;
  #acknowledged = 0;
  #ended = false;

  constructor(
    context: ClientContext,
    subscription: Subscription,
    subject: string,
    handler: MessageHandler,
    settings: SubscribeSettings,
    events: DeliveryEvents,
  ) {
    const { waitingBytes, queueGroups } = context;
    const { concurrency, queue, durable } = settings;
    this.#context = context;
    this.subscription = subscription;
    this.subject = subject;
    this.#settings = settings;
    this.#events = events;
    // In a group the server may send a failed message to another member, so later messages do not wait for it.
    const ordered = concurrency === 1 && queue === "";
    this.handlers = new Handlers(handler, concurrency, ordered, waitingBytes, this);
    this.group = queueGroups.join(this, subject, queue, durable, () => this.#newProgress());
  }

  /** See `Subscription.stats`. */
  stats(): SubscriptionStats {
    return {
      received: this.#received,
      redelivered: this.#redelivered,
      handled: this.#handled,
      failed: this.#failed,
      acknowledged: this.#acknowledged,
      running: this.handlers.running,
      waiting: this.handlers.waiting,
      highest: this.group.progress.highest,
    };
  }

  get received(): number {
    return this.#received;
  }

  get firstNew(): number {
    return this.#firstNew;
  }

  get idle(): boolean {
    return this.endpoint?.isOpen === true && this.handlers.running === 0 && this.handlers.waiting === 0;
  }

  get patience(): number {
    return this.group.progress.patience;
  }

  deliver(delivery: Delivery, endpoint: Endpoint): void {
    // While the channel is suspect, messages are dropped. The server sends them again.
    if (endpoint !== this.endpoint || this.handlers.stopped || this.isSuspect) return;
    try {
      view.read(delivery.bytes, delivery.start, delivery.end);
    } catch (error) {
      this.report(this.error("REFUSED", "a message that cannot be read was dropped", error));
      return;
    }
    const { sequence } = view;
    if (sequence === 0 || sequence > Number.MAX_SAFE_INTEGER) {
      this.report(this.error("REFUSED", "a message with an impossible sequence was dropped"));
      return;
    }
    if (!view.redelivered && this.#firstNew === 0) this.#firstNew = sequence;
    this.take(view, delivery.bytes);
  }

  // Why: docs/decisions.md#one-run-for-each-message
  /** Takes a message that the server delivered, or that was read from the channel. */
  take(view: MsgProtoView, bytes: Uint8Array): void {
    const { sequence } = view;
    this.#received++;
    if (view.redelivered) this.#redelivered++;
    if (!view.redelivered && this.group.isShared) this.group.members?.delivered();
    const { progress } = this.group;
    if (!progress.receive(sequence, timeOf(view))) {
      this.suspect();
    } else if (progress.isFinished(sequence)) {
      this.#sendAck(sequence);
    } else if (!progress.isActive(sequence)) {
      this.handlers.take(Message.from(this, progress, view, bytes));
    } else if (this.group.isShared) {
      progress.move(sequence);
    }
  }

  /** The server denied the inbox, or a message contradicts earlier ones. */
  suspect(): void {
    this.isSuspect = true;
    this.#events.suspected();
  }

  mustWait(message: Message): boolean {
    return this.group.progress.isBehind(message.sequence);
  }

  starting(message: Message): void {
    if (message.redeliveryCount < OFTEN - 1) return;
    this.#context.notify({ type: "redelivered-often", subscription: this.subscription, message });
  }

  handled(message: Message): void {
    this.#handled++;
    if (this.#settings.manualAck || !message.ack()) message.awaitRedelivery(false);
  }

  failed(message: Message, error: unknown): void {
    this.#failed++;
    message.awaitRedelivery();
    this.#context.notify({ type: "handler-failed", subscription: this.subscription, message, error });
  }

  overflowed(): void {
    const { maxWaitingBytes: most } = this.#context.settings;
    const reason = `more than ${most} bytes wait for handlers; what comes beyond is dropped until its redelivery`;
    this.report(this.error("QUEUE_FULL", reason));
  }

  signalOf(message: Message): Signal {
    return this.handlers.signalOf(message);
  }

  acknowledge(sequence: number, progress: Progress<Message>): boolean {
    if (this.#ended || progress !== this.group.progress) return false;
    if (progress.finish(sequence)) this.#sendAck(sequence);
    if (progress.wasMoved(sequence)) this.group.members?.finished(sequence, this);
    // Later messages may have waited for the redelivery of this one.
    if (this.handlers.waiting > 0) this.handlers.startNext();
    return true;
  }

  acknowledgeMoved(sequence: number): void {
    this.#sendAck(sequence);
  }

  /** Sends an ack for no message. The server then sends as many messages as it may. */
  requestMore(): void {
    this.endpoint?.acknowledge(this.subject, NO_MESSAGE);
  }

  #sendAck(sequence: number): void {
    this.#acknowledged++;
    // The server waits for at most `maxInFlight` acks of each member, and may move messages from one member to another.
    const most = this.#settings.maxInFlight * (this.group.members?.count ?? 1);
    (this.#recentAcks ??= new RecentAcks()).add(sequence, most);
    if (this.endpoint?.acknowledge(this.subject, sequence) !== true) this.#owesAcks = true;
  }

  /** True while the server may lack acks. */
  get owesAcks(): boolean {
    return this.#owesAcks;
  }

  // Why: docs/decisions.md#acks-go-to-the-current-ack-inbox
  /**
   * The subscription is in place, for the first time or again. The acks that were sent into a dying link, or without a
   * link, are sent now. Repeated acks do no harm.
   */
  established(): void {
    this.group.progress.established();
    this.#owesAcks = false;
    for (const sequence of this.#recentAcks ?? []) this.endpoint?.acknowledge(this.subject, sequence);
  }

  /** Uses an endpoint, whose subscription is about to be requested. */
  attach(endpoint: Endpoint): void {
    this.endpoint = endpoint;
    this.isSuspect = false;
    // Earlier acks may belong to a channel before its reset. The server sends pending messages again, and they are
    // acknowledged then.
    this.#recentAcks = undefined;
  }

  /** The connection is gone. */
  lost(): void {
    if (this.endpoint?.lost() === true) this.#owesAcks = true;
    this.group.interrupted();
  }

  /** No handler starts from now on. */
  stop(reason: string): void {
    if (!this.handlers.stopped) this.handlers.stop(this.error("CLOSED", reason));
  }

  /** The subscription has ended. */
  end(): void {
    this.#ended = true;
    this.stop("it is closed");
    this.endpoint?.close();
    this.endpoint = undefined;
    this.#context.queueGroups.leave(this, this.group);
    this.#context.watchdog.unwatch(this);
  }

  /** The channel was reset. Its sequences now name other messages, so the progress starts from nothing. */
  reset(session: Session): void {
    const { group } = this;
    const old = group.progress;
    old.stop();
    group.progress = this.#newProgress();
    group.resetIn = session;
    this.handlers.abort(this.error("CLOSED", "the channel began anew"));
    this.#firstNew = 1;
    const from = old.next ?? 1;
    // There is a gap even if all received messages are finished: the channel may have had more.
    const reason = `the channel began anew: what it held from ${from} on and was not finished is lost`;
    this.#notifyGap(from, Math.max(from, old.highest), reason);
  }

  silent(): void {
    this.#events.silent();
  }

  renew(reason: string): void {
    this.#events.renew(reason);
  }

  #newProgress(): Progress<Message> {
    const { pingInterval, pingMaxOut } = this.#context.settings;
    return new Progress(this.#settings.ackWait, this, this.#context.waitingBytes, pingInterval * (pingMaxOut + 1));
  }

  // Why: docs/decisions.md#missing-messages-of-a-durable
  /** In a group, other members have the messages that are missing here. */
  skipped(from: number, to: number): boolean {
    if (this.#settings.queue !== "") return true;
    if (this.#settings.durable !== "") from = Math.max(from, this.#firstNew || Infinity);
    if (from > to) return true;
    const searched = this.#events.searched(from, to);
    const reason = "the channel does not have these any more: they had expired, or were removed by a limit";
    if (searched) this.#notifyGap(from, to, reason);
    return searched;
  }

  notRedelivered(sequence: number): boolean {
    return this.#settings.queue !== "" || this.#events.searched(sequence, sequence);
  }

  unblocked(): void {
    this.handlers.startNext();
  }

  forgotten(from: number, to: number): void {
    if (this.#settings.queue !== "") return;
    const reason = `too much is finished out of order; messages ${from} to ${to} may be handled again`;
    this.report(this.error("UNCONFIRMED", reason));
  }

  /** Notifies of the messages that a queue group may miss after it was requested again from this sequence on. */
  notifyGapOfGroup(from: number): void {
    if (this.#settings.queue === "" || this.#settings.durable !== "") return;
    const missing = "what members of the group in other processes had and did not finish";
    const reason = `${missing} comes again only if the group outlived the outage`;
    const { next = from, highest } = this.group.progress;
    if (next <= highest) this.#notifyGap(next, highest, reason);
  }

  notifySubscribed(resumed: boolean, from: number | undefined, reason: string | undefined): void {
    const { subscription } = this;
    const details = { ...(from && { from }), ...(reason && { reason }) };
    this.#context.notify({ type: "subscribed", subscription, resumed, ...details });
  }

  #notifyGap(from: number, to: number, reason: string): void {
    this.#context.notify({ type: "gap", subscription: this.subscription, from, to, reason });
  }

  /** Notifies of a failure that does not end the subscription. */
  report(error: StreamingError): void {
    this.#context.notify({ type: "error", error, subscription: this.subscription });
  }

  /** Makes an error that names this subscription. */
  error(code: StreamingError["code"], reason: string, cause?: unknown): StreamingError {
    return new StreamingError(code, `subscribe ${this.subject}: ${reason}`, cause);
  }
}
