import type { Delivery } from "../../core-nats/delivery.ts";
import { MsgProtoView } from "../../pb/data.ts";
import { StreamingError } from "../errors.ts";
import type { Session } from "../session/session.ts";
import type { Signal } from "../signal.ts";
import type { SubscriptionStats } from "../stats.ts";
import type { ClientContext } from "./client-context.ts";
import { FailedMessages } from "./failed-messages.ts";
import type { FailureHost } from "./failed-messages.ts";
import { Gaps } from "./gaps.ts";
import type { GroupMember } from "./group-members.ts";
import { Handlers } from "./handlers.ts";
import type { HandlerEvents, MessageHandler, Outcome } from "./handlers.ts";
import { sameKey } from "./lanes.ts";
import { Message } from "./message.ts";
import type { Acker, Subscription, Verdict } from "./message.ts";
import type { EndpointEvents, Endpoint } from "./endpoint.ts";
import { Progress, timeOf } from "./progress.ts";
import type { ProgressEvents } from "./progress.ts";
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

type Roles = Acker & EndpointEvents & FailureHost & HandlerEvents & ProgressEvents & GroupMember & WatchedSubscription;

/** Takes the messages that the server delivers to a subscription, hands them to the handlers, and sends the acks. */
export class Deliveries implements Roles {
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
  /** Some of the recent acks could not be sent yet, or may be lost. */
  #owesAcks = false;
  /**
   * The first message that the server had not sent before. An earlier process may have acknowledged messages that are
   * missing below it.
   */
  firstNew = 0;
  received = 0;
  #redelivered = 0;
  #handled = 0;
  #failed = 0;
  #acknowledged = 0;
  #ended = false;
  /** Created on first use: an idle subscription keeps none. */
  #failures: FailedMessages | undefined;
  /** Missing messages that later ones wait for. Undefined unless messages are handled in order. */
  readonly #gaps: Gaps | undefined;

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
    const key = settings.key ?? (concurrency === 1 && queue === "" ? sameKey : undefined);
    this.handlers = new Handlers(handler, concurrency, key, queue !== "", waitingBytes, this);
    if (key !== undefined && queue === "") this.#gaps = new Gaps(this.handlers, (...gap) => events.searched(...gap));
    this.group = queueGroups.join(this, subject, queue, durable, () => this.#newProgress());
  }

  /** See `Subscription.stats`. */
  stats(): SubscriptionStats {
    return {
      received: this.received,
      redelivered: this.#redelivered,
      handled: this.#handled,
      failed: this.#failed,
      acknowledged: this.#acknowledged,
      running: this.handlers.running,
      waiting: this.handlers.waiting,
      highest: this.group.progress.highest,
      retrying: this.#failures?.waiting ?? 0,
      paused: this.handlers.paused,
    };
  }

  /** True if messages are handled in order, and none has shown where the server began: missing ones are not seen. */
  get mayBeOvertaken(): boolean {
    const known = this.#settings.durable === "" ? this.group.progress.highest : this.firstNew;
    return this.#gaps !== undefined && known === 0;
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
    if (!view.redelivered && this.firstNew === 0) this.firstNew = sequence;
    this.take(view, delivery.bytes);
  }

  // Why: docs/decisions.md#one-run-for-each-message
  /** Takes a message that the server delivered, or that was read from the channel. */
  take(view: MsgProtoView, bytes: Uint8Array): void {
    const { sequence } = view;
    this.received++;
    if (view.redelivered) this.#redelivered++;
    if (!view.redelivered && this.group.isShared) this.group.members?.delivered();
    const { progress } = this.group;
    const { highest } = progress;
    if (!progress.receive(sequence, timeOf(view))) {
      this.suspect();
      return;
    }
    if (highest > 0 && sequence > highest + 1) this.#findGap(highest + 1, sequence, progress.offset);
    if (progress.isFinished(sequence)) {
      this.#sendAck(sequence);
    } else if (!progress.isActive(sequence)) {
      const message = Message.from(this, progress, view, bytes);
      const isSpent = this.#settings.failure !== undefined && this.#failedMessages.take(message);
      if (!isSpent) this.handlers.take(message);
    } else if (this.group.isShared) {
      progress.move(sequence);
    }
  }

  /** The inbox was denied, or a message contradicts earlier ones. */
  suspect(): void {
    this.isSuspect = true;
    this.#events.suspected();
  }

  /** Messages are missing before this sequence. */
  #findGap(from: number, sequence: number, offset: number): void {
    // An earlier process of a durable may have acknowledged those below the first new one.
    const first = this.#settings.durable === "" ? from : Math.max(from, this.firstNew || Infinity);
    if (first < sequence) this.#gaps?.add(first, sequence - 1, offset);
  }

  /** The channel was searched for missing messages: see `Gaps`. */
  wasSearched(from: number, to: number, known: boolean): void {
    this.#gaps?.searched(from, to, known);
  }

  starting(message: Message): void {
    if (message.redeliveryCount < OFTEN - 1) return;
    this.#context.notify({ type: "redelivered-often", subscription: this.subscription, message });
  }

  handled(message: Message): Outcome {
    this.#handled++;
    const outcome = this.#failures?.handled(message);
    if (outcome !== undefined) return outcome;
    if (this.#settings.manualAck || !message.ack()) message.awaitRedelivery();
    return "done";
  }

  failed(message: Message, error: unknown): Outcome {
    this.#failed++;
    const failures = this.#settings.failure === undefined ? this.#failures : this.#failedMessages;
    const result = failures?.failed(message, error);
    if (result === undefined) message.awaitRedelivery();
    this.#context.notify({ type: "handler-failed", subscription: this.subscription, message, error });
    failures?.notify(message, error, result?.decision);
    return result?.outcome ?? (message.finished || !message.isCurrent ? "done" : "again");
  }

  get #failedMessages(): FailedMessages {
    return (this.#failures ??= new FailedMessages(this.#context, this.#settings, this));
  }

  decide(message: Message, verdict: Verdict): boolean {
    if (this.#ended || !message.isCurrent || message.finished) return false;
    return this.#failedMessages.decide(message, verdict);
  }

  isDecided(message: Message): boolean {
    return this.#failures?.isDecided(message) === true;
  }

  turnedAway(message: Message): void {
    if (this.#settings.failure !== undefined) this.#failedMessages.turnedAway(message);
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
    if (this.#failures?.finished(sequence) === true) return true;
    // Later messages may have waited for the redelivery of this one.
    const order = progress.offset + sequence;
    if (this.handlers.isAwaited(order)) this.handlers.leave(order);
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
    this.endpoint?.noteAck(sequence, most);
    if (this.endpoint?.acknowledge(this.subject, sequence) !== true) this.#owesAcks = true;
  }

  /** True while the server may lack acks. */
  get owesAcks(): boolean {
    return this.#owesAcks;
  }

  /** Undefined while no message has failed. */
  get failures(): FailedMessages | undefined {
    return this.#failures;
  }

  // Why: docs/decisions.md#acks-go-to-the-current-ack-inbox
  /**
   * The subscription is in place, for the first time or again. The acks that were sent into a dying link, or without a
   * link, are sent now. Repeated acks do no harm.
   */
  established(): void {
    this.group.progress.established();
    this.#owesAcks = false;
    this.endpoint?.repeatAcks(this.subject);
  }

  /** Uses an endpoint, whose subscription is about to be requested. Pending messages come again, and are acked then. */
  attach(endpoint: Endpoint): void {
    this.endpoint = endpoint;
    this.isSuspect = false;
  }

  /** The connection is gone. */
  lost(): void {
    if (this.endpoint?.lost() === true) this.#owesAcks = true;
    this.group.interrupted();
  }

  /** No handler starts from now on. */
  stop(reason: string): void {
    if (this.handlers.stopped) return;
    this.handlers.stop(this.error("CLOSED", reason));
    this.#failures?.stop();
  }

  /** The subscription has ended. */
  end(): void {
    this.#ended = true;
    this.stop("it is closed");
    this.#forget();
    this.endpoint?.close();
    this.endpoint = undefined;
    this.#context.queueGroups.leave(this, this.group);
    this.#context.watchdog.unwatch(this);
  }

  /** The channel was reset. */
  reset(session: Session): void {
    const { group } = this;
    const old = group.progress;
    group.reset(this.#newProgress(), session);
    this.forgetChannel();
    group.members?.wasReset(this);
    this.firstNew = 1;
    const from = old.next ?? 1;
    // There is a gap even if all received messages are finished: the channel may have had more.
    const reason = `the channel began anew: what it held from ${from} on and was not finished is lost`;
    this.notifyGap(from, Math.max(from, old.highest), reason);
  }

  forgetChannel(): void {
    this.#forget();
    this.handlers.abort(this.error("CLOSED", "the channel began anew"));
    this.handlers.reset();
  }

  /** Forgets the messages that are to run again, and those that are missing. */
  #forget(): void {
    this.#gaps?.clear();
    this.#failures?.clear();
  }

  silent(): void {
    this.#events.silent();
  }

  renew(reason: string): void {
    this.#events.renew(reason);
  }

  #newProgress(): Progress<Message> {
    const { settings, waitingBytes } = this.#context;
    const unnoticed = settings.pingInterval * (settings.pingMaxOut + 1);
    const before = this.group?.progress;
    const offset = before === undefined ? 0 : before.offset + before.highest;
    return new Progress(this.#settings.ackWait, this, waitingBytes, unnoticed, offset);
  }

  // Why: docs/decisions.md#missing-messages-of-a-durable
  /** In a group, other members have the messages that are missing here. */
  skipped(from: number, to: number): boolean {
    if (this.#settings.queue !== "") return true;
    if (this.#settings.durable !== "") from = Math.max(from, this.firstNew || Infinity);
    if (from > to) return true;
    const searched = this.#events.searched(from, to);
    const reason = "the channel does not have these any more: they had expired, or were removed by a limit";
    if (searched) this.notifyGap(from, to, reason);
    return searched;
  }

  notRedelivered(sequence: number): boolean {
    return this.#settings.queue !== "" || this.#events.searched(sequence, sequence);
  }

  unblocked(sequence: number): void {
    this.handlers.leave(this.group.progress.offset + sequence);
  }

  forgotten(from: number, to: number): void {
    if (this.#settings.queue !== "") return;
    const reason = `too much is finished out of order; messages ${from} to ${to} may be handled again`;
    this.report(this.error("UNCONFIRMED", reason));
  }

  notifyGap(from: number, to: number, reason: string): void {
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
