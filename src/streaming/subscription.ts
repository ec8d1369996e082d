import { deferred, ended, settledWithin, sleep, within } from "../core-nats/async.ts";
import type { Connection, Receiver } from "../core-nats/connection.ts";
import { subjectRule } from "../core-nats/connection.ts";
import { NatsError } from "../core-nats/errors.ts";
import { Lifetime } from "../core-nats/lifetime.ts";
import type { Ending } from "../core-nats/lifetime.ts";
import { nuid } from "../core-nats/nuid.ts";
import type { Delivery } from "../core-nats/parser.ts";
import { Ack, MsgProtoView, StartPosition, SubscriptionRequest, SubscriptionResponse, UnsubscribeRequest } from "../pb/protocol.ts";
import { encode } from "../pb/wire.ts";
import { StreamingError, classify } from "./errors.ts";
import type { AnswerClass, StreamingErrorCode } from "./errors.ts";
import { Message } from "./message.ts";
import type { Settings, SubscribeSettings } from "./options.ts";
import { checkTimeout } from "./options.ts";
import { Progress } from "./progress.ts";
import { Queue } from "./queue.ts";
import type { Session } from "./session.ts";
import type { Slots } from "./slots.ts";
import type { Tell } from "./status.ts";
import type { Registration, Supervisor } from "./supervisor.ts";

/** Called for each message. The message is acknowledged when the returned promise resolves, unless `manualAck` is set. */
export type MessageHandler = (message: Message) => unknown;

/** What was left when a drain ended. */
export interface DrainReport {
  /** Received, and not handled to the end: these come again. */
  readonly unhandled: readonly Message[];
  /** Publishes whose outcome stayed unknown. */
  readonly unconfirmed: number;
}

/** @internal What a subscription shares with the client it belongs to and its other subscriptions. */
export interface Household {
  readonly settings: Settings;
  readonly supervisor: Supervisor;
  readonly tell: Tell;
  /** So many may ask the server for a subscription at once. */
  readonly slots: Slots;
  /** Bytes of all messages that wait for a handler. */
  readonly waiting: { bytes: number };
  /** The end of the client. */
  readonly ending: Ending;
  /** What the members of a queue group share in this client. */
  readonly groups: Map<string, Share>;
}

/** @internal The progress of a subscription, or of all members of a queue group in one client. */
interface Share {
  progress: Progress;
  members: number;
  /** The session in which the channel was found to have begun anew: in it, everything is read from the first message. */
  anewIn: Session | undefined;
}

/** Why the server could not be asked, or what it said. */
interface Failure {
  readonly class: AnswerClass;
  readonly code: StreamingErrorCode;
  readonly text: string;
  readonly cause: unknown;
}

type State =
  /** The client is not registered. */
  | { readonly name: "disconnected" }
  /** The client is registered; the server is being asked. */
  | { readonly name: "connected"; readonly registration: Registration }
  /** The server delivers. */
  | { readonly name: "subscribed"; readonly registration: Registration; readonly resumed: boolean; readonly from: number | undefined }
  | { readonly name: "closed"; readonly error: StreamingError | undefined };

/** What a message costs while it waits, beyond its data. */
const WAITING_OVERHEAD = 256;
/** Deliveries up to this one are nothing special. */
const OFTEN = 5;
const RETRY_DELAY = 250;
const REFUSED_DELAY = 1_000;
/** How often "duplicate durable registration" is taken for a leftover of our own. */
const DUPLICATE_TRIES = 5;
/** Acks that are repeated after a resume: at most as many as the server can wait for, and not without bound. */
const MOST_REPEATED_ACKS = 16_384;
const NANOSECONDS_PER_MILLISECOND = 1_000_000n;

const encoder = new TextEncoder();

/** The subscription as the server has it: an inbox of ours, and once the server has answered, its ack inbox. */
class Place implements Receiver {
  readonly session: Session;
  readonly inbox: string;
  readonly #subscription: Subscription;
  #ackInbox = "";
  /** The PUB of an ack up to its size. */
  ackHead: Uint8Array | undefined;
  link: { readonly connection: Connection; readonly sid: number } | undefined;
  deniedBy: NatsError | undefined;

  constructor(subscription: Subscription, session: Session, inbox: string) {
    this.#subscription = subscription;
    this.session = session;
    this.inbox = inbox;
  }

  get ackInbox(): string {
    return this.#ackInbox;
  }

  set ackInbox(subject: string) {
    this.#ackInbox = subject;
    this.ackHead = encoder.encode(`PUB ${subject} `);
  }

  open(connection: Connection): void {
    this.link = { connection, sid: connection.subscribe(this.inbox, this) };
  }

  shut(): void {
    this.link?.connection.unsubscribe(this.link.sid);
    this.link = undefined;
  }

  deliver(delivery: Delivery): void {
    this.#subscription.received(delivery, this);
  }

  denied(error: NatsError): void {
    this.deniedBy = error;
    this.#subscription.disturb();
  }
}

/**
 * A subscription that is kept: across lost connections, lost sessions and channels that begin anew. It ends by `close`,
 * `unsubscribe` or `drain`, with its client, or because the server refuses it for good.
 */
export class Subscription {
  readonly subject: string;
  /** Resolves when the subscription has ended; with the cause, where the server refused it for good. Never rejects. */
  readonly closed: Promise<StreamingError | undefined>;

  readonly #household: Household;
  readonly #handler: MessageHandler;
  readonly #settings: SubscribeSettings;
  readonly #subjectBytes: Uint8Array;
  readonly #first = deferred();
  readonly #over = deferred<StreamingError | undefined>();
  readonly #leaving = new Lifetime();
  readonly #view = new MsgProtoView();
  readonly #waiting = new Queue<Message>();
  readonly #running = new Set<Message>();
  readonly #recentAcks: number[] = [];
  #recentAck = 0;
  #state: State = { name: "disconnected" };
  #wish: "close" | "unsubscribe" = "close";
  #disturbed = new Lifetime();
  #idle = deferred();
  /** No handler starts any more. */
  #stopped = false;
  #overflowing = false;
  readonly #share: Share;
  #place: Place | undefined;
  /** Inboxes of subscriptions that the server may have and nobody wants, of the session they were asked for in. */
  #ghosts: { readonly inbox: string; readonly forget: boolean }[] = [];
  #ghostSession: Session | undefined;
  /** Inboxes that were asked for in that session and given up. */
  readonly #formerInboxes: string[] = [];
  /** When the server was first asked successfully, by both clocks: one of them may stand still while a machine is suspended. */
  #since: { readonly monotonic: number; readonly wall: number; readonly answered: number } | undefined;
  /** By how much more than that a start in the past is put back. */
  #putBack = 0;
  /** The durable that the server may know is of a channel that is no more: it is to be forgotten before it is of use. */
  #forgetFirst = false;
  /** The server was told, or has nothing to be told. */
  #left = false;

  private constructor(household: Household, subject: string, handler: MessageHandler, settings: SubscribeSettings) {
    this.#household = household;
    this.subject = subject;
    this.#subjectBytes = encoder.encode(subject);
    this.#handler = handler;
    this.#settings = settings;
    this.#share = this.#join();
    this.closed = this.#over.promise;
    this.#first.promise.catch(nothing);
  }

  /** @internal Starts the loop. `ready` settles when the server has accepted or refused. */
  static start(
    household: Household,
    subject: string,
    handler: MessageHandler,
    settings: SubscribeSettings,
  ): { subscription: Subscription; ready: Promise<void> } {
    const subscription = new Subscription(household, subject, handler, settings);
    void subscription.#run();
    return { subscription, ready: subscription.#first.promise };
  }

  get state(): "disconnected" | "connected" | "subscribed" | "closed" {
    return this.#state.name;
  }

  /** @internal */
  get durable(): string {
    return this.#settings.durable;
  }

  /** @internal */
  get queue(): string {
    return this.#settings.queue;
  }

  /**
   * Starts no more handlers and leaves; the server keeps a durable's position. Resolves when the server has been told,
   * after an outage if there is one, or the client has ended. Acks of handlers that still run are lost.
   */
  close(): Promise<void> {
    this.#leave("close");
    return this.#over.promise.then(nothing);
  }

  /**
   * Like `close`, and the server forgets a durable. Rejects with `CLOSED` if the client ended before the server was told.
   */
  async unsubscribe(): Promise<void> {
    this.#leave("unsubscribe");
    const error = await this.#over.promise;
    if (error !== undefined) throw error;
    if (!this.#left && this.#settings.durable !== "") {
      throw new StreamingError("CLOSED", `unsubscribe ${this.subject}: the client ended before the server was told`);
    }
  }

  /**
   * Starts no more handlers, waits for those that run, whose acks still count, and closes. Ends in any case after
   * `timeout` milliseconds (default 20 000) and what leaving takes; the report says what is left.
   */
  async drain(options: { timeout?: number | undefined } = {}): Promise<DrainReport> {
    const timeout = checkTimeout("timeout", options.timeout, 20_000);
    const unhandled = await this.finishHandlers(timeout);
    const closing = this.close();
    await settledWithin(this.#household.settings.requestTimeout, closing);
    return { unhandled, unconfirmed: 0 };
  }

  /** @internal Starts no more handlers and waits for those that run, until closed. Resolves with the messages that were not handled. */
  async finishHandlers(timeout: number): Promise<Message[]> {
    const waiting = this.#stop();
    if (this.#running.size > 0) await settledWithin(timeout, Promise.race([this.#idle.promise, this.#over.promise]));
    return [...this.#running, ...waiting];
  }

  // --- a delivered message, in the order in which it goes: received, taken, run, handled, acknowledged ---

  /** @internal Called by the connection for each message on the inbox of a place. */
  received(delivery: Delivery, place: Place): void {
    if (place !== this.#place || this.#stopped) return;
    const view = this.#view;
    try {
      view.read(delivery.bytes, delivery.start, delivery.end);
    } catch (error) {
      this.#report(new StreamingError("REFUSED", `subscribe ${this.subject}: a message that cannot be read was dropped`, error));
      return;
    }
    const sequence = view.sequence;
    if (sequence === 0 || sequence > Number.MAX_SAFE_INTEGER) {
      this.#report(new StreamingError("REFUSED", `subscribe ${this.subject}: a message with an impossible sequence was dropped`));
      return;
    }
    const { progress } = this.#share;
    if (!progress.receive(sequence, timeOf(view))) {
      this.#beginAnew();
      return;
    }
    if (progress.isFinished(sequence)) {
      this.#sendAck(sequence);
    } else if (!progress.isActive(sequence)) {
      this.#take(Message.from(this, progress, view, delivery.bytes));
    }
  }

  #take(message: Message): void {
    if (this.#running.size < this.#settings.concurrency && this.#waiting.length === 0) {
      this.#start(message);
      return;
    }
    const { waiting, settings } = this.#household;
    const bytes = message.data.length + WAITING_OVERHEAD;
    if (waiting.bytes + bytes > settings.maxWaitingBytes && waiting.bytes > 0) {
      // Its next delivery is as good as its first; until then it is not missing for good.
      this.#share.progress.release(message.sequence);
      if (!this.#overflowing) {
        this.#overflowing = true;
        const text = `subscribe ${this.subject}: more than ${settings.maxWaitingBytes} bytes wait for handlers; what comes beyond is dropped until its redelivery`;
        this.#report(new StreamingError("QUEUE_FULL", text));
      }
      return;
    }
    waiting.bytes += bytes;
    this.#share.progress.begin(message.sequence);
    this.#waiting.push(message);
  }

  #start(message: Message): void {
    if (message.redeliveryCount >= OFTEN - 1) this.#household.tell({ type: "redelivered-often", subscription: this, message });
    let result: unknown;
    try {
      result = this.#handler(message);
    } catch (error) {
      this.#failed(message, error);
      return;
    }
    if (!isThenable(result)) {
      this.#handled(message);
      return;
    }
    message.hold();
    this.#running.add(message);
    result.then(
      () => {
        this.#running.delete(message);
        this.#handled(message);
        this.#next();
      },
      (error: unknown) => {
        this.#running.delete(message);
        this.#failed(message, error);
        this.#next();
      },
    );
  }

  #handled(message: Message): void {
    if (this.#settings.manualAck || !message.ack()) message.release();
  }

  #failed(message: Message, error: unknown): void {
    message.release();
    this.#household.tell({ type: "handler-failed", subscription: this, message, error });
  }

  /** A handler has ended: start those that its place is free for. */
  #next(): void {
    while (this.#running.size < this.#settings.concurrency && this.#waiting.length > 0) {
      const message = this.#waiting.shift()!;
      this.#household.waiting.bytes -= message.data.length + WAITING_OVERHEAD;
      this.#start(message);
    }
    if (this.#waiting.length === 0) this.#overflowing = false;
    if (this.#running.size === 0 && this.#stopped) this.#idle.resolve();
  }

  /** @internal See `Message.ack`. */
  acknowledge(sequence: number, progress: Progress): boolean {
    if (this.#state.name === "closed" || progress !== this.#share.progress) return false;
    if (progress.finish(sequence)) this.#sendAck(sequence);
    return true;
  }

  #sendAck(sequence: number): void {
    this.#recentAcks[this.#recentAck] = sequence;
    this.#recentAck = this.#recentAck + 1 < Math.min(this.#settings.maxInFlight, MOST_REPEATED_ACKS) ? this.#recentAck + 1 : 0;
    this.#writeAck(sequence);
  }

  /** Writes an ack to the current ack inbox, whatever session or link the message came by. */
  #writeAck(sequence: number): void {
    const place = this.#place;
    if (place?.link === undefined || place.ackHead === undefined) return;
    const { outbox } = place.link.connection;
    const size = Ack.size(this.#subjectBytes, sequence);
    const at = outbox.begin(place.ackHead, -1, size, size);
    Ack.write(this.#subjectBytes, sequence, outbox.bytes, at);
  }

  // --- the supervisor's word ---

  /** @internal */
  open(connection: Connection, session: Session | undefined): void {
    if (this.#place !== undefined && this.#place.session === session) this.#place.open(connection);
  }

  /** @internal Acks that were sent into a dying link, or while there was none, are told now. Doubles do no harm. */
  resume(registration: Registration): void {
    if (this.#place?.session !== registration.session) return;
    this.#repeatAcks();
    this.#share.progress.established();
  }

  /** @internal Whoever was in charge may be gone, with what was on the way from there. */
  suspend(): void {
    this.#share.progress.interrupted();
  }

  /** @internal */
  lost(): void {
    if (this.#place !== undefined) this.#place.link = undefined;
    this.#share.progress.interrupted();
  }

  /** @internal An ack that is lost is repeated, and a request is made anew: nothing here would be left unknown. */
  get underWay(): number {
    return 0;
  }

  /** @internal */
  refuse(): void {}

  /** @internal Something about the current place is wrong: the loop has to look. */
  disturb(): void {
    this.#disturbed.abort();
  }

  #repeatAcks(): void {
    for (const sequence of this.#recentAcks) this.#writeAck(sequence);
  }

  // --- the loop ---

  async #run(): Promise<void> {
    while (this.#state.name !== "closed") {
      const state: State = this.#state;
      try {
        this.#state = await this.#live(state);
      } catch (error) {
        // Not expected, and no reason to end.
        this.#report(new StreamingError("UNCONFIRMED", `subscribe ${this.subject}: an unexpected failure`, error));
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
    const nothingToUndo = this.#place === undefined && this.#ghosts.length === 0 && !this.#mustForget;
    const { lifetime, release } = nothingToUndo ? within(ending, this.#leaving) : within(ending);
    const registration = await supervisor.registered(lifetime);
    release();
    return registration === undefined ? this.#closedState() : { name: "connected", registration };
  }

  async #connected({ registration }: State & { name: "connected" }): Promise<State> {
    const { session, over } = registration;
    const { ending, slots } = this.#household;
    if (this.#place !== undefined && this.#place.session === session && this.#place.ackHead !== undefined) {
      return { name: "subscribed", registration, resumed: true, from: undefined };
    }
    this.#place?.shut();
    this.#place = undefined;
    if (this.#ghostSession !== session) {
      this.#ghosts = [];
      this.#formerInboxes.length = 0;
      this.#ghostSession = session;
    }
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
    let duplicates = 0;
    for (;;) {
      if (ending.aborted) return this.#closedState();
      if (over.aborted || connection.ended.aborted) return { name: "disconnected" };
      if (!(await this.#closeGhosts(registration))) return { name: "connected", registration };
      if (this.#leaving.aborted && !this.#mustForget) return this.#closedState(true);

      const again = this.#since !== undefined;
      const share = this.#share;
      if (again && share.anewIn !== session && share.progress.highest > 0) {
        const begun = await this.#hasBegunAnew(registration);
        if (begun === undefined) return { name: "connected", registration };
        if (begun) this.#loseProgress(session);
      }
      const from = again && share.anewIn !== session ? share.progress.cursor : undefined;
      const asked = performance.now();
      const accepted = this.#since === undefined ? Infinity : this.#since.answered - this.#since.monotonic;
      const failure = await this.#ask(registration, from);
      const took = performance.now() - asked;
      if (failure === undefined && from === undefined && took > this.#putBack + accepted) {
        // The server counts back from when it gets to it: what was stored in as long as it took may be left out.
        this.#putBack = 2 * took;
        this.#abandonPlace(false);
        continue;
      }
      if (failure === undefined && this.#forgetFirst) {
        this.#forgetFirst = false;
        this.#abandonPlace(true);
        continue;
      }
      if (failure === undefined) {
        if (again) this.#tellGroupGap(from);
        return { name: "subscribed", registration, resumed: again, from };
      }
      if (over.aborted || connection.ended.aborted || ending.aborted) continue;
      const error = new StreamingError(failure.code, `subscribe ${this.subject}: ${failure.text}`, failure.cause);
      switch (failure.class) {
        case "permanent":
          return { name: "closed", error };
        case "duplicate-durable":
          if (++duplicates > DUPLICATE_TRIES) return { name: "closed", error };
          this.#suspectAll();
          await sleep(RETRY_DELAY, over, ending);
          break;
        case "session-lost":
          supervisor.verify(failure.code === "NO_SERVER" ? error : undefined);
          await sleep(RETRY_DELAY, over, ending);
          return { name: "disconnected" };
        default:
          this.#report(error);
          await sleep(REFUSED_DELAY, over, ending);
          // The slot goes round: those that cannot be had must not keep out the rest.
          return { name: "connected", registration };
      }
    }
  }

  /** Asks for the subscription, on a new inbox. Returns undefined when it is in place, else why it is not. */
  async #ask(registration: Registration, from: number | undefined): Promise<Failure | undefined> {
    const { connection, session } = registration;
    const { settings } = this.#household;
    const place = new Place(this, session, this.#newInbox());
    this.#disturbed = new Lifetime();
    this.#place = place;
    const asked = { monotonic: performance.now(), wall: Date.now() };
    place.open(connection);
    const request = encode(SubscriptionRequest, {
      clientID: settings.clientId,
      subject: this.subject,
      qGroup: this.#settings.queue,
      inbox: place.inbox,
      maxInFlight: this.#settings.maxInFlight,
      ackWaitInSecs: this.#settings.ackWait / 1000,
      durableName: this.#settings.durable,
      ...this.#startPosition(from),
    });
    const failure = await this.#request(connection, session.subjects.subRequests, request, (ackInbox) => {
      // In the turn in which the answer came: messages may follow in the very same bytes.
      place.ackInbox = ackInbox;
      if (this.#place !== place) {
        // Too late: given up, and perhaps closed before it was there. A ghost in a queue group would get its share.
        if (!registration.over.aborted) void this.#tellOver(registration, place.inbox, false);
        return;
      }
      this.#since ??= { ...asked, answered: performance.now() };
      this.#share.progress.established();
      this.#repeatAcks();
    });
    if (failure === undefined && place.deniedBy === undefined) return undefined;
    this.#abandonPlace(false);
    if (place.deniedBy !== undefined) return denied(place.deniedBy);
    return failure;
  }

  /** Sends a request that a SubscriptionResponse answers, which `accepted` gets the ack inbox of, even if it comes late. */
  async #request(connection: Connection, subject: string, request: Uint8Array, accepted: (ackInbox: string) => void): Promise<Failure | undefined> {
    const read = (bytes: Uint8Array, start: number, end: number): SubscriptionResponse => {
      const answer = SubscriptionResponse.read(bytes, start, end);
      // An ack inbox is a subject that goes back onto the wire: an answer with an impossible one is no answer.
      const rule = answer.ackInbox === "" ? undefined : subjectRule(answer.ackInbox, false);
      if (rule !== undefined) throw new TypeError(`the ack inbox ${rule}`);
      if (answer.error === "") accepted(answer.ackInbox);
      return answer;
    };
    try {
      const answer = await connection.request(subject, request, this.#household.settings.requestTimeout, read, nothing);
      if (answer.error === "") return undefined;
      return { class: classify(answer.error), code: "REFUSED", text: answer.error, cause: undefined };
    } catch (error) {
      if (!(error instanceof NatsError)) throw error;
      if (error.code === "PERMISSIONS") return denied(error);
      const unanswered = error.code === "NO_RESPONDERS";
      return { class: unanswered ? "session-lost" : "transient", code: "NO_SERVER", text: error.message, cause: error };
    }
  }

  /** Where the server is to begin, if it does not know better: a durable, or a group that exists, goes on where it was. */
  #startPosition(from: number | undefined): Pick<SubscriptionRequest, "startPosition" | "startSequence" | "startTimeDelta"> {
    const { startAt } = this.#settings;
    const start = { startPosition: StartPosition.NewOnly as number, startSequence: 0n, startTimeDelta: 0n };
    if (this.#share.anewIn !== undefined && this.#share.anewIn === this.#ghostSession) {
      return { ...start, startPosition: StartPosition.First };
    }
    if (from !== undefined) return { ...start, startPosition: StartPosition.SequenceStart, startSequence: BigInt(from) };
    if (startAt === "first") return { ...start, startPosition: StartPosition.First };
    if (typeof startAt === "object" && "sequence" in startAt) {
      return { ...start, startPosition: StartPosition.SequenceStart, startSequence: BigInt(startAt.sequence) };
    }
    if (typeof startAt === "object" && "time" in startAt) return since(Date.now() - startAt.time.getTime());
    // What was stored since the subscription first was in place is to be delivered, even if nothing has been yet.
    const elapsed = this.#since === undefined ? 0 : elapsedSince(this.#since) + this.#putBack;
    if (typeof startAt === "object") return since(startAt.ago + elapsed);
    if (this.#since !== undefined) return since(elapsed);
    return startAt === "lastReceived" ? { ...start, startPosition: StartPosition.LastReceived } : start;

    function since(milliseconds: number): typeof start {
      const delta = BigInt(Math.max(0, Math.ceil(milliseconds))) * NANOSECONDS_PER_MILLISECOND;
      return { ...start, startPosition: StartPosition.TimeDeltaStart, startTimeDelta: delta };
    }
  }

  async #subscribed({ registration, resumed, from }: State & { name: "subscribed" }): Promise<State> {
    const { connection, over } = registration;
    const { ending, tell } = this.#household;
    const told = { type: "subscribed", subscription: this, resumed } as const;
    if (!this.#leaving.aborted) tell(from === undefined ? told : { ...told, from });
    this.#first.resolve();
    await ended(over, connection.ended, ending, this.#leaving, this.#disturbed);
    if (ending.aborted) return this.#closedState();
    if (over.aborted || connection.ended.aborted) return { name: "disconnected" };
    if (this.#leaving.aborted) return this.#takeLeave(registration);
    const refused = this.#place?.deniedBy;
    this.#abandonPlace(this.#settings.durable !== "" && refused === undefined);
    if (refused === undefined) return { name: "connected", registration };
    return { name: "closed", error: new StreamingError("NOT_PERMITTED", `subscribe ${this.subject}: ${refused.message}`, refused) };
  }

  /** Tells the server that the subscription is over, until it has answered. */
  async #takeLeave(registration: Registration): Promise<State> {
    const { ending } = this.#household;
    const place = this.#place!;
    while (!ending.aborted) {
      if (registration.over.aborted) return { name: "disconnected" };
      const failure = await this.#tellOver(registration, place.ackInbox, this.#wish === "unsubscribe");
      if (failure === undefined || failure.class === "gone") return this.#closedState(true);
      if (failure.class === "permanent") {
        return { name: "closed", error: new StreamingError(failure.code, `${this.#wish} ${this.subject}: ${failure.text}`, failure.cause) };
      }
      if (failure.class === "session-lost") this.#household.supervisor.verify();
      await sleep(RETRY_DELAY, registration.over, ending);
    }
    return this.#closedState();
  }

  /** Sends a close or an unsubscribe for an inbox: the server finds a subscription by its ack inbox and by its delivery inbox. */
  #tellOver({ connection, session }: Registration, inbox: string, forget: boolean): Promise<Failure | undefined> {
    const request = encode(UnsubscribeRequest, {
      clientID: this.#household.settings.clientId,
      subject: this.subject,
      inbox,
      durableName: this.#settings.durable,
    });
    const { unsubRequests, subCloseRequests } = session.subjects;
    return this.#request(connection, forget ? unsubRequests : subCloseRequests, request, nothing);
  }

  /** Closes what the server may have and nobody wants. Returns false if that was not possible now. */
  async #closeGhosts(registration: Registration): Promise<boolean> {
    for (const ghost of [...this.#ghosts]) {
      const failure = await this.#tellOver(registration, ghost.inbox, ghost.forget);
      if (failure?.class === "session-lost") {
        this.#household.supervisor.verify();
        await sleep(RETRY_DELAY, registration.over, this.#household.ending);
        return false;
      }
      if (failure?.class === "transient") {
        await sleep(RETRY_DELAY, registration.over, this.#household.ending);
        return false;
      }
      this.#ghosts = this.#ghosts.filter((other) => other !== ghost);
    }
    return true;
  }

  /**
   * Compares the channel's last message with what was received: a memory store that was restarted, or a channel that
   * was deleted, counts from 1 again, and would answer a start beyond its end by silence. Undefined: not known yet.
   */
  async #hasBegunAnew(registration: Registration): Promise<boolean | undefined> {
    const { connection, session } = registration;
    const { settings, ending } = this.#household;
    const { progress } = this.#share;
    const view = new MsgProtoView();
    let begun = false;
    const inbox = this.#newInbox();
    const sid = connection.subscribe(inbox, {
      deliver({ bytes, start, end }) {
        try {
          view.read(bytes, start, end);
          begun ||= view.sequence < (progress.cursor ?? 0) || progress.isLater(view.sequence, timeOf(view));
        } catch {
          // Whoever sent this, it was not the streaming server.
        }
      },
      denied: nothing,
    });
    const request = encode(SubscriptionRequest, {
      clientID: settings.clientId,
      subject: this.subject,
      qGroup: "",
      inbox,
      maxInFlight: 1,
      ackWaitInSecs: 30,
      durableName: "",
      startPosition: StartPosition.LastReceived,
      startSequence: 0n,
      startTimeDelta: 0n,
    });
    const failure = await this.#request(connection, session.subjects.subRequests, request, nothing);
    this.#ghosts.push({ inbox, forget: false });
    const closed = await this.#closeGhosts(registration);
    connection.unsubscribe(sid);
    if (failure !== undefined && failure.class !== "permanent") {
      if (failure.class === "session-lost") this.#household.supervisor.verify();
      await sleep(RETRY_DELAY, registration.over, ending);
      return undefined;
    }
    return closed ? begun : undefined;
  }

  /** While the subscription is in place, the channel turned out to be another one. */
  #beginAnew(): void {
    const session = this.#place?.session;
    if (session === undefined) return;
    this.#loseProgress(session);
    this.#forgetFirst = false;
    this.#disturbed.abort();
    // What comes on the old inbox from here on comes again, from the first message on.
    this.#place!.shut();
  }

  /** What was finished says nothing about the messages that now have these numbers. */
  #loseProgress(session: Session): void {
    const share = this.#share;
    const old = share.progress;
    const from = (old.cursor ?? 0) + 1;
    old.stop();
    share.progress = this.#newProgress();
    share.anewIn = session;
    this.#forgetFirst = this.#settings.durable !== "" && this.#settings.queue === "";
    const reason = "the channel began anew: what it held and was not finished is lost";
    this.#household.tell({ type: "gap", subscription: this, from, to: Math.max(from, old.highest), reason });
  }

  #tellGroupGap(from: number | undefined): void {
    if (this.#settings.queue === "" || this.#settings.durable !== "" || from === undefined) return;
    const reason = "what members of the group in other processes had and did not finish comes again only if the group outlived the outage";
    this.#household.tell({ type: "gap", subscription: this, from, to: Math.max(from, this.#share.progress.highest), reason });
  }

  /** Lets go of the current place; the server is told before anything else is asked of it. */
  #abandonPlace(forget: boolean): void {
    const place = this.#place;
    if (place === undefined) return;
    place.shut();
    this.#place = undefined;
    this.#ghosts.push({ inbox: place.ackInbox || place.inbox, forget });
    this.#formerInboxes.push(place.inbox);
  }

  /** "Duplicate durable": one of the inboxes that were asked for in this session must still be held by the server. */
  #suspectAll(): void {
    for (const inbox of this.#formerInboxes.splice(0)) this.#ghosts.push({ inbox, forget: false });
  }

  get #mustForget(): boolean {
    return this.#wish === "unsubscribe" && this.#settings.durable !== "" && this.#leaving.aborted;
  }

  #newInbox(): string {
    return `${this.#household.settings.inboxPrefix}.${nuid()}`;
  }

  #closedState(left = false): State {
    this.#left ||= left;
    return { name: "closed", error: undefined };
  }

  #leave(wish: "close" | "unsubscribe"): void {
    if (this.#state.name === "closed" || this.#leaving.aborted) return;
    this.#wish = wish;
    this.#stop();
    this.#leaving.abort();
  }

  /** No handler starts from now on. Returns the messages that were waiting for one. */
  #stop(): Message[] {
    this.#stopped = true;
    const waiting = this.#waiting.drain();
    for (const message of waiting) {
      this.#household.waiting.bytes -= message.data.length + WAITING_OVERHEAD;
      message.release();
    }
    if (this.#running.size === 0) this.#idle.resolve();
    return waiting;
  }

  #end(error: StreamingError | undefined): void {
    this.#stop();
    this.#place?.shut();
    this.#place = undefined;
    this.#share.members--;
    if (this.#share.members === 0) {
      this.#share.progress.stop();
      this.#household.groups.delete(this.#groupKey);
    }
    this.#first.reject(error ?? new StreamingError("CLOSED", `subscribe ${this.subject}: closed`));
    this.#over.resolve(error);
  }

  /** Members of one group in one client work off one channel together. */
  #join(): Share {
    const { groups } = this.#household;
    const joined = this.#settings.queue === "" ? undefined : groups.get(this.#groupKey);
    const share = joined ?? { progress: this.#newProgress(), members: 0, anewIn: undefined };
    share.members++;
    if (this.#settings.queue !== "") groups.set(this.#groupKey, share);
    return share;
  }

  get #groupKey(): string {
    return JSON.stringify([this.subject, this.#settings.queue, this.#settings.durable]);
  }

  #newProgress(): Progress {
    // In a group, others have what is missing here.
    const alone = this.#settings.queue === "";
    const { pingInterval, pingMaxOut } = this.#household.settings;
    const events = {
      skipped: (from: number, to: number) => {
        const reason = "the server did not deliver these: they had expired or were removed by a limit";
        if (alone) this.#household.tell({ type: "gap", subscription: this, from, to, reason });
      },
      forgotten: (from: number, to: number) => {
        const text = `subscribe ${this.subject}: too much is finished out of order; messages ${from} to ${to} may be handled again`;
        if (alone) this.#report(new StreamingError("UNCONFIRMED", text));
      },
    };
    return new Progress(this.#settings.ackWait, events, pingInterval * (pingMaxOut + 1));
  }

  #report(error: StreamingError): void {
    this.#household.tell({ type: "error", error, subscription: this });
  }
}

function denied(error: NatsError): Failure {
  return { class: "permanent", code: "NOT_PERMITTED", text: error.message, cause: error };
}

/** Nanoseconds since 1970, to the nearest 256 or so: enough to tell which of two messages was stored later. */
function timeOf(view: MsgProtoView): number {
  return view.timestampHigh * 2 ** 32 + view.timestampLow;
}

function elapsedSince({ monotonic, wall }: { readonly monotonic: number; readonly wall: number }): number {
  return Math.max(performance.now() - monotonic, Date.now() - wall);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

function nothing(): void {}
