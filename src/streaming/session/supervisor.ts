import { RETRY_DELAY, deferred, noop, settled, sleep } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import { elapsed, now } from "../../core-nats/clock.ts";
import { Connection } from "../../core-nats/connection.ts";
import { Dialer } from "../../core-nats/dialer.ts";
import { NatsError } from "../../core-nats/errors.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { Server } from "../../core-nats/servers.ts";
import { StreamingError } from "../errors.ts";
import { invariant } from "../invariant.ts";
import type { Settings } from "../settings.ts";
import type { ClientStats } from "../stats.ts";
import type { ClientStatus } from "./client-status.ts";
import { notConnected, problem } from "./connection-errors.ts";
import { LONG_DELAY, dialDelay, registerDelay } from "./delays.ts";
import { Liveness } from "./liveness.ts";
import type { LivenessEvents } from "./liveness.ts";
import type { PublishState, Registrar, Registration, SessionListener } from "./registration.ts";
import { Session } from "./session.ts";
import { Stopwatch } from "./stopwatch.ts";

type State =
  /** No connection. The session, if there is one, may still be alive on the server. */
  | { readonly name: "disconnected"; readonly session: Session | undefined; readonly last: Server | undefined }
  /** A connection. A session is not verified yet. A registration is of this connection. */
  | {
      readonly name: "connected";
      readonly connection: Connection;
      readonly session: Session | undefined;
      readonly registration: OwnRegistration | undefined;
    }
  /** The server knows the session. */
  | { readonly name: "registered"; readonly registration: OwnRegistration; readonly resumed: boolean }
  | { readonly name: "closed"; readonly error: StreamingError | undefined };

/** A registration that the supervisor can end. */
interface OwnRegistration extends Registration {
  readonly over: Lifetime;
}

/** How often the supervisor checks whether all publishes are answered before it leaves a server. */
const MOVE_INTERVAL = 20;
/** A registration that lasts this long ends an outage. A shorter one is a part of it. */
const STABLE_TIME = 1_000;

/**
 * Keeps a client registered: it goes from disconnected to connected to registered, again and again. Only `close` ends
 * it, or a failure before the first registration.
 */
export class Supervisor implements Registrar, LivenessEvents {
  readonly stopwatch = new Stopwatch();
  readonly #settings: Settings;
  readonly #notify: (status: ClientStatus) => void;
  readonly #publishes: PublishState;
  readonly #listeners: () => Iterable<SessionListener>;
  readonly #closing = new Lifetime();
  readonly #first = deferred();
  readonly #waiting: Deferred<void>[] = [];
  #state: State = { name: "disconnected", session: undefined, last: undefined };
  #everRegistered = false;
  /** Counts the dials of this outage: a server that accepts the client and drops it again is dialled with pauses. */
  #attempt = 0;
  /** The last error of this outage, which is reported once and not at each attempt. */
  #lastError: string | undefined;
  #connections = 0;
  #registrations = 0;
  #resumptions = 0;
  #registeredAt = 0;
  #pongAt = 0;
  #suspicion = new Lifetime();
  /** The server that announced its shutdown (lame duck mode). */
  #lameDuck: Server | undefined;
  /** The last server did not fail before the link to it was lost. So the client dials it first. */
  #lastIsWell = false;
  readonly #dialer: Dialer;
  readonly #liveness: Liveness;

  /** `listeners` returns the listeners in the order in which they learn of a change. */
  constructor(
    settings: Settings,
    notify: (status: ClientStatus) => void,
    publishes: PublishState,
    listeners: () => Iterable<SessionListener>,
  ) {
    this.#settings = settings;
    this.#notify = notify;
    this.#publishes = publishes;
    this.#listeners = listeners;
    this.#dialer = new Dialer({ ...settings, name: settings.clientId }, {
      problem: (error) => this.#report(problem(error)),
      informed: (info, from) => {
        if (info.lameDuck) this.#avoid(from);
        else if (this.#lameDuck === from) this.#lameDuck = undefined;
      },
    });
    this.#liveness = new Liveness(settings, publishes, this.#closing, this);
    // The caller of `first` handles a rejection. Without a caller, it must not be an unhandled one.
    this.#first.promise.catch(noop);
  }

  get state(): State["name"] {
    return this.#state.name;
  }

  /** Resolves with the first registration. Rejects if the client ends before. */
  get first(): Promise<void> {
    return this.#first.promise;
  }

  /** The registration, while the session is known to be alive. */
  get registration(): Registration | undefined {
    if (this.#state.name !== "registered") return undefined;
    const { registration } = this.#state;
    // Its end wakes the loop and the listeners. A listener that runs before the loop must not find the registration.
    return registration.over.aborted || registration.connection.ended.aborted ? undefined : registration;
  }

  /** See `Client.stats`. */
  stats(): Pick<ClientStats, "connections" | "registrations" | "resumptions" | "registeredAt" | "pongAt"> {
    return {
      connections: this.#connections,
      registrations: this.#registrations,
      resumptions: this.#resumptions,
      registeredAt: this.#registeredAt,
      pongAt: this.#pongAt,
    };
  }

  async registered(ending: AbortSignalLike): Promise<Registration | undefined> {
    while (!ending.aborted) {
      if (this.registration !== undefined) return this.registration;
      const wait = deferred();
      this.#waiting.push(wait);
      await settled(wait.promise, ending);
    }
    return undefined;
  }

  // Why: docs/decisions.md#verify-before-giving-up-a-session
  verify(error?: StreamingError): void {
    if (this.#state.name !== "registered" || this.#suspicion.aborted) return;
    this.#suspend();
    if (error !== undefined) this.#report(error);
    this.#suspicion.abort();
  }

  /** Ends the loop. The loop first closes the session, if it is alive. */
  close(): void {
    this.#closing.abort();
  }

  // Why: docs/decisions.md#states-are-loops
  /** Runs the loop. Resolves when it has ended. */
  async run(): Promise<void> {
    while (this.#state.name !== "closed") {
      const state: State = this.#state;
      try {
        this.#state = await this.#runState(state);
      } catch (error) {
        // A bug. The client promises to go on, so it starts over.
        this.#report(new StreamingError("CONNECT_FAILED", "supervise: an unexpected failure", error));
        await sleep(RETRY_DELAY, this.#closing);
        this.#state = this.#startOver(state);
      }
    }
    this.#first.reject(this.#state.error ?? new StreamingError("CLOSED", "connect: closed"));
    this.#notify({ type: "closed" });
  }

  #runState(state: State): Promise<State> | State {
    switch (state.name) {
      case "disconnected":
        return this.#disconnected(state);
      case "connected":
        return this.#connected(state);
      case "registered":
        return this.#registered(state);
      default:
        return state;
    }
  }

  async #disconnected({ session, last }: State & { name: "disconnected" }): Promise<State> {
    const closing = this.#closing;
    await sleep(dialDelay(this.#settings, this.#attempt++), closing);
    const { servers } = this.#settings;
    const dialled = await this.#dialer.dial(servers.round(last, this.#lastIsWell), closing);
    if (dialled instanceof Connection) {
      this.#connections++;
      return { name: "connected", connection: dialled, session, registration: undefined };
    }
    if (closing.aborted) return { name: "closed", error: undefined };
    invariant(dialled.length > 0, "supervise: no dial succeeded, and none failed");
    const error = notConnected(dialled);
    if (this.#givesUp(error)) return { name: "closed", error };
    this.#reportOnce(error);
    return { name: "disconnected", session, last };
  }

  async #connected({ connection, session, registration }: State & { name: "connected" }): Promise<State> {
    const isNew = registration === undefined;
    invariant(isNew || registration.connection === connection, "supervise: a registration is of another connection");
    const sameSession = isNew || session === undefined || registration.session === session;
    invariant(sameSession, "supervise: a registration is of another session");
    if (isNew) {
      session?.open(connection);
      for (const listener of this.#listeners()) listener.open(connection, session);
    }
    if (session !== undefined) {
      const verdict = session.canPing ? await this.#liveness.verdict(session, connection, isNew) : "gone";
      if (verdict === "alive") {
        return { name: "registered", registration: registration ?? registrationOf(connection, session), resumed: true };
      }
      if (verdict === "gone") {
        session.abandon();
        registration?.over.abort();
      }
      if (verdict === undefined) return this.#unconnected(connection, session, registration);
    }
    return this.#register(connection);
  }

  async #register(connection: Connection): Promise<State> {
    const closing = this.#closing;
    const ending = (): boolean => connection.ended.aborted || closing.aborted;
    for (let tries = 1; !ending(); tries++) {
      const session = new Session(this.#settings);
      let error: StreamingError;
      try {
        await session.register(connection, closing);
        if (!ending()) return { name: "registered", registration: registrationOf(connection, session), resumed: false };
        if (!connection.ended.aborted) await session.close(connection);
        return this.#unconnected(connection, session, undefined);
      } catch (failure) {
        const unexpected = new StreamingError("CONNECT_FAILED", "register: an unexpected failure", failure);
        error = failure instanceof StreamingError ? failure : unexpected;
      }
      session.abandon();
      if (ending()) break;
      if (this.#givesUp(error)) {
        connection.close();
        return { name: "closed", error };
      }
      const delay = registerDelay(error, tries, this.#everRegistered);
      if (delay === LONG_DELAY) {
        this.#publishes.refuse(error);
        this.#lastError = undefined;
      }
      this.#reportOnce(error);
      await sleep(delay, connection.ended, closing);
    }
    return this.#unconnected(connection, undefined, undefined);
  }

  async #registered({ registration, resumed }: State & { name: "registered" }): Promise<State> {
    invariant(!registration.over.aborted, "supervise: a registration that is over was resumed");
    const { connection, session } = registration;
    const closing = this.#closing;
    const since = elapsed();
    this.#suspicion = new Lifetime();
    const suspicion = this.#suspicion;
    if (this.#lameDuck === connection.server) suspicion.abort();
    this.#everRegistered = true;
    this.#registeredAt = this.#pongAt = now();
    if (resumed) this.#resumptions++;
    else this.#registrations++;
    if (resumed) this.stopwatch.alive();
    else this.stopwatch.renewed();
    this.#lastError = undefined;
    this.#first.resolve();
    this.#notify({ type: "registered", resumed });
    for (const listener of this.#listeners()) listener.resume(registration);
    for (const wait of this.#waiting.splice(0)) wait.resolve();

    const verdict = await this.#liveness.watch(registration, suspicion);
    const ended = suspicion.aborted || connection.ended.aborted || closing.aborted;
    invariant(verdict === "gone" || ended, "supervise: a registration ended for no reason");
    if (elapsed() - since >= STABLE_TIME) this.#attempt = 0;
    if (closing.aborted && !connection.ended.aborted) {
      // The close request names no session. It would close the session of a successor, so a ping goes first.
      const alive = !session.canPing || (await session.ping(connection, this.#settings.requestTimeout)) === "alive";
      if (alive) await session.close(connection);
    }
    if (closing.aborted || connection.ended.aborted) return this.#unconnected(connection, session, registration);
    if (this.#lameDuck === connection.server) return this.#move(registration);
    this.#suspend();
    if (verdict === "gone") {
      this.#report(new StreamingError("REFUSED", "ping: the streaming server has forgotten this session"));
      session.abandon();
      registration.over.abort();
      return { name: "connected", connection, session: undefined, registration };
    }
    return { name: "connected", connection, session, registration };
  }

  /** Leaves a server that is about to shut down, after it has answered the publishes that are in flight. */
  async #move(registration: OwnRegistration): Promise<State> {
    const { connection, session } = registration;
    this.#suspend();
    const endings = [connection.ended, this.#closing];
    // All that was sent before this ping has arrived with it, acks of messages included.
    await settled(session.ping(connection, this.#settings.requestTimeout), ...endings);
    // Acks may come late. The wait for them has a limit.
    const limit = elapsed() + this.#settings.requestTimeout;
    while (this.#publishes.unanswered > 0 && elapsed() < limit && !endings.some((ending) => ending.aborted)) {
      await sleep(MOVE_INTERVAL, ...endings);
    }
    connection.end(new NatsError("SERVER", `${connection.server.label}: the server is about to shut down (lame duck)`));
    return this.#unconnected(connection, session, registration);
  }

  /** Leaves a lame duck, if there is another server. */
  #avoid(server: Server): void {
    const elsewhere = this.#settings.servers.round().length > 1;
    if (!elsewhere) return;
    this.#lameDuck = server;
    if (this.#state.name !== "registered") return;
    if (this.#state.registration.connection.server === server) this.#suspicion.abort();
  }

  /** Follows the end of the connection. If the client ends, it ends the connection first. */
  #unconnected(connection: Connection, session: Session | undefined, registration: OwnRegistration | undefined): State {
    const closing = this.#closing.aborted;
    if (closing) connection.close();
    registration?.over.abort();
    const { reason } = connection.ended;
    invariant(reason instanceof NatsError, "supervise: a connection was given up before it ended");
    const code = reason.code === "AUTHORIZATION" ? "AUTH_FAILED" : "CONNECT_FAILED";
    const error = new StreamingError(code, `connection: ${reason.reason}`, reason);
    for (const listener of this.#listeners()) listener.lost(error);
    if (closing) return { name: "closed", error: undefined };
    if (this.#givesUp(error)) return { name: "closed", error };
    this.#notify({ type: "disconnected", error });
    this.#lastIsWell = reason.code === "CONNECTION_LOST";
    if (this.#lameDuck === connection.server) this.#lameDuck = undefined;
    return { name: "disconnected", session, last: connection.server };
  }

  /** Follows an unexpected failure. Only the session stays: a ping tells whether it is alive. */
  #startOver(state: State): State {
    const registration = "registration" in state ? state.registration : undefined;
    const connection = "connection" in state ? state.connection : registration?.connection;
    const session = "session" in state ? state.session : registration?.session;
    if (connection === undefined) return { name: "disconnected", session, last: undefined };
    connection.end(new NatsError("CLOSED", "an unexpected failure"));
    return this.#unconnected(connection, session, registration);
  }

  alive(): void {
    this.#pongAt = now();
    this.stopwatch.alive();
  }

  answersAgain(registration: Registration, sent: number): void {
    for (const listener of this.#listeners()) listener.resume(registration, sent);
  }

  noResponders(error: StreamingError): void {
    this.#reportOnce(error);
  }

  /** The session goes on: heartbeats keep it alive. But only a publish will notice its loss. */
  pingDenied(session: Session): void {
    const reason = `the NATS server does not permit ${session.subjects.pingRequests}`;
    this.#reportOnce(new StreamingError("NOT_PERMITTED", `ping: ${reason}: a lost session is not noticed soon`));
  }

  #suspend(): void {
    for (const listener of this.#listeners()) listener.suspend();
  }

  #report(error: StreamingError): void {
    this.#notify({ type: "error", error });
  }

  #reportOnce(error: StreamingError): void {
    if (this.#lastError !== error.message) this.#report(error);
    this.#lastError = error.message;
  }

  /** Whether the failure ends the client. It does so only before the first registration; see `waitOnFirstConnect`. */
  #givesUp(error: StreamingError): boolean {
    if (this.#everRegistered) return false;
    if (!this.#settings.waitOnFirstConnect) return true;
    return error.code === "AUTH_FAILED" || error.code === "NOT_PERMITTED" || error.code === "REFUSED";
  }
}

function registrationOf(connection: Connection, session: Session): OwnRegistration {
  return { connection, session, over: new Lifetime() };
}
