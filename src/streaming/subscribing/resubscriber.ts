import { deferred, aborted, noop, RETRY_DELAY, sleep, anySignal } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import type { Connection } from "../../core-nats/connection.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import { StreamingError } from "../errors.ts";
import type { SessionListener, Registration } from "../session/registration.ts";
import type { Session } from "../session/session.ts";
import { detectReset } from "./channel-reset.ts";
import type { ClientContext } from "./client-context.ts";
import { Deliveries } from "./deliveries.ts";
import type { DeliveryEvents } from "./deliveries.ts";
import type { MessageHandler } from "./handlers.ts";
import type { Subscription } from "./message.ts";
import { Missing } from "./missing.ts";
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
  readonly #context: ClientContext;
  readonly #subscription: Subscription;
  readonly #settings: SubscribeSettings;
  readonly #leaving = new Lifetime();
  #state: State = { name: "disconnected" };
  /** Until the server has accepted or refused for the first time. */
  #ready: Deferred<void> | undefined;
  #over: Deferred<StreamingError | undefined> | undefined;
  #wish: "close" | "unsubscribe" = "close";
  /** The server was told of the end, or has nothing to be told. */
  #left = false;
  /** Ends when the loop has something to look into. */
  #wake = new Lifetime();
  /** When the server was first asked. */
  #since: number | undefined;
  /** The server's durable belongs to the old channel: it is unsubscribed before the subscription is asked for again. */
  #forgetFirst = false;
  // Made when they are needed: many a subscription is idle.
  #orphans: Orphans | undefined;
  #missing: Missing | undefined;

  constructor(
    context: ClientContext,
    subscription: Subscription,
    subject: string,
    handler: MessageHandler,
    settings: SubscribeSettings,
  ) {
    this.#context = context;
    this.#subscription = subscription;
    this.#settings = settings;
    this.deliveries = new Deliveries(context, subscription, subject, handler, settings, this);
  }

  get state(): State["name"] {
    return this.#state.name;
  }

  /** See `Subscription.closed`. */
  get closed(): Promise<StreamingError | undefined> {
    if (this.#over === undefined) {
      this.#over = deferred();
      if (this.#state.name === "closed") this.#over.resolve(this.#state.error);
    }
    return this.#over.promise;
  }

  /** How it was told to go; `left` if the server was told so, or had nothing to be told. */
  get end(): { readonly wish: "close" | "unsubscribe"; readonly left: boolean } {
    return { wish: this.#wish, left: this.#left };
  }

  /** Starts the loop. Settles when the server has accepted or refused for the first time. */
  start(): Promise<void> {
    this.#ready = deferred();
    this.#ready.promise.catch(noop);
    void this.#run();
    return this.#ready.promise;
  }

  /** Ends the subscription, and tells the server. */
  leave(wish: "close" | "unsubscribe"): void {
    if (this.#state.name === "closed" || this.#leaving.aborted) return;
    this.#wish = wish;
    this.deliveries.stop("it is closed");
    this.#leaving.abort();
    this.#wake.abort();
  }

  open(connection: Connection, session: Session | undefined): void {
    const { endpoint } = this.deliveries;
    if (endpoint !== undefined && endpoint.session === session) endpoint.open(connection);
  }

  resume(registration: Registration): void {
    const { endpoint, shared } = this.deliveries;
    if (endpoint?.session !== registration.session) return;
    this.deliveries.repeatAcks();
    shared.progress.established();
    shared.members?.resumed();
    this.#context.watchdog.watch(this.deliveries);
  }

  /** Whoever was in charge may be gone, with what was on the way from there. */
  suspend(): void {
    this.#missing?.interrupted();
    this.deliveries.shared.interrupted();
  }

  lost(): void {
    this.#missing?.interrupted();
    this.deliveries.lost();
  }

  suspected(): void {
    this.#wake.abort();
  }

  searched(from: number, to: number): boolean {
    const searched = this.#missed.searched(from, to);
    if (!searched) this.#wake.abort();
    return searched;
  }

  silent(): void {
    this.#missed.silent();
    this.#wake.abort();
  }

  renew(reason: string): void {
    this.#missed.renewal = reason;
    this.#wake.abort();
  }

  /** Made for each use: an idle subscription keeps none. */
  get #requests(): Requests {
    return new Requests(this.#context, this.#subscription.subject, this.#settings);
  }

  get #missed(): Missing {
    return (this.#missing ??= new Missing(this.#context, this.#settings, this.deliveries, this.#peek, this.#leaving));
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
        this.#state = await this.#live(state);
      } catch (error) {
        // Not expected, and no reason to end.
        this.deliveries.report(this.deliveries.error("UNCONFIRMED", "an unexpected failure", error));
        await sleep(REFUSED_DELAY, this.#context.ending);
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
    const { ending, registrar } = this.#context;
    const nothingToUndo = this.deliveries.endpoint === undefined && this.#orphans?.any !== true && !this.#mustForget;
    const { lifetime, release } = nothingToUndo ? anySignal(ending, this.#leaving) : anySignal(ending);
    const registration = await registrar.registered(lifetime);
    release();
    if (registration !== undefined) return { name: "connected", registration };
    // What was asked for meanwhile may be for the server to do: then it waits on.
    return this.#mustForget && !ending.aborted ? { name: "disconnected" } : this.#closed();
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
    this.#orphans?.enter(session);
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
    const { ending, registrar, settings } = this.#context;
    const { shared } = this.deliveries;
    for (let duplicates = 0; ; ) {
      if (ending.aborted) return this.#closed();
      if (over.aborted || connection.ended.aborted) return { name: "disconnected" };
      if ((await this.#orphans?.close(registration)) === false) return { name: "connected", registration };
      if (this.#leaving.aborted && !this.#mustForget) return this.#closed(true);

      const again = this.#since !== undefined;
      if (again && shared.resetIn !== session && shared.progress.highest > 0) {
        const asked = await this.#lookForReset(registration);
        if (!asked) return { name: "connected", registration };
      }
      const goesOn = again && shared.resetIn !== session;
      let from = goesOn ? shared.progress.cursor : undefined;
      if (goesOn && from === undefined && this.#settings.startAt === "lastReceived" && this.#settings.durable === "") {
        const last = await this.#peek.lastBefore(registration, this.#start(session, undefined), settings.requestTimeout);
        if (last === undefined) return { name: "connected", registration };
        from = last || undefined;
      }
      const failure = await this.#ask(registration, from);
      if (failure === undefined && this.#forgetFirst) {
        this.#forgetFirst = false;
        this.#giveUpEndpoint(true);
        continue;
      }
      if (failure === undefined) {
        // Of one that is renewed in its session, the group has outlived it.
        if (again && this.#missing?.renewal === undefined && from !== undefined) this.deliveries.notifyGapOfGroup(from);
        return { name: "subscribed", registration, resumed: again, from };
      }
      if (over.aborted || connection.ended.aborted || ending.aborted) continue;
      const error = this.deliveries.error(failure.code, failure.text, failure.cause);
      switch (failure.class) {
        case "permanent":
          return { name: "closed", error };
        case "duplicate-durable":
          if (++duplicates > DUPLICATE_TRIES) return { name: "closed", error };
          this.#orphans?.reopenAll();
          await sleep(RETRY_DELAY, over, ending);
          break;
        case "session-lost":
          registrar.verify(failure.code === "NO_SERVER" ? error : undefined);
          await sleep(RETRY_DELAY, over, ending);
          return { name: "disconnected" };
        default:
          this.deliveries.report(error);
          await sleep(REFUSED_DELAY, over, ending);
          // The slot goes round: those that cannot be had must not keep out the rest.
          return { name: "connected", registration };
      }
    }
  }

  /** Asks for the subscription, on a new inbox. Resolves with undefined when it is in place, else with why it is not. */
  async #ask(registration: Registration, from: number | undefined): Promise<Failure | undefined> {
    const { connection, session } = registration;
    const { deliveries } = this;
    const endpoint = new Endpoint(deliveries, session, this.#requests.inbox());
    if (!this.#leaving.aborted) this.#wake = new Lifetime();
    deliveries.enter(endpoint);
    endpoint.open(connection);
    const { stopwatch } = this.#context.registrar;
    // Whole: a fraction takes 16 bytes more, in each of thousands.
    const since = Math.trunc(stopwatch.now);
    const failure = await this.#requests.subscribe(registration, endpoint.inbox, this.#start(session, from), (ackInbox) => {
      // In the turn in which the answer came: messages may follow in the very same bytes.
      endpoint.ackInbox = ackInbox;
      if (this.#since !== undefined) this.#context.watchdog.watch(deliveries);
      this.#since ??= since;
      deliveries.shared.progress.established();
      deliveries.repeatAcks();
    });
    if (failure === undefined && endpoint.denial === undefined) return undefined;
    this.#giveUpEndpoint(false);
    return endpoint.denial === undefined ? failure : denied(endpoint.denial);
  }

  /** Where the server is to begin, if it does not know better: a durable, or a group that exists, goes on where it was. */
  #start(session: Session, from: number | undefined): Start {
    if (this.deliveries.shared.resetIn === session) return fromFirst;
    if (from !== undefined) return fromSequence(from);
    const { settings, registrar } = this.#context;
    const elapsed = this.#since === undefined ? undefined : registrar.stopwatch.now - this.#since;
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
      if (this.#leaving.aborted) return this.#takeLeave(registration);
      const next = await this.#lookInto(registration);
      if (next !== undefined) return next;
    }
  }

  /** Looks into what has woken the loop. Resolves with undefined if the subscription stays as it is. */
  async #lookInto(registration: Registration): Promise<State | undefined> {
    if (this.deliveries.isSuspect) return this.#verifyChannel(registration);
    this.#wake = new Lifetime();
    await this.#missing?.lookFor(registration);
    if (this.#missing?.renewal === undefined) return undefined;
    this.#giveUpEndpoint(false);
    return { name: "connected", registration };
  }

  // Why: docs/decisions.md#doubt-about-the-channel
  /**
   * The inbox was denied, or a message contradicts what was received: of another channel, or stored by a leader whose clock is
   * behind. Resolves with undefined if the subscription stays as it is.
   */
  async #verifyChannel(registration: Registration): Promise<State | undefined> {
    const { deliveries } = this;
    const { shared } = deliveries;
    const refused = deliveries.endpoint?.denial;
    if (refused !== undefined) {
      this.#giveUpEndpoint(false);
      return { name: "closed", error: this.deliveries.error("NOT_PERMITTED", refused.reason, refused) };
    }
    const { progress } = shared;
    const known = await this.#lookForReset(registration);
    if (progress !== shared.progress) {
      this.#forgetFirst = false;
      this.#giveUpEndpoint(this.#settings.durable !== "");
      return { name: "connected", registration };
    }
    if (!known) return undefined;
    const { suspect } = progress;
    progress.confirm();
    if (!suspect) {
      deliveries.isSuspect = false;
      // What came meanwhile was not taken, nor was it noted whom it came to.
      if (shared.isGroup) progress.moveAll();
      return undefined;
    }
    // Nothing has been taken since it was asked for: rather than after `ackWait`, that is to come now.
    this.#giveUpEndpoint(false);
    return { name: "connected", registration };
  }

  /** Looks whether the channel has begun anew, and if so begins anew as well. False: not known yet. */
  async #lookForReset(registration: Registration): Promise<boolean> {
    const { shared, isSuspect } = this.deliveries;
    const { progress } = shared;
    const { durable, queue } = this.#settings;
    const finding = await detectReset(registration, this.#peek, progress, queue !== "" || isSuspect);
    // Another member of the group may have found out meanwhile, and finished what is in the new channel.
    if (finding !== "reset" || shared.progress !== progress) return finding !== "unknown";
    this.#forgetFirst = durable !== "" && queue === "";
    this.deliveries.reset(registration.session);
    return true;
  }

  /** Tells the server that the subscription is over, until it has answered. */
  async #takeLeave(registration: Registration): Promise<State> {
    const { ending, registrar } = this.#context;
    const { ackInbox } = this.deliveries.endpoint!;
    while (!ending.aborted) {
      if (registration.over.aborted) return { name: "disconnected" };
      const failure = await this.#requests.close(registration, ackInbox, this.#wish === "unsubscribe");
      if (failure === undefined || failure.class === "gone") return this.#closed(true);
      if (failure.class === "permanent") {
        const error = new StreamingError(failure.code, `${this.#wish} ${this.#subscription.subject}: ${failure.text}`, failure.cause);
        // Whoever unsubscribes is told by a rejection.
        if (this.#wish === "close") this.deliveries.report(error);
        return { name: "closed", error };
      }
      if (failure.class === "session-lost") registrar.verify();
      await sleep(RETRY_DELAY, registration.over, ending);
    }
    return this.#closed();
  }

  #closed(left = false): State {
    this.#left ||= left;
    return { name: "closed", error: undefined };
  }

  #end(error: StreamingError | undefined): void {
    this.deliveries.end();
    this.#ready?.reject(error ?? new StreamingError("CLOSED", `subscribe ${this.#subscription.subject}: closed`));
    this.#context.left(this.#subscription);
    this.#over?.resolve(error);
  }

  /** A durable is to be forgotten, which the server does only for one that is subscribed. */
  get #mustForget(): boolean {
    return this.#wish === "unsubscribe" && this.#settings.durable !== "" && this.#leaving.aborted;
  }

  /** Lets go of the place; the server is told before anything else is asked of it. */
  #giveUpEndpoint(forget: boolean): void {
    const { endpoint } = this.deliveries;
    if (endpoint === undefined) return;
    endpoint.close();
    this.deliveries.endpoint = undefined;
    this.#orphaned.add(endpoint.session, endpoint.inbox, endpoint.ackInbox, forget);
  }

  #notifySubscribed(resumed: boolean, from: number | undefined): void {
    const reason = this.#missing?.renewal;
    if (this.#missing !== undefined) this.#missing.renewal = undefined;
    const subscription = this.#subscription;
    const status = { type: "subscribed", subscription, resumed, ...(from && { from }), ...(reason && { reason }) } as const;
    if (!this.#leaving.aborted) this.#context.notify(status);
    this.#ready?.resolve();
    this.#ready = undefined;
  }
}
