import { aborted, anySignal, deferred, noop, RETRY_DELAY, sleep } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import type { Connection } from "../../core-nats/connection.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import { StreamingError } from "../errors.ts";
import type { Registration, SessionListener } from "../session/registration.ts";
import type { Session } from "../session/session.ts";
import { detectReset, verifyChannel } from "./channel-reset.ts";
import type { ClientContext } from "./client-context.ts";
import { Closing } from "./closing.ts";
import { Deliveries } from "./deliveries.ts";
import type { DeliveryEvents } from "./deliveries.ts";
import { Endpoint } from "./endpoint.ts";
import type { MessageHandler } from "./handlers.ts";
import type { Subscription } from "./message.ts";
import { MissingMessages } from "./missing-messages.ts";
import { Orphans } from "./orphans.ts";
import { Peek } from "./peek.ts";
import { denied, Requests } from "./requests.ts";
import type { Failure } from "./requests.ts";
import { fromFirst, fromSequence, fromStart } from "./start-position.ts";
import type { Start } from "./start-position.ts";
import type { SubscribeSettings } from "./subscribe-options.ts";
import { CLOSED, DISCONNECTED } from "./subscription-state.ts";
import type { InPlace, SubscriptionState } from "./subscription-state.ts";

/** The time before a refused request is sent again, in milliseconds. */
const REFUSED_DELAY = 1_000;
/** The answer "duplicate durable registration" is put down to an orphan of this client this many times. */
const DUPLICATE_TRIES = 5;

/** Keeps one subscription in place: disconnected, connected, subscribed, and again after each outage. */
export class Resubscriber implements SessionListener, DeliveryEvents {
  readonly deliveries: Deliveries;
  readonly closing = new Closing();
  readonly context: ClientContext;
  readonly settings: SubscribeSettings;
  #state = DISCONNECTED;
  /** Undefined once the server has accepted the subscription. */
  #ready: Deferred<void> | undefined;
  /** Aborts when the loop has something to do. */
  #wake = new Lifetime();
  /** The stopwatch's time of the first request that the server accepted. */
  #firstAskedAt: number | undefined;
  /** The server's durable belongs to the old channel: unsubscribe it before subscribing again. */
  #unsubscribeFirst = false;
  // Both are created on first use: most subscriptions never need them.
  #orphans: Orphans | undefined;
  #missing: MissingMessages | undefined;

  constructor(
    context: ClientContext,
    subscription: Subscription,
    subject: string,
    handler: MessageHandler,
    settings: SubscribeSettings,
  ) {
    this.context = context;
    this.settings = settings;
    this.deliveries = new Deliveries(context, subscription, subject, handler, settings, this);
  }

  get state(): SubscriptionState["name"] {
    return this.#state.name;
  }

  /** Starts the loop. Settles when the server has accepted or refused the subscription for the first time. */
  start(): Promise<void> {
    this.#ready = deferred();
    this.#ready.promise.catch(noop);
    void this.#run();
    return this.#ready.promise;
  }

  /** Ends the subscription. The loop then tells the server. */
  close(kind: "close" | "unsubscribe"): void {
    if (this.#state.name === "closed" || this.closing.aborted) return;
    this.closing.kind = kind;
    this.deliveries.stop("it is closed");
    this.closing.abort();
    this.#wake.abort();
  }

  open(connection: Connection, session: Session | undefined): void {
    const { endpoint } = this.deliveries;
    if (endpoint !== undefined && endpoint.session === session) endpoint.open(connection);
  }

  resume(registration: Registration): void {
    const { endpoint, group } = this.deliveries;
    if (endpoint?.session !== registration.session) return;
    this.deliveries.established();
    group.members?.resumed();
    this.context.watchdog.watch(this.deliveries);
  }

  /** The streaming server may be gone, and with it the messages that were on their way. */
  suspend(): void {
    this.#missing?.interrupted();
    this.deliveries.group.interrupted();
  }

  lost(): void {
    this.#missing?.interrupted();
    this.deliveries.lost();
    // Newer messages would overtake those that the server sent into the dead link, and nothing would show that.
    const { mayBeOvertaken, endpoint } = this.deliveries;
    if (mayBeOvertaken && endpoint?.ackInbox) this.#orphanEndpoint(false);
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

  /** Created for each use: an idle subscription keeps none. */
  get #requests(): Requests {
    return new Requests(this.context, this.deliveries.subject, this.settings);
  }

  get #missingMessages(): MissingMessages {
    const { closing, deliveries } = this;
    return (this.#missing ??= new MissingMessages(this.context, this.settings, deliveries, this.#peek, closing));
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
      const state: SubscriptionState = this.#state;
      try {
        this.#state = await this.#step(state);
      } catch (error) {
        // Nothing here is expected to throw, and a failure is no reason to end.
        this.deliveries.report(this.deliveries.error("UNCONFIRMED", "an unexpected failure", error));
        await sleep(REFUSED_DELAY, this.context.ending);
        this.#state = DISCONNECTED;
      }
    }
    this.#end(this.#state.error);
  }

  #step(state: SubscriptionState): Promise<SubscriptionState> | SubscriptionState {
    switch (state.name) {
      case "disconnected":
        return this.#disconnected();
      case "connected":
        return this.#connected(state);
      case "subscribed":
        return this.#subscribed(state);
      default:
        throw new Error("a closed subscription has no next state");
    }
  }

  async #disconnected(): Promise<SubscriptionState> {
    const { ending, registrar } = this.context;
    const atServer = this.deliveries.endpoint !== undefined || this.#orphans?.hasOpen === true || this.#mustUnsubscribe;
    const waiting = atServer ? anySignal(ending) : anySignal(ending, this.closing);
    const registration = await registrar.registered(waiting.lifetime);
    waiting.release();
    if (registration !== undefined) return { name: "connected", registration };
    // The user may have called `unsubscribe` meanwhile, which only the server can do.
    return this.#mustUnsubscribe && !ending.aborted ? DISCONNECTED : CLOSED;
  }

  async #connected({ registration }: SubscriptionState & { name: "connected" }): Promise<SubscriptionState> {
    const { session, over } = registration;
    const { ending, semaphore } = this.context;
    const { endpoint } = this.deliveries;
    if (endpoint !== undefined && endpoint.session === session && endpoint.ackInbox !== "") {
      return { name: "subscribed", registration, resumed: true, from: undefined };
    }
    endpoint?.close();
    this.deliveries.endpoint = undefined;
    this.#orphans?.useSession(session);
    const acquired = await semaphore.acquire(over, ending);
    if (!acquired) return ending.aborted ? CLOSED : DISCONNECTED;
    try {
      return await this.#subscribe(registration);
    } finally {
      semaphore.release();
    }
  }

  async #subscribe(registration: Registration): Promise<SubscriptionState> {
    const { connection, session, over } = registration;
    const { ending, settings } = this.context;
    const { durable, queue, startAt } = this.settings;
    const { group } = this.deliveries;
    const connected: SubscriptionState = { name: "connected", registration };
    for (let duplicates = 0; ; ) {
      if (ending.aborted) return CLOSED;
      if (over.aborted || connection.ended.aborted) return DISCONNECTED;
      if ((await this.#orphans?.close(registration)) === false) return connected;
      if (this.closing.aborted && !this.#mustUnsubscribe) {
        this.closing.done = true;
        return CLOSED;
      }

      const again = this.#firstAskedAt !== undefined;
      if (again && group.resetIn !== session && group.progress.highest > 0) {
        const finding = await detectReset(registration, this.#peek, this.deliveries);
        if (finding === "unknown") return connected;
        if (finding === "reset") this.#unsubscribeFirst = durable !== "" && queue === "";
      }
      const resumes = again && group.resetIn !== session;
      let from = resumes ? group.progress.cursor : undefined;
      if (resumes && from === undefined && startAt === "lastReceived" && durable === "") {
        const start = this.#start(session, undefined);
        const last = await this.#peek.lastBefore(registration, start, settings.requestTimeout);
        if (last === undefined) return connected;
        from = last || undefined;
      }
      const failure = await this.#request(registration, from);
      if (failure === undefined && this.#unsubscribeFirst) {
        this.#unsubscribeFirst = false;
        this.#orphanEndpoint(true);
        continue;
      }
      if (failure === undefined) {
        // A subscription that is renewed in its session has no such gap: its group is still there.
        const renewed = this.#missing?.renewalReason !== undefined;
        if (from !== undefined && !renewed) this.#notifyGapOfGroup(from);
        return { name: "subscribed", registration, resumed: again, from };
      }
      if (over.aborted || connection.ended.aborted || ending.aborted) continue;
      const mayBeOrphan = failure.class === "duplicate-durable" && ++duplicates <= DUPLICATE_TRIES;
      if (!mayBeOrphan) return this.#refused(registration, failure);
      this.#orphans?.reopenAll();
      await sleep(RETRY_DELAY, over, ending);
    }
  }

  async #refused(registration: Registration, failure: Failure): Promise<SubscriptionState> {
    const { ending, registrar } = this.context;
    const error = this.deliveries.error(failure.code, failure.text, failure.cause);
    switch (failure.class) {
      case "permanent":
      case "duplicate-durable":
        return { name: "closed", error };
      case "session-lost":
        registrar.verify(failure.code === "NO_SERVER" ? error : undefined);
        await sleep(RETRY_DELAY, registration.over, ending);
        return DISCONNECTED;
      default:
        this.deliveries.report(error);
        await sleep(REFUSED_DELAY, registration.over, ending);
        // Releases the semaphore before it asks again: refused subscriptions must not keep others out.
        return { name: "connected", registration };
    }
  }

  /** Returns the start to request. A server ignores it for a durable, or a group, that it knows. */
  #start(session: Session, from: number | undefined): Start {
    if (this.deliveries.group.resetIn === session) return fromFirst;
    if (from !== undefined) return fromSequence(from);
    const { settings, registrar } = this.context;
    const elapsed = this.#firstAskedAt === undefined ? undefined : registrar.stopwatch.now - this.#firstAskedAt;
    return fromStart(this.settings.startAt, elapsed, settings.requestTimeout);
  }

  /** Requests the subscription. Resolves with undefined when it is in place, else with the failure. */
  async #request(registration: Registration, from: number | undefined): Promise<Failure | undefined> {
    const { connection, session } = registration;
    const { deliveries } = this;
    const endpoint = new Endpoint(deliveries, session, this.#requests.inbox());
    if (!this.closing.aborted) this.#wake = new Lifetime();
    deliveries.attach(endpoint);
    endpoint.open(connection);
    const { stopwatch } = this.context.registrar;
    // A whole number: a fraction takes 16 bytes more in each of thousands of subscriptions.
    const askedAt = Math.trunc(stopwatch.now);
    const start = this.#start(session, from);
    const failure = await this.#requests.subscribe(registration, endpoint.inbox, start, (ackInbox) => {
      // This runs before the next bytes are read: messages may follow the answer in the same chunk.
      endpoint.ackInbox = ackInbox;
      if (this.#firstAskedAt !== undefined) this.context.watchdog.watch(deliveries);
      this.#firstAskedAt ??= askedAt;
      deliveries.established();
    });
    if (failure === undefined && endpoint.denial === undefined) return undefined;
    this.#orphanEndpoint(false);
    return endpoint.denial === undefined ? failure : denied(endpoint.denial);
  }

  async #subscribed({ registration, resumed, from }: InPlace): Promise<SubscriptionState> {
    this.#notifySubscribed(resumed, from);
    const { over } = registration;
    const { ending } = this.context;
    // What was to be looked for before the server was asked.
    if (this.#missing?.isPending === true) this.#wake.abort();
    for (;;) {
      await aborted(over, ending, this.#wake);
      if (ending.aborted) return CLOSED;
      if (over.aborted) return DISCONNECTED;
      if (this.closing.aborted) return this.#close(registration);
      const next = await this.#inspect(registration);
      if (next !== undefined) return next;
    }
  }

  /** Finds out why the loop was woken. Resolves with undefined if the subscription stays as it is. */
  async #inspect(registration: Registration): Promise<SubscriptionState | undefined> {
    if (this.deliveries.isSuspect) return this.#verifyChannel(registration);
    this.#wake = new Lifetime();
    await this.#missing?.find(registration);
    if (this.#missing?.renewalReason === undefined) return undefined;
    this.#orphanEndpoint(false);
    return { name: "connected", registration };
  }

  /** Verifies a suspect channel. Resolves with undefined if the subscription stays as it is. */
  async #verifyChannel(registration: Registration): Promise<SubscriptionState | undefined> {
    const { deliveries } = this;
    const denial = deliveries.endpoint?.denial;
    if (denial !== undefined) {
      this.#orphanEndpoint(false);
      return { name: "closed", error: deliveries.error("NOT_PERMITTED", denial.reason, denial) };
    }
    const finding = await verifyChannel(registration, this.#peek, deliveries);
    if (finding === undefined) return undefined;
    // After a reset the server's durable has its position in the old channel.
    this.#orphanEndpoint(finding === "reset" && this.settings.durable !== "");
    return { name: "connected", registration };
  }

  async #close(registration: Registration): Promise<SubscriptionState> {
    const { endpoint } = this.deliveries;
    if (endpoint === undefined) throw new Error("a subscription in place has no endpoint");
    const end = await this.closing.request(this.#requests, registration, endpoint.ackInbox, this.context.ending);
    if (end === "disconnected") return DISCONNECTED;
    if (end === "closed") return CLOSED;
    // `unsubscribe` rejects with the error.
    if (this.closing.kind === "close") this.deliveries.report(end);
    return { name: "closed", error: end };
  }

  #end(error: StreamingError | undefined): void {
    this.deliveries.end();
    this.#ready?.reject(error ?? new StreamingError("CLOSED", `subscribe ${this.deliveries.subject}: closed`));
    this.context.ended(this.deliveries.subscription);
    this.closing.end(error);
  }

  get #mustUnsubscribe(): boolean {
    return this.closing.mustUnsubscribe(this.settings.durable);
  }

  /** Gives up the endpoint. The server's subscription is closed, or unsubscribed, before the next request. */
  #orphanEndpoint(unsubscribe: boolean): void {
    const { endpoint } = this.deliveries;
    if (endpoint === undefined) return;
    endpoint.close();
    this.deliveries.endpoint = undefined;
    this.#orphaned.add(endpoint.session, endpoint.inbox, endpoint.ackInbox, unsubscribe);
  }

  /** The group was requested again from this sequence on. Members in other processes may have had more. */
  #notifyGapOfGroup(from: number): void {
    if (this.settings.queue === "" || this.settings.durable !== "") return;
    const missing = "what members of the group in other processes had and did not finish";
    const reason = `${missing} comes again only if the group outlived the outage`;
    const { next = from, highest } = this.deliveries.group.progress;
    if (next <= highest) this.deliveries.notifyGap(next, highest, reason);
  }

  #notifySubscribed(resumed: boolean, from: number | undefined): void {
    const reason = this.#missing?.renewalReason;
    if (this.#missing !== undefined) this.#missing.renewalReason = undefined;
    const { subscription } = this.deliveries;
    const details = { ...(from && { from }), ...(reason && { reason }) };
    if (!this.closing.aborted) this.context.notify({ type: "subscribed", subscription, resumed, ...details });
    this.#ready?.resolve();
    this.#ready = undefined;
  }
}
