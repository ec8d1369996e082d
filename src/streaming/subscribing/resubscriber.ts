import { deferred, aborted, noop, RETRY_DELAY, sleep, anySignal } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import type { Connection } from "../../core-nats/connection.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import { StreamingError } from "../errors.ts";
import type { SessionListener, Registration } from "../session/registration.ts";
import type { Session } from "../session/session.ts";
import { followReset, verifyChannel } from "./channel-reset.ts";
import type { ClientContext } from "./client-context.ts";
import { Closing } from "./closing.ts";
import { Deliveries } from "./deliveries.ts";
import type { DeliveryEvents } from "./deliveries.ts";
import type { MessageHandler } from "./handlers.ts";
import type { Subscription } from "./message.ts";
import { MissingMessages } from "./missing-messages.ts";
import { Orphans } from "./orphans.ts";
import { Peek } from "./peek.ts";
import { Endpoint } from "./endpoint.ts";
import { denied, Requests } from "./requests.ts";
import type { Failure } from "./requests.ts";
import { fromFirst, fromSequence, fromStart } from "./start-position.ts";
import type { Start } from "./start-position.ts";
import type { SubscribeSettings } from "./subscribe-options.ts";

type State =
  /** The client is not registered. */
  | { readonly name: "disconnected" }
  /** The client is registered; the server is being asked. */
  | { readonly name: "connected"; readonly registration: Registration }
  /** The server delivers. */
  | { readonly name: "subscribed"; readonly registration: Registration; readonly resumed: boolean; readonly from: number | undefined }
  | { readonly name: "closed"; readonly error: StreamingError | undefined };

const REFUSED_DELAY = 1_000;
/** How often "duplicate durable registration" is taken for an orphan of our own. */
const DUPLICATE_TRIES = 5;

/** Keeps one subscription in place: disconnected, connected, subscribed, and again, for as long as it takes. */
export class Resubscriber implements SessionListener, DeliveryEvents {
  readonly deliveries: Deliveries;
  readonly closing = new Closing();
  readonly #context: ClientContext;
  readonly #settings: SubscribeSettings;
  #state: State = { name: "disconnected" };
  /** Until the server has accepted or refused for the first time. */
  #ready: Deferred<void> | undefined;
  /** Ends when the loop has something to look into. */
  #wake = new Lifetime();
  /** When the server was first asked. */
  #firstAskedAt: number | undefined;
  /** The server's durable belongs to the old channel: it is unsubscribed before the subscription is asked for again. */
  #unsubscribeFirst = false;
  // Made when they are needed: many a subscription is idle.
  #orphans: Orphans | undefined;
  #missing: MissingMessages | undefined;

  constructor(
    context: ClientContext,
    subscription: Subscription,
    subject: string,
    handler: MessageHandler,
    settings: SubscribeSettings,
  ) {
    this.#context = context;
    this.#settings = settings;
    this.deliveries = new Deliveries(context, subscription, subject, handler, settings, this);
  }

  get state(): State["name"] {
    return this.#state.name;
  }

  /** Starts the loop. Settles when the server has accepted or refused for the first time. */
  start(): Promise<void> {
    this.#ready = deferred();
    this.#ready.promise.catch(noop);
    void this.#run();
    return this.#ready.promise;
  }

  /** Ends the subscription, and tells the server. */
  close(kind: "close" | "unsubscribe"): void {
    if (this.#state.name === "closed" || this.closing.aborted) return;
    this.deliveries.stop("it is closed");
    this.closing.begin(kind);
    this.#wake.abort();
  }

  open(connection: Connection, session: Session | undefined): void {
    const { endpoint } = this.deliveries;
    if (endpoint !== undefined && endpoint.session === session) endpoint.open(connection);
  }

  resume(registration: Registration): void {
    const { endpoint, group } = this.deliveries;
    if (endpoint?.session !== registration.session) return;
    this.deliveries.repeatAcks();
    group.progress.established();
    group.members?.resumed();
    this.#context.watchdog.watch(this.deliveries);
  }

  /** Whoever was in charge may be gone, with what was on the way from there. */
  suspend(): void {
    this.#missing?.interrupted();
    this.deliveries.group.interrupted();
  }

  lost(): void {
    this.#missing?.interrupted();
    this.deliveries.lost();
  }

  suspected(): void {
    this.#wake.abort();
  }

  searched(from: number, to: number): boolean {
    const searched = this.#missingMessages.searched(from, to);
    if (!searched) this.#wake.abort();
    return searched;
  }

  silent(): void {
    this.#missingMessages.silent();
    this.#wake.abort();
  }

  renew(reason: string): void {
    this.#missingMessages.renewalReason = reason;
    this.#wake.abort();
  }

  /** Made for each use: an idle subscription keeps none. */
  get #requests(): Requests {
    return new Requests(this.#context, this.deliveries.subject, this.#settings);
  }

  get #missingMessages(): MissingMessages {
    return (this.#missing ??= new MissingMessages(this.#context, this.#settings, this.deliveries, this.#peek, this.closing));
  }

  get #orphaned(): Orphans {
    return (this.#orphans ??= new Orphans(this.#requests));
  }

  get #peek(): Peek {
    return new Peek(this.#requests, this.#orphaned);
  }

  // Why: docs/decisions.md#states-are-loops
  async #run(): Promise<void> {
    while (this.#state.name !== "closed") {
      const state: State = this.#state;
      try {
        this.#state = await this.#step(state);
      } catch (error) {
        // Not expected, and no reason to end.
        this.deliveries.report(this.deliveries.error("UNCONFIRMED", "an unexpected failure", error));
        await sleep(REFUSED_DELAY, this.#context.ending);
        this.#state = { name: "disconnected" };
      }
    }
    this.#end(this.#state.error);
  }

  #step(state: State): Promise<State> | State {
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
    const { ending, registrar } = this.#context;
    const nothingToUndo = this.deliveries.endpoint === undefined && this.#orphans?.hasOpen !== true && !this.#mustUnsubscribe;
    const { lifetime, release } = nothingToUndo ? anySignal(ending, this.closing) : anySignal(ending);
    const registration = await registrar.registered(lifetime);
    release();
    if (registration !== undefined) return { name: "connected", registration };
    // What was asked for meanwhile may be for the server to do: then it waits on.
    return this.#mustUnsubscribe && !ending.aborted ? { name: "disconnected" } : this.#closed();
  }

  async #connected({ registration }: State & { name: "connected" }): Promise<State> {
    const { session, over } = registration;
    const { ending, semaphore } = this.#context;
    const { endpoint } = this.deliveries;
    if (endpoint !== undefined && endpoint.session === session && endpoint.ackInbox !== "") {
      return { name: "subscribed", registration, resumed: true, from: undefined };
    }
    endpoint?.close();
    this.deliveries.endpoint = undefined;
    this.#orphans?.useSession(session);
    const mayAsk = await semaphore.acquire(over, ending);
    if (!mayAsk) return ending.aborted ? this.#closed() : { name: "disconnected" };
    try {
      return await this.#subscribe(registration);
    } finally {
      semaphore.release();
    }
  }

  async #subscribe(registration: Registration): Promise<State> {
    const { connection, session, over } = registration;
    const { ending } = this.#context;
    const { group } = this.deliveries;
    for (let duplicates = 0; ; ) {
      if (ending.aborted) return this.#closed();
      if (over.aborted || connection.ended.aborted) return { name: "disconnected" };
      if ((await this.#orphans?.close(registration)) === false) return { name: "connected", registration };
      if (this.closing.aborted && !this.#mustUnsubscribe) {
        this.closing.done = true;
        return this.#closed();
      }

      const again = this.#firstAskedAt !== undefined;
      if (again && group.resetIn !== session && group.progress.highest > 0) {
        const finding = await followReset(registration, this.#peek, this.deliveries);
        if (finding === "unknown") return { name: "connected", registration };
        if (finding === "reset") this.#unsubscribeFirst = this.#settings.durable !== "" && this.#settings.queue === "";
      }
      const from = again ? await this.#resumePosition(registration) : undefined;
      if (from === "unknown") return { name: "connected", registration };
      const failure = await this.#ask(registration, from);
      if (failure === undefined && this.#unsubscribeFirst) {
        this.#unsubscribeFirst = false;
        this.#orphanEndpoint(true);
        continue;
      }
      if (failure === undefined) {
        // Of one that is renewed in its session, the group has outlived it.
        if (again && this.#missing?.renewalReason === undefined && from !== undefined) this.deliveries.notifyGapOfGroup(from);
        return { name: "subscribed", registration, resumed: again, from };
      }
      if (over.aborted || connection.ended.aborted || ending.aborted) continue;
      if (failure.class !== "duplicate-durable" || ++duplicates > DUPLICATE_TRIES) return this.#refused(registration, failure);
      this.#orphans?.reopenAll();
      await sleep(RETRY_DELAY, over, ending);
    }
  }

  async #refused(registration: Registration, failure: Failure): Promise<State> {
    const { ending, registrar } = this.#context;
    const error = this.deliveries.error(failure.code, failure.text, failure.cause);
    switch (failure.class) {
      case "permanent":
      case "duplicate-durable":
        return { name: "closed", error };
      case "session-lost":
        registrar.verify(failure.code === "NO_SERVER" ? error : undefined);
        await sleep(RETRY_DELAY, registration.over, ending);
        return { name: "disconnected" };
      default:
        this.deliveries.report(error);
        await sleep(REFUSED_DELAY, registration.over, ending);
        // The slot goes round: those that cannot be had must not keep out the rest.
        return { name: "connected", registration };
    }
  }

  /** Where a subscription goes on that was in place before; undefined if it starts where it was to start. */
  async #resumePosition(registration: Registration): Promise<number | undefined | "unknown"> {
    const { session } = registration;
    const { group } = this.deliveries;
    if (group.resetIn === session) return undefined;
    const { cursor } = group.progress;
    if (cursor !== undefined || this.#settings.startAt !== "lastReceived" || this.#settings.durable !== "") return cursor;
    const { requestTimeout } = this.#context.settings;
    const last = await this.#peek.lastBefore(registration, this.#start(session, undefined), requestTimeout);
    return last === undefined ? "unknown" : last || undefined;
  }

  /** Asks for the subscription, on a new inbox. Resolves with undefined when it is in place, else with why it is not. */
  async #ask(registration: Registration, from: number | undefined): Promise<Failure | undefined> {
    const { connection, session } = registration;
    const { deliveries } = this;
    const endpoint = new Endpoint(deliveries, session, this.#requests.inbox());
    if (!this.closing.aborted) this.#wake = new Lifetime();
    deliveries.attach(endpoint);
    endpoint.open(connection);
    const { stopwatch } = this.#context.registrar;
    // Whole: a fraction takes 16 bytes more, in each of thousands.
    const since = Math.trunc(stopwatch.now);
    const failure = await this.#requests.subscribe(registration, endpoint.inbox, this.#start(session, from), (ackInbox) => {
      // In the turn in which the answer came: messages may follow in the very same bytes.
      endpoint.ackInbox = ackInbox;
      if (this.#firstAskedAt !== undefined) this.#context.watchdog.watch(deliveries);
      this.#firstAskedAt ??= since;
      deliveries.group.progress.established();
      deliveries.repeatAcks();
    });
    if (failure === undefined && endpoint.denial === undefined) return undefined;
    this.#orphanEndpoint(false);
    return endpoint.denial === undefined ? failure : denied(endpoint.denial);
  }

  /** Where the server is to begin, if it does not know better: a durable, or a group that exists, goes on where it was. */
  #start(session: Session, from: number | undefined): Start {
    if (this.deliveries.group.resetIn === session) return fromFirst;
    if (from !== undefined) return fromSequence(from);
    const { settings, registrar } = this.#context;
    const elapsed = this.#firstAskedAt === undefined ? undefined : registrar.stopwatch.now - this.#firstAskedAt;
    return fromStart(this.#settings.startAt, elapsed, settings.requestTimeout);
  }

  async #subscribed({ registration, resumed, from }: State & { name: "subscribed" }): Promise<State> {
    this.#notifySubscribed(resumed, from);
    const { over } = registration;
    const { ending } = this.#context;
    for (;;) {
      await aborted(over, ending, this.#wake);
      if (ending.aborted) return this.#closed();
      if (over.aborted) return { name: "disconnected" };
      if (this.closing.aborted) return this.#close(registration);
      const next = await this.#inspect(registration);
      if (next !== undefined) return next;
    }
  }

  /** Looks into what has woken the loop. Resolves with undefined if the subscription stays as it is. */
  async #inspect(registration: Registration): Promise<State | undefined> {
    if (this.deliveries.isSuspect) return this.#verifyChannel(registration);
    this.#wake = new Lifetime();
    await this.#missing?.find(registration);
    if (this.#missing?.renewalReason === undefined) return undefined;
    this.#orphanEndpoint(false);
    return { name: "connected", registration };
  }

  /** Verifies a channel that is suspect. Resolves with undefined if the subscription stays as it is. */
  async #verifyChannel(registration: Registration): Promise<State | undefined> {
    const { deliveries } = this;
    const denial = deliveries.endpoint?.denial;
    if (denial !== undefined) {
      this.#orphanEndpoint(false);
      return { name: "closed", error: deliveries.error("NOT_PERMITTED", denial.reason, denial) };
    }
    const finding = await verifyChannel(registration, this.#peek, deliveries);
    if (finding === "same" || finding === "unknown") return undefined;
    // After a reset the durable has its position in the old channel.
    this.#orphanEndpoint(finding === "reset" && this.#settings.durable !== "");
    return { name: "connected", registration };
  }

  async #close(registration: Registration): Promise<State> {
    const { ackInbox } = this.deliveries.endpoint!;
    const end = await this.closing.request(this.#context, this.#requests, registration, ackInbox);
    if (end === "disconnected") return { name: "disconnected" };
    if (end === "closed") return this.#closed();
    // `unsubscribe` rejects with the error.
    if (this.closing.kind === "close") this.deliveries.report(end);
    return { name: "closed", error: end };
  }

  #closed(): State {
    return { name: "closed", error: undefined };
  }

  #end(error: StreamingError | undefined): void {
    this.deliveries.end();
    this.#ready?.reject(error ?? new StreamingError("CLOSED", `subscribe ${this.deliveries.subject}: closed`));
    this.#context.ended(this.deliveries.subscription);
    this.closing.end(error);
  }

  get #mustUnsubscribe(): boolean {
    return this.closing.mustUnsubscribe(this.#settings.durable);
  }

  /** Lets go of the place; the server is told before anything else is asked of it. */
  #orphanEndpoint(unsubscribe: boolean): void {
    const { endpoint } = this.deliveries;
    if (endpoint === undefined) return;
    endpoint.close();
    this.deliveries.endpoint = undefined;
    this.#orphaned.add(endpoint.session, endpoint.inbox, endpoint.ackInbox, unsubscribe);
  }

  #notifySubscribed(resumed: boolean, from: number | undefined): void {
    const reason = this.#missing?.renewalReason;
    if (this.#missing !== undefined) this.#missing.renewalReason = undefined;
    if (!this.closing.aborted) this.deliveries.notifySubscribed(resumed, from, reason);
    this.#ready?.resolve();
    this.#ready = undefined;
  }
}
