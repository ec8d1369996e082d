import { deferred, ended, nothing, RETRY_DELAY, settledWithin, sleep, within } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import type { Connection } from "../../core-nats/connection.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import type { Ending } from "../../core-nats/lifetime.ts";
import type { Delivery } from "../../core-nats/parser.ts";
import { MsgProtoView } from "../../pb/protocol.ts";
import { StreamingError } from "../errors.ts";
import { Handlers } from "./handlers.ts";
import type { MessageHandler } from "./handlers.ts";
import { inspectable } from "../inspect.ts";
import { Message } from "./message.ts";
import { checkDrainOptions } from "../options.ts";
import type { DrainOptions, Settings, Signal, SubscribeSettings } from "../options.ts";
import { Place } from "./place.ts";
import { Progress } from "./progress.ts";
import { ServerSide, denied } from "./server-side.ts";
import type { Failure } from "./server-side.ts";
import type { Room } from "./room.ts";
import type { Session } from "../session/session.ts";
import type { Share, Shares } from "./share.ts";
import type { Slots } from "./slots.ts";
import { fromFirst, fromLast, fromSequence, fromStart } from "./start-position.ts";
import type { Start } from "./start-position.ts";
import type { SubscriptionStats } from "../stats.ts";
import type { Tell } from "../status.ts";
import type { Registration, Supervisor } from "../session/supervisor.ts";
import type { Watchdog } from "./watchdog.ts";

/** What was left when a {@link Subscription.drain}, or a drain of the client, ended. */
export interface DrainReport {
  /**
   * Messages that were received, and neither handled to the end nor acknowledged by hand. They come again. A message whose handler
   * failed is among them until it is delivered again. A message that was dropped because of `maxWaitingBytes` is not among them.
   */
  readonly unhandled: readonly Message[];
  /** How many publishes were rejected with `UNCONFIRMED` during the drain: it is unknown whether they are stored. */
  readonly unconfirmed: number;
}

/** @internal What a subscription shares with the client it belongs to and its other subscriptions. */
export interface Household {
  readonly settings: Settings;
  readonly supervisor: Supervisor;
  readonly tell: Tell;
  /** So many may ask the server for a subscription at once. */
  readonly slots: Slots;
  readonly room: Room;
  readonly shares: Shares;
  readonly watchdog: Watchdog;
  /** The end of the client. */
  readonly ending: Ending;
  /** Told of the end of the subscription. */
  readonly left: (subscription: Subscription) => void;
}

/** Sequences that the server may have forgotten although they are stored. */
interface Search {
  readonly from: number;
  readonly to: number;
  /** They were looked for: what is still missing is gone. */
  done: boolean;
}

/** What a subscription has to find out about what the server sends, or does not. */
interface Concern {
  search: Search | undefined;
  /** Nothing has come for long. */
  silent: boolean;
  /** Why the server is to be asked for the subscription again, and how much had been received when it was last. */
  renewal: string | undefined;
  receivedThen: number;
}

type State =
  /** The client is not registered. */
  | { readonly name: "disconnected" }
  /** The client is registered; the server is being asked. */
  | { readonly name: "connected"; readonly registration: Registration }
  /** The server delivers. */
  | { readonly name: "subscribed"; readonly registration: Registration; readonly resumed: boolean; readonly from: number | undefined }
  | { readonly name: "closed"; readonly error: StreamingError | undefined };

/** Deliveries before this one are nothing special. */
const OFTEN = 5;
const REFUSED_DELAY = 1_000;
// Why: docs/decisions.md#an-empty-channel-and-a-queue-group
/** How long a channel that seems to be empty is looked at where that matters, in milliseconds. */
const PATIENCE = 250;
/** How often "duplicate durable registration" is taken for a leftover of our own. */
const DUPLICATE_TRIES = 5;
/** So many messages are read at once that the server has forgotten. */
const MOST_FOUND = 100;
/** Acks that are repeated after a resume: at most as many as the server can wait for, and not without bound. */
const MOST_REPEATED_ACKS = 16_384;

/** No message has this sequence. */
const NO_MESSAGE = 0;

/** One for all subscriptions: a message is read, and what is kept of it copied, before another one comes. */
const view = new MsgProtoView();

// What it is to its parts (`Occupant`, `HandlerEvents`, `ProgressEvents`) is internal, and no part of its published type.
/**
 * A subscription to a channel. The client keeps it across lost connections, lost sessions and channels that begin anew. It ends by
 * {@link Subscription.close}, {@link Subscription.unsubscribe} or {@link Subscription.drain}, with its client, or because the server
 * refuses it for good.
 */
export class Subscription {
  /** The channel. */
  readonly subject: string;

  readonly #household: Household;
  readonly #settings: SubscribeSettings;
  readonly #handlers: Handlers;
  readonly #server: ServerSide;
  readonly #share: Share;
  readonly #leaving = new Lifetime();
  #state: State = { name: "disconnected" };
  /** Until the server has accepted or refused for the first time. */
  #ready: Deferred<void> | undefined;
  #over: Deferred<StreamingError | undefined> | undefined;
  #wish: "close" | "unsubscribe" = "close";
  /** The server was told of the end, or has nothing to be told. */
  #left = false;
  #place: Place | undefined;
  /** There is something for the loop to look into. */
  #wake = new Lifetime();
  /** A message contradicts what was received: nothing is taken until the loop has looked. */
  #doubtful = false;
  /** What else it has to look into; made when it is needed. */
  #concern: Concern | undefined;
  /** When the server was first asked. */
  #since: number | undefined;
  /** The durable that the server may know is of a channel that is no more: it is to be forgotten before it is of use. */
  #forgetFirst = false;
  /** The last acks since the server was asked, in a ring. */
  #recentAcks: number[] | undefined;
  #recentAck = 0;
  /** Some of them could not be sent yet, or were perhaps lost. */
  #owesAcks = false;
  #received = 0;
  #redelivered = 0;
  /** The first message that the server had not sent before. What is missing below may have been acknowledged by an earlier process. */
  #firstNew = 0;
  #handled = 0;
  #failed = 0;
  #acknowledged = 0;

  private constructor(household: Household, subject: string, handler: MessageHandler, settings: SubscribeSettings) {
    const { room, shares, supervisor } = household;
    const { concurrency, queue, durable } = settings;
    this.#household = household;
    this.#settings = settings;
    this.subject = subject;
    // Members of a group need not get again what has failed.
    this.#handlers = new Handlers(handler, concurrency, concurrency === 1 && queue === "", room, this);
    this.#server = new ServerSide(household.settings, supervisor, subject, settings);
    this.#share = shares.join(this, subject, queue, durable, () => this.#newProgress());
  }

  /** @internal Starts the loop. `ready` settles when the server has accepted or refused. */
  static start(
    household: Household,
    subject: string,
    handler: MessageHandler,
    settings: SubscribeSettings,
  ): { subscription: Subscription; ready: Promise<void> } {
    const subscription = new Subscription(household, subject, handler, settings);
    const ready = (subscription.#ready = deferred());
    ready.promise.catch(nothing);
    void subscription.#run();
    return { subscription, ready: ready.promise };
  }

  /**
   * Where the subscription is: `disconnected` while the client is not registered, `connected` while the server is being asked,
   * `subscribed` while the server delivers, `closed` when it has ended.
   */
  get state(): "disconnected" | "connected" | "subscribed" | "closed" {
    return this.#state.name;
  }

  /**
   * Resolves when the subscription has ended. The value is a {@link StreamingError} if the server refused it for good, otherwise
   * undefined. Never rejects.
   */
  get closed(): Promise<StreamingError | undefined> {
    if (this.#over === undefined) {
      this.#over = deferred();
      if (this.#state.name === "closed") this.#over.resolve(this.#state.error);
    }
    return this.#over.promise;
  }

  /**
   * Returns what the subscription has done so far, and what is under way. {@link SubscriptionStats} describes each number. The call is
   * cheap: the subscription keeps these numbers anyway.
   *
   * @example
   * ```ts
   * const { handled, failed, waiting } = subscription.stats();
   * console.log({ handled, failed, waiting });
   * ```
   */
  stats(): SubscriptionStats {
    return {
      received: this.#received,
      redelivered: this.#redelivered,
      handled: this.#handled,
      failed: this.#failed,
      acknowledged: this.#acknowledged,
      running: this.#handlers.running,
      waiting: this.#handlers.waiting,
      highest: this.#share.progress.highest,
    };
  }

  /** @internal */
  get durable(): string {
    return this.#settings.durable;
  }

  /** @internal See `Watched`. */
  get received(): number {
    return this.#received;
  }

  /** @internal */
  get idle(): boolean {
    return this.#state.name === "subscribed" && this.#handlers.running === 0 && this.#handlers.waiting === 0;
  }

  /** @internal */
  get patience(): number {
    return this.#share.progress.patience;
  }

  /** @internal See `Member`. */
  renew(reason: string): void {
    this.#concerned.renewal = reason;
  }

  /** @internal */
  silent(): void {
    this.#concerned.silent = true;
  }

  /** The concern, which the loop looks into as soon as it can. */
  get #concerned(): Concern {
    this.#wake.abort();
    return (this.#concern ??= { search: undefined, silent: false, renewal: undefined, receivedThen: -1 });
  }

  /** @internal True while there are acks that the server may not have. */
  get owesAcks(): boolean {
    return this.#owesAcks;
  }

  /** @internal It has been told to go, and is not gone yet, or it is. */
  get leaves(): boolean {
    return this.#handlers.stopped;
  }

  /** @internal */
  get queue(): string {
    return this.#settings.queue;
  }

  /**
   * Ends the subscription now; {@link Subscription.drain} ends it gracefully. No more handlers start. Acks of handlers that still run
   * are lost, and their messages come again. The server keeps the position of a durable.
   *
   * Resolves when the server has been told, after an outage if there is one, or when the client has ended. Never rejects. If the server
   * refuses, `onStatus` gets an `error`, and the durable cannot be used again until the client ends.
   *
   * @example
   * ```ts
   * await subscription.close();
   * ```
   */
  async close(): Promise<void> {
    this.#leave("close");
    await this.closed;
  }

  /**
   * Does what {@link Subscription.close} does, and the server forgets the durable with its position.
   *
   * Rejects with a {@link StreamingError}. `CLOSED`: the client ended before the server was told, or the durable was closed before; the
   * server still has the durable. `REFUSED` or `NOT_PERMITTED`: the server refuses, or refused the subscription before.
   *
   * @example
   * ```ts
   * await subscription.unsubscribe();
   * ```
   */
  async unsubscribe(): Promise<void> {
    this.#leave("unsubscribe");
    const error = await this.closed;
    if (error !== undefined) throw error;
    if (this.#settings.durable === "" || (this.#left && this.#wish === "unsubscribe")) return;
    const reason = this.#wish === "unsubscribe" ? "the client ended before the server was told" : "the subscription was closed before";
    throw new StreamingError("CLOSED", `unsubscribe ${this.subject}: ${reason}`);
  }

  /**
   * Ends the subscription gracefully. No more handlers start. Handlers that run finish, and their acks still count. Then the
   * subscription closes as by {@link Subscription.close}. The report says which messages come again: {@link DrainReport.unhandled}.
   *
   * The waiting ends after {@link DrainOptions.timeout} milliseconds (default 20 000) in any case, also if a handler waits for this very
   * drain. Leaving the server takes up to `requestTimeout` on top. An aborted {@link DrainOptions.signal} ends the waiting at once.
   * Rejects with a `TypeError` if an option is wrong, and never else.
   *
   * @example
   * ```ts
   * const { unhandled } = await subscription.drain({ timeout: 10_000 });
   * console.log(unhandled.map(({ sequence }) => sequence));
   * ```
   */
  async drain(options: DrainOptions = {}): Promise<Pick<DrainReport, "unhandled">> {
    const { timeout, endings } = checkDrainOptions(options);
    const unhandled = await this.finishHandlers(timeout, ...endings);
    await settledWithin(this.#household.settings.requestTimeout, this.close());
    return { unhandled };
  }

  /** @internal Starts no more handlers and waits for those that run, until closed. Resolves with the messages that are not finished. */
  async finishHandlers(timeout: number, ...endings: readonly Ending[]): Promise<Message[]> {
    // Nothing comes again to one that has ended.
    const ended = this.#state.name === "closed";
    this.#stop("drained");
    const running = await this.#handlers.finish(timeout, this.closed, ...endings);
    const released = ended ? [] : [...this.#share.progress.released()].filter((message) => message.subscription === this);
    return [...running.filter((message) => !message.finished), ...released].sort((a, b) => a.sequence - b.sequence);
  }

  /** @internal See `Message.signal`. */
  signalOf(message: Message): Signal {
    return this.#handlers.signalOf(message);
  }

  #stop(how: "drained" | "closed"): void {
    if (!this.#handlers.stopped) this.#handlers.stop(this.#error("CLOSED", `it is ${how}`));
  }

  /** @internal For a loop over messages, which wants none before it begins. */
  set concurrency(concurrency: number) {
    this.#handlers.concurrency = concurrency;
  }

  // --- a message comes in: received, and on through the handlers; and its ack goes out ---

  /** @internal Called by the place for each message on its inbox. */
  deliver(delivery: Delivery, place: Place): void {
    // In doubt about the channel nothing is taken. It comes again.
    if (place !== this.#place || this.#handlers.stopped || this.#doubtful) return;
    try {
      view.read(delivery.bytes, delivery.start, delivery.end);
    } catch (error) {
      this.#report("REFUSED", "a message that cannot be read was dropped", error);
      return;
    }
    const { sequence } = view;
    if (sequence === 0 || sequence > Number.MAX_SAFE_INTEGER) {
      this.#report("REFUSED", "a message with an impossible sequence was dropped");
      return;
    }
    if (!view.redelivered && this.#firstNew === 0) this.#firstNew = sequence;
    this.#take(view, delivery.bytes);
  }

  // Why: docs/decisions.md#one-run-for-each-message
  #take(view: MsgProtoView, bytes: Uint8Array): void {
    const { sequence } = view;
    this.#received++;
    if (view.redelivered) this.#redelivered++;
    if (!view.redelivered && this.#share.shared) this.#share.members!.given();
    const { progress } = this.#share;
    if (!progress.receive(sequence, timeOf(view))) {
      this.#doubt();
    } else if (progress.isFinished(sequence)) {
      this.#sendAck(sequence);
    } else if (!progress.isActive(sequence)) {
      this.#handlers.take(Message.from(this, progress, view, bytes));
    } else if (this.#share.shared) {
      progress.move(sequence);
    }
  }

  /** @internal */
  mustWait(message: Message): boolean {
    return this.#share.progress.isBehind(message.sequence);
  }

  /** @internal */
  begins(message: Message): void {
    if (message.redeliveryCount < OFTEN - 1) return;
    this.#household.tell({ type: "redelivered-often", subscription: this, message });
  }

  /** @internal */
  handled(message: Message): void {
    this.#handled++;
    if (this.#settings.manualAck || !message.ack()) message.release(false);
  }

  /** @internal */
  failed(message: Message, error: unknown): void {
    this.#failed++;
    message.release();
    this.#household.tell({ type: "handler-failed", subscription: this, message, error });
  }

  /** @internal */
  overflowed(): void {
    const { maxWaitingBytes } = this.#household.settings;
    this.#report("QUEUE_FULL", `more than ${maxWaitingBytes} bytes wait for handlers; what comes beyond is dropped until its redelivery`);
  }

  /** @internal See `Message.ack`. */
  acknowledge(sequence: number, progress: Progress<Message>): boolean {
    if (this.#state.name === "closed" || progress !== this.#share.progress) return false;
    if (progress.finish(sequence)) this.#sendAck(sequence);
    if (progress.wasMoved(sequence)) this.#share.members?.finished(sequence, this);
    // It may have been the one for whose return others wait.
    if (this.#handlers.waiting > 0) this.#handlers.next();
    return true;
  }

  /** @internal See `Members.finished`. */
  acknowledgeToo(sequence: number): void {
    this.#sendAck(sequence);
  }

  /** @internal An ack that is for no message, after which the server sends what it may. */
  poke(): void {
    this.#place?.acknowledge(this.subject, NO_MESSAGE);
  }

  #sendAck(sequence: number): void {
    this.#acknowledged++;
    (this.#recentAcks ??= [])[this.#recentAck] = sequence;
    // The server waits for no more of this subscription; but messages may move from one member of a group to another.
    const most = this.#settings.maxInFlight * (this.#share.members?.count ?? 1);
    this.#recentAck = this.#recentAck + 1 < Math.min(most, MOST_REPEATED_ACKS) ? this.#recentAck + 1 : 0;
    if (this.#place?.acknowledge(this.subject, sequence) !== true) this.#owesAcks = true;
  }

  // Why: docs/decisions.md#acks-go-to-the-current-ack-inbox
  /** Acks that were sent into a dying link, or while there was none, are told now. Doubles do no harm. */
  #repeatAcks(): void {
    this.#owesAcks = false;
    for (const sequence of this.#recentAcks ?? []) this.#place?.acknowledge(this.subject, sequence);
  }

  // --- the supervisor's word ---

  /** @internal */
  open(connection: Connection, session: Session | undefined): void {
    if (this.#place !== undefined && this.#place.session === session) this.#place.open(connection);
  }

  /** @internal */
  resume(registration: Registration): void {
    if (this.#place?.session !== registration.session) return;
    this.#repeatAcks();
    this.#share.progress.established();
    this.#share.members?.resumed();
    this.#household.watchdog.watch(this);
  }

  /** @internal Whoever was in charge may be gone, with what was on the way from there. */
  suspend(): void {
    this.#interrupted();
  }

  /** @internal */
  lost(): void {
    if (this.#place?.lost() === true) this.#owesAcks = true;
    this.#interrupted();
  }

  #interrupted(): void {
    if (this.#concern !== undefined) this.#concern.search = undefined;
    this.#share.interrupted();
  }

  /** @internal The server denied the inbox. */
  disturb(): void {
    this.#doubt();
  }

  #doubt(): void {
    this.#doubtful = true;
    this.#wake.abort();
  }

  // --- the loop ---

  // Why: docs/decisions.md#states-are-loops
  async #run(): Promise<void> {
    while (this.#state.name !== "closed") {
      const state: State = this.#state;
      try {
        this.#state = await this.#live(state);
      } catch (error) {
        // Not expected, and no reason to end.
        this.#report("UNCONFIRMED", "an unexpected failure", error);
        await sleep(REFUSED_DELAY, this.#household.ending);
        this.#state = { name: "disconnected" };
      }
    }
    this.#end(this.#state.error);
  }

  #live(state: State): Promise<State> | State {
    switch (state.name) {
      case "disconnected":
        return this.#disconnected();
      case "connected":
        return this.#connected(state);
      case "subscribed":
        return this.#subscribed(state);
      default:
        return state;
    }
  }

  async #disconnected(): Promise<State> {
    const { ending, supervisor } = this.#household;
    const nothingToUndo = this.#place === undefined && !this.#server.haunted && !this.#mustForget;
    const { lifetime, release } = nothingToUndo ? within(ending, this.#leaving) : within(ending);
    const registration = await supervisor.registered(lifetime);
    release();
    if (registration !== undefined) return { name: "connected", registration };
    // What was asked for meanwhile may be for the server to do: then it waits on.
    return this.#mustForget && !ending.aborted ? { name: "disconnected" } : this.#closed();
  }

  async #connected({ registration }: State & { name: "connected" }): Promise<State> {
    const { session, over } = registration;
    const { ending, slots } = this.#household;
    if (this.#place !== undefined && this.#place.session === session && this.#place.ackInbox !== "") {
      return { name: "subscribed", registration, resumed: true, from: undefined };
    }
    this.#place?.shut();
    this.#place = undefined;
    this.#server.enter(session);
    await slots.take(over, ending);
    try {
      return await this.#subscribe(registration);
    } finally {
      slots.release();
    }
  }

  async #subscribe(registration: Registration): Promise<State> {
    const { connection, session, over } = registration;
    const { ending, supervisor } = this.#household;
    const share = this.#share;
    for (let duplicates = 0; ; ) {
      if (ending.aborted) return this.#closed();
      if (over.aborted || connection.ended.aborted) return { name: "disconnected" };
      if (!(await this.#server.leftovers(registration))) return { name: "connected", registration };
      if (this.#leaving.aborted && !this.#mustForget) return this.#closed(true);

      const again = this.#since !== undefined;
      if (again && share.anewIn !== session && share.progress.highest > 0) {
        const asked = await this.#lookForNewBeginning(registration);
        if (!asked) return { name: "connected", registration };
      }
      const goesOn = again && share.anewIn !== session;
      let from = goesOn ? share.progress.cursor : undefined;
      if (goesOn && from === undefined && this.#settings.startAt === "lastReceived" && this.durable === "") {
        const last = await this.#lookForLast(registration);
        if (last === undefined) return { name: "connected", registration };
        from = last || undefined;
      }
      const failure = await this.#ask(registration, from);
      if (failure === undefined && this.#forgetFirst) {
        this.#forgetFirst = false;
        this.#giveUpPlace(true);
        continue;
      }
      if (failure === undefined) {
        // Of one that is renewed in its session, the group has outlived it.
        if (again && this.#concern?.renewal === undefined) this.#tellOfGroup(from);
        return { name: "subscribed", registration, resumed: again, from };
      }
      if (over.aborted || connection.ended.aborted || ending.aborted) continue;
      const error = this.#error(failure.code, failure.text, failure.cause);
      switch (failure.class) {
        case "permanent":
          return { name: "closed", error };
        case "duplicate-durable":
          if (++duplicates > DUPLICATE_TRIES) return { name: "closed", error };
          this.#server.suspectAll();
          await sleep(RETRY_DELAY, over, ending);
          break;
        case "session-lost":
          supervisor.verify(failure.code === "NO_SERVER" ? error : undefined);
          await sleep(RETRY_DELAY, over, ending);
          return { name: "disconnected" };
        default:
          this.#household.tell({ type: "error", error, subscription: this });
          await sleep(REFUSED_DELAY, over, ending);
          // The slot goes round: those that cannot be had must not keep out the rest.
          return { name: "connected", registration };
      }
    }
  }

  // Why: docs/decisions.md#a-last-message-that-was-lost-on-its-way
  /**
   * Looks which message was the last one when the server was first asked, where nothing tells: it was on its way when the
   * session was lost. That is the one before those that were stored since, or the last one still. Resolves with 0 if there is
   * none, with undefined if that is not known yet.
   */
  async #lookForLast(registration: Registration): Promise<number | undefined> {
    const last = await this.#server.look(registration, fromLast, 0, nothing);
    // An empty channel is as good as one whose first message is yet to come; many may have one, and none should wait for it.
    if (!last) return last;
    const since = this.#start(registration.session, undefined);
    const next = await this.#server.look(registration, since, this.#household.settings.requestTimeout, nothing);
    return next === 0 ? last : next && next - 1;
  }

  /** Asks for the subscription, on a new inbox. Resolves with undefined when it is in place, else with why it is not. */
  async #ask(registration: Registration, from: number | undefined): Promise<Failure | undefined> {
    const { connection, session } = registration;
    const place = new Place(this, session, this.#server.inbox());
    this.#wake = new Lifetime();
    this.#doubtful = false;
    this.#place = place;
    // Those before may be of a channel that is no more; what is still pending comes again, and is acknowledged then.
    this.#recentAcks = undefined;
    this.#recentAck = 0;
    place.open(connection);
    const { stopwatch } = this.#household.supervisor;
    // Whole: a fraction takes 16 bytes more, in each of thousands.
    const since = Math.trunc(stopwatch.now);
    const failure = await this.#server.subscribe(registration, place.inbox, this.#start(session, from), (ackInbox) => {
      // In the turn in which the answer came: messages may follow in the very same bytes.
      place.ackInbox = ackInbox;
      if (this.#since !== undefined) this.#household.watchdog.watch(this);
      this.#since ??= since;
      this.#share.progress.established();
      this.#repeatAcks();
    });
    if (failure === undefined && place.deniedBy === undefined) return undefined;
    this.#giveUpPlace(false);
    return place.deniedBy === undefined ? failure : denied(place.deniedBy);
  }

  /** Where the server is to begin, if it does not know better: a durable, or a group that exists, goes on where it was. */
  #start(session: Session, from: number | undefined): Start {
    if (this.#share.anewIn === session) return fromFirst;
    if (from !== undefined) return fromSequence(from);
    const { requestTimeout } = this.#household.settings;
    const { stopwatch } = this.#household.supervisor;
    return fromStart(this.#settings.startAt, this.#since === undefined ? undefined : stopwatch.now - this.#since, requestTimeout);
  }

  async #subscribed({ registration, resumed, from }: State & { name: "subscribed" }): Promise<State> {
    this.#tellSubscribed(resumed, from);
    const { connection, over } = registration;
    const { ending } = this.#household;
    for (;;) {
      await ended(over, connection.ended, ending, this.#leaving, this.#wake);
      if (ending.aborted) return this.#closed();
      if (over.aborted || connection.ended.aborted) return { name: "disconnected" };
      if (this.#leaving.aborted) return this.#takeLeave(registration);
      const next = await this.#lookInto(registration);
      if (next !== undefined) return next;
    }
  }

  /** Looks into what has woken the loop. Resolves with undefined if the subscription stays as it is. */
  async #lookInto(registration: Registration): Promise<State | undefined> {
    if (this.#doubtful) return this.#lookIntoDoubt(registration);
    this.#wake = new Lifetime();
    const concern = this.#concern;
    if (concern?.search?.done === false) await this.#find(registration, concern, concern.search);
    if (concern?.silent === true) await this.#lookIntoSilence(registration, concern);
    if (concern?.renewal === undefined) return undefined;
    this.#giveUpPlace(false);
    return { name: "connected", registration };
  }

  #tellSubscribed(resumed: boolean, from: number | undefined): void {
    const reason = this.#concern?.renewal;
    if (this.#concern !== undefined) this.#concern.renewal = undefined;
    const told = { type: "subscribed", subscription: this, resumed, ...(from && { from }), ...(reason && { reason }) } as const;
    if (!this.#leaving.aborted) this.#household.tell(told);
    this.#ready?.resolve();
    this.#ready = undefined;
  }

  // Why: docs/decisions.md#doubt-about-the-channel
  /**
   * The inbox was denied, or a message contradicts what was received: of another channel, or stored by a leader whose clock is
   * behind. Resolves with undefined if the subscription stays as it is.
   */
  async #lookIntoDoubt(registration: Registration): Promise<State | undefined> {
    const refused = this.#place?.deniedBy;
    if (refused !== undefined) {
      this.#giveUpPlace(false);
      return { name: "closed", error: this.#error("NOT_PERMITTED", refused.reason, refused) };
    }
    const { progress } = this.#share;
    const known = await this.#lookForNewBeginning(registration);
    if (progress !== this.#share.progress) {
      this.#forgetFirst = false;
      this.#giveUpPlace(this.#settings.durable !== "");
      return { name: "connected", registration };
    }
    if (!known) return undefined;
    const { suspected } = progress;
    progress.confirm();
    if (!suspected) {
      this.#doubtful = false;
      // What came meanwhile was not taken, nor was it noted whom it came to.
      if (this.#share.shared) progress.moveAll();
      return undefined;
    }
    // Nothing has been taken since it was asked for: rather than after `ackWait`, that is to come now.
    this.#giveUpPlace(false);
    return { name: "connected", registration };
  }

  /**
   * Nothing came for long, and nothing is in hand. If the channel has more than was received, the server has forgotten to
   * feed the subscription, or a new leader takes for done what it was to be sent: it is asked for again, once.
   */
  async #lookIntoSilence(registration: Registration, concern: Concern): Promise<void> {
    concern.silent = false;
    if (this.#share.members !== undefined) this.poke();
    const { highest } = this.#share.progress;
    const received = this.#received;
    const { queue, durable, startAt, maxInFlight } = this.#settings;
    // An earlier process may have had all that is there, and so may other members, or all may have been there before.
    const known = durable !== "" && queue === "" ? this.#firstNew > 0 : highest > 0 || startAt === "first";
    if (!known) return;
    const last = await this.#server.look(registration, fromLast, PATIENCE, nothing);
    if (last === undefined) this.#household.watchdog.watch(this);
    if (last === undefined || last <= highest) return;
    // The last one may be on its way.
    await sleep(PATIENCE, registration.over, this.#leaving);
    if (registration.over.aborted || this.#leaving.aborted || this.#received !== received) return;
    // The server does not send a durable again what it takes for done.
    const to = Math.min(last, highest + maxInFlight);
    if (durable !== "" && queue === "") await this.#find(registration, concern, { from: highest + 1, to, done: false });
    if (concern.receivedThen === received) return;
    concern.receivedThen = this.#received;
    concern.renewal = `nothing came for ${Math.round(this.patience / 1000)} s, and the channel has messages up to ${last}`;
  }

  // Why: docs/decisions.md#missing-messages-are-read-from-the-channel
  /**
   * Reads messages that the server does not send, and hands them on like deliveries. What is neither received nor in hand
   * then is gone.
   */
  async #find(registration: Registration, concern: Concern, search: Search): Promise<void> {
    const { progress } = this.#share;
    const { over } = registration;
    const most = Math.min(this.#settings.maxInFlight, MOST_FOUND);
    for (let next = search.from; next <= search.to; ) {
      const { waiting } = this.#handlers;
      const last = await this.#server.read(registration, fromSequence(next), most, PATIENCE, (found, bytes) => {
        if (found.sequence > search.to || progress !== this.#share.progress) return;
        found.redelivered = true;
        this.#take(found, bytes);
      });
      // Nothing shown proves nothing, while the channel has something there.
      const unclear = last === 0 && (await this.#hasAny(registration, next));
      if (last === undefined || unclear || this.#doubtful || this.#handlers.stopped) {
        // It will be asked for again.
        concern.search = undefined;
        return;
      }
      next = last === 0 ? Infinity : last + 1;
      while (this.#handlers.waiting > waiting && !over.aborted && !this.#handlers.stopped) await sleep(RETRY_DELAY, over, this.#leaving);
    }
    search.done = true;
    progress.look();
  }

  /** Whether the channel has that message or a later one, or that is not known. */
  async #hasAny(registration: Registration, from: number): Promise<boolean> {
    const last = await this.#server.look(registration, fromLast, this.#household.settings.requestTimeout, nothing);
    return last === undefined || last >= from;
  }

  /** Tells the server that the subscription is over, until it has answered. */
  async #takeLeave(registration: Registration): Promise<State> {
    const { ending, supervisor } = this.#household;
    const place = this.#place!;
    while (!ending.aborted) {
      if (registration.over.aborted) return { name: "disconnected" };
      const failure = await this.#server.leave(registration, place.ackInbox, this.#wish === "unsubscribe");
      if (failure === undefined || failure.class === "gone") return this.#closed(true);
      if (failure.class === "permanent") {
        const error = new StreamingError(failure.code, `${this.#wish} ${this.subject}: ${failure.text}`, failure.cause);
        // Whoever unsubscribes is told by a rejection.
        if (this.#wish === "close") this.#household.tell({ type: "error", error, subscription: this });
        return { name: "closed", error };
      }
      if (failure.class === "session-lost") supervisor.verify();
      await sleep(RETRY_DELAY, registration.over, ending);
    }
    return this.#closed();
  }

  #closed(left = false): State {
    this.#left ||= left;
    return { name: "closed", error: undefined };
  }

  #leave(wish: "close" | "unsubscribe"): void {
    if (this.#state.name === "closed" || this.#leaving.aborted) return;
    this.#wish = wish;
    this.#stop("closed");
    this.#leaving.abort();
  }

  #end(error: StreamingError | undefined): void {
    this.#stop("closed");
    this.#place?.shut();
    this.#place = undefined;
    this.#household.shares.leave(this, this.#share);
    this.#household.watchdog.forget(this);
    this.#ready?.reject(error ?? new StreamingError("CLOSED", `subscribe ${this.subject}: closed`));
    this.#household.left(this);
    this.#over?.resolve(error);
  }

  /** A durable is to be forgotten, which the server does only for one that is subscribed. */
  get #mustForget(): boolean {
    return this.#wish === "unsubscribe" && this.#settings.durable !== "" && this.#leaving.aborted;
  }

  /** Lets go of the place; the server is told before anything else is asked of it. */
  #giveUpPlace(forget: boolean): void {
    const place = this.#place;
    if (place === undefined) return;
    place.shut();
    this.#place = undefined;
    this.#server.giveUp(place.inbox, place.ackInbox, forget);
  }

  // --- a channel that begins anew: a memory store that was restarted, a channel that was deleted; it counts from 1 again ---

  // Why: docs/decisions.md#detection-of-a-channel-reset
  /**
   * Looks whether the channel is another one now. Its last message tells; or where that is beyond the highest sequence
   * that was received, the message that has this sequence. If that was removed, all before it were too, and none of them
   * can be taken for another. False: not known yet.
   */
  async #lookForNewBeginning(registration: Registration): Promise<boolean> {
    const { progress } = this.#share;
    const { highest, timeOfHighest } = progress;
    let anew = false;
    const look = (start: Start, patience: number): Promise<number | undefined> =>
      this.#server.look(registration, start, patience, (message) => {
        const { sequence } = message;
        // Why: docs/decisions.md#equal-times-not-later-times
        anew = sequence < highest || (sequence === highest && timeOf(message) !== timeOfHighest);
      });
    // Nothing to see: an empty channel is as good as a new one. That matters to a group, which is wherever its first member
    // began, for good; and in doubt. For the rest it is not worth to wait for: they find out by the next message.
    const matters = this.#settings.queue !== "" || this.#doubtful;
    let seen = await look(fromLast, matters ? PATIENCE : 0);
    if (seen === 0) {
      // A message had an old number, so there is one: the server is busy.
      if (matters && progress.suspected) return false;
      // For the first message that could be of both, should the clock of a new one be behind.
      progress.suspected = !matters;
      anew = matters;
    }
    if (seen !== undefined && seen > highest) seen = (await look(fromSequence(highest), PATIENCE)) || undefined;
    if (seen === undefined) return false;
    // Another member of the group may have found out meanwhile, and finished what is in the new channel.
    if (anew && this.#share.progress === progress) this.#loseProgress(registration.session);
    return true;
  }

  /** What was finished says nothing about the messages that now have these numbers. */
  #loseProgress(session: Session): void {
    const share = this.#share;
    const old = share.progress;
    old.stop();
    share.progress = this.#newProgress();
    share.anewIn = session;
    this.#handlers.abort(this.#error("CLOSED", "the channel began anew"));
    this.#firstNew = 1;
    this.#forgetFirst = this.#settings.durable !== "" && this.#settings.queue === "";
    const from = old.next ?? 1;
    // Also where all that was received is finished: there may have been more.
    this.#tellGap(from, Math.max(from, old.highest), `the channel began anew: what it held from ${from} on and was not finished is lost`);
  }

  #newProgress(): Progress<Message> {
    const { pingInterval, pingMaxOut } = this.#household.settings;
    return new Progress(this.#settings.ackWait, this, this.#household.room, pingInterval * (pingMaxOut + 1));
  }

  // --- what is told ---

  // Why: docs/decisions.md#missing-messages-of-a-durable
  /** @internal In a group, others have what is missing here. */
  skipped(from: number, to: number): boolean {
    if (this.#settings.queue !== "") return true;
    if (this.#settings.durable !== "") from = Math.max(from, this.#firstNew || Infinity);
    if (from > to) return true;
    const searched = this.#searched(from, to);
    if (searched) this.#tellGap(from, to, "the channel does not have these any more: they had expired, or were removed by a limit");
    return searched;
  }

  /** @internal */
  dropped(sequence: number): boolean {
    return this.#settings.queue !== "" || this.#searched(sequence, sequence);
  }

  /** @internal */
  freed(): void {
    this.#handlers.next();
  }

  /** True if the server was asked for these; else it is asked soon. */
  #searched(from: number, to: number): boolean {
    const search = this.#concern?.search;
    if (search?.done === true && search.from <= from && to <= search.to) return true;
    if (search === undefined || search.done) this.#concerned.search = { from, to, done: false };
    return false;
  }

  /** @internal */
  forgotten(from: number, to: number): void {
    if (this.#settings.queue !== "") return;
    this.#report("UNCONFIRMED", `too much is finished out of order; messages ${from} to ${to} may be handled again`);
  }

  #tellOfGroup(from: number | undefined): void {
    if (this.#settings.queue === "" || this.#settings.durable !== "" || from === undefined) return;
    const reason = "what members of the group in other processes had and did not finish comes again only if the group outlived the outage";
    const { next = from, highest } = this.#share.progress;
    if (next <= highest) this.#tellGap(next, highest, reason);
  }

  #tellGap(from: number, to: number, reason: string): void {
    this.#household.tell({ type: "gap", subscription: this, from, to, reason });
  }

  #report(code: StreamingError["code"], reason: string, cause?: unknown): void {
    this.#household.tell({ type: "error", error: this.#error(code, reason, cause), subscription: this });
  }

  #error(code: StreamingError["code"], reason: string, cause?: unknown): StreamingError {
    return new StreamingError(code, `subscribe ${this.subject}: ${reason}`, cause);
  }
}

inspectable(Subscription, (subscription) => {
  const { subject, queue, durable, state } = subscription;
  return { subject, ...(queue && { queue }), ...(durable && { durable }), state, ...subscription.stats() };
});

/** Nanoseconds since 1970, to the nearest 256 or so: enough to tell which of two messages was stored later. */
function timeOf({ timestampHigh, timestampLow }: MsgProtoView): number {
  return timestampHigh * 2 ** 32 + timestampLow;
}
