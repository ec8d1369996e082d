import { deferred, noop, RETRY_DELAY, settled, sleep } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import { elapsed, now } from "../../core-nats/clock.ts";
import { Connection } from "../../core-nats/connection.ts";
import { NatsError } from "../../core-nats/errors.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { Server } from "../../core-nats/servers.ts";
import type { ClientStatus } from "./client-status.ts";
import { Dialer, notConnected, problem } from "./dialer.ts";
import { Liveness } from "./liveness.ts";
import type { LivenessEvents } from "./liveness.ts";
import type { SessionListener, PublishState, Registrar, Registration } from "./registration.ts";
import { StreamingError } from "../errors.ts";
import type { Settings } from "../settings.ts";
import { Session } from "./session.ts";
import type { ClientStats } from "../stats.ts";
import { Stopwatch } from "./stopwatch.ts";

type State =
  /** No connection. The session, if there is one, may still be alive on the server. */
  | { readonly name: "disconnected"; readonly session: Session | undefined; readonly last: Server | undefined }
  /** A connection. The session, if there is one, is to be verified; a registration is there if it was valid on this very connection. */
  | { readonly name: "connected"; readonly connection: Connection; readonly session: Session | undefined; readonly registration: Registering | undefined }
  /** The server knows the session. */
  | { readonly name: "registered"; readonly registration: Registering; readonly resumed: boolean }
  | { readonly name: "closed"; readonly error: StreamingError | undefined };

interface Registering extends Registration {
  readonly over: Lifetime;
}

/** The server takes 500 ms to find out whether the owner of a client ID is alive, and refuses all others meanwhile. */
const IN_USE_DELAY = 600;
const IN_USE_TRIES = 10;
const IN_USE_DELAY_AT_FIRST = 2_000;
/** How often a registration is tried that has little hope. */
const HOPELESS_DELAY = 30_000;
/** How often it is looked whether all has been answered before the connection is left. */
const MOVE_INTERVAL = 20;
/** A registration that held for so long is the end of an outage; one that did not is a part of it. */
const STEADY = 1_000;

/**
 * Keeps a client registered: disconnected, connected, registered, and again, for as long as it takes. Only `close`
 * ends it, or a failure before the first registration.
 */
export class Supervisor implements Registrar, LivenessEvents {
  /** How much time has passed. */
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
  /** Dials of this outage, so that a server that takes us and drops us again is not dialled without a pause. */
  #attempt = 0;
  /** What was told last of this outage: it is told once, not at each attempt. */
  #lastError: string | undefined;
  #connections = 0;
  #registrations = 0;
  #resumptions = 0;
  #registeredAt = 0;
  #pongAt = 0;
  #suspicion = new Lifetime();
  /** A server that has said it is about to shut down. */
  #lameDuck: Server | undefined;
  /** The last server was well when the link to it was lost: it is dialled first. */
  #lastIsWell = false;
  readonly #dialer: Dialer;
  readonly #liveness: Liveness;

  /** `dependents` are told in their order, at each change. */
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
    this.#dialer = new Dialer(settings, {
      problem: (error) => notify({ type: "error", error: problem(error) }),
      informed: (info, from) => {
        if (info.lameDuck) this.#leave(from);
        else if (this.#lameDuck === from) this.#lameDuck = undefined;
      },
    });
    this.#liveness = new Liveness(settings, publishes, this.#closing, this);
    // Whoever waits for it takes the failure; if nobody does, it is not unhandled.
    this.#first.promise.catch(noop);
  }

  get state(): State["name"] {
    return this.#state.name;
  }

  /** Resolves with the first registration; rejects with the reason for which there is none. */
  get first(): Promise<void> {
    return this.#first.promise;
  }

  /** The registration, while the session is known to be alive. */
  get registration(): Registration | undefined {
    if (this.#state.name !== "registered") return undefined;
    const { registration } = this.#state;
    // What ends it wakes the loop and its dependents alike: whoever comes before the loop must not find it once more.
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

  /** Resolves with the registration as soon as there is one; with undefined once `ending` ends. */
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
  /** Has the session verified before anything more is published; `error` is told, if there is one. */
  verify(error?: StreamingError): void {
    if (this.#state.name !== "registered" || this.#suspicion.aborted) return;
    for (const listener of this.#listeners()) listener.suspend();
    if (error !== undefined) this.#notify({ type: "error", error });
    this.#suspicion.abort();
  }

  /** Ends the loop; takes leave of the server if the session is known to be alive. */
  close(): void {
    this.#closing.abort();
  }

  // Why: docs/decisions.md#states-are-loops
  /** The loop. Resolves when it has ended. */
  async run(): Promise<void> {
    while (this.#state.name !== "closed") {
      const state: State = this.#state;
      try {
        this.#state = await this.#live(state);
      } catch (error) {
        // Not expected. Ending the client for it would break the one promise that counts.
        this.#notify({ type: "error", error: new StreamingError("CONNECT_FAILED", "supervise: an unexpected failure", error) });
        await sleep(RETRY_DELAY, this.#closing);
        this.#state = this.#startOver(state);
      }
    }
    this.#first.reject(this.#state.error ?? new StreamingError("CLOSED", "connect: closed"));
    this.#notify({ type: "closed" });
  }

  #live(state: State): Promise<State> | State {
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
    await sleep(this.#delay(this.#attempt++), closing);
    const { servers } = this.#settings;
    const dialled = await this.#dialer.dial(servers.round(last, this.#lastIsWell), closing);
    if (dialled instanceof Connection) {
      this.#connections++;
      return { name: "connected", connection: dialled, session, registration: undefined };
    }
    if (closing.aborted) return { name: "closed", error: undefined };
    const error = notConnected(dialled);
    if (this.#givesUp(error)) return { name: "closed", error };
    this.#notifyOnce(error);
    return { name: "disconnected", session, last };
  }

  async #connected({ connection, session, registration }: State & { name: "connected" }): Promise<State> {
    if (registration === undefined) {
      session?.open(connection);
      for (const listener of this.#listeners()) listener.open(connection, session);
    }
    if (session !== undefined) {
      const verdict = session.canPing ? await this.#liveness.verdict(session, connection, registration === undefined) : "gone";
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
    for (let tries = 1; !connection.ended.aborted && !closing.aborted; tries++) {
      const session = new Session(this.#settings);
      let error: StreamingError;
      try {
        await session.register(connection, closing);
        if (!connection.ended.aborted && !closing.aborted) {
          return { name: "registered", registration: registrationOf(connection, session), resumed: false };
        }
        if (!connection.ended.aborted) await session.close(connection);
        return this.#unconnected(connection, session, undefined);
      } catch (failure) {
        error = failure instanceof StreamingError ? failure : new StreamingError("CONNECT_FAILED", "register: an unexpected failure", failure);
      }
      session.abandon();
      if (connection.ended.aborted || closing.aborted) break;
      if (this.#givesUp(error)) {
        connection.close();
        return { name: "closed", error };
      }
      const delay = this.#registerDelay(error, tries);
      if (delay === HOPELESS_DELAY) {
        this.#publishes.refuse(error);
        this.#lastError = undefined;
      }
      this.#notifyOnce(error);
      await sleep(delay, connection.ended, closing);
    }
    return this.#unconnected(connection, undefined, undefined);
  }

  #registerDelay(error: StreamingError, tries: number): number {
    switch (error.code) {
      case "CLIENT_ID_IN_USE":
        if (tries <= IN_USE_TRIES) return IN_USE_DELAY * (1 + Math.random() / 2);
        return this.#everRegistered ? HOPELESS_DELAY : IN_USE_DELAY_AT_FIRST;
      case "REFUSED":
      case "NOT_PERMITTED":
        return HOPELESS_DELAY;
      default:
        return RETRY_DELAY;
    }
  }

  async #registered({ registration, resumed }: State & { name: "registered" }): Promise<State> {
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
    if (elapsed() - since >= STEADY) this.#attempt = 0;
    if (closing.aborted && !connection.ended.aborted) {
      // A successor that we have not heard of yet would lose its session: asked first, since the request names no session.
      const alive = !session.canPing || (await session.ping(connection, this.#settings.requestTimeout)) === "alive";
      if (alive) await session.close(connection);
      return this.#unconnected(connection, session, registration);
    }
    if (connection.ended.aborted) return this.#unconnected(connection, session, registration);
    if (this.#lameDuck === connection.server) return this.#move(registration);
    for (const listener of this.#listeners()) listener.suspend();
    if (verdict === "gone") {
      this.#notify({ type: "error", error: new StreamingError("REFUSED", "ping: the streaming server has forgotten this session") });
      session.abandon();
      registration.over.abort();
      return { name: "connected", connection, session: undefined, registration: registration };
    }
    return { name: "connected", connection, session, registration };
  }

  /** The server is about to shut down: go before it does, and take along what is under way. */
  async #move(registration: Registering): Promise<State> {
    const { connection, session } = registration;
    for (const listener of this.#listeners()) listener.suspend();
    const endings = [connection.ended, this.#closing];
    // What was sent before, acks of messages included, has arrived with this one.
    await settled(session.ping(connection, this.#settings.requestTimeout), ...endings);
    // What is stored late is acknowledged late, but after a while there is no waiting for it.
    const enough = elapsed() + this.#settings.requestTimeout;
    while (this.#publishes.unanswered > 0 && elapsed() < enough && !endings.some((ending) => ending.aborted)) {
      await sleep(MOVE_INTERVAL, ...endings);
    }
    connection.end(new NatsError("SERVER", `${connection.server.label}: the server is about to shut down (lame duck)`));
    return this.#unconnected(connection, session, registration);
  }

  #leave(server: Server): void {
    const elsewhere = this.#settings.servers.round().length > 1;
    if (!elsewhere) return;
    this.#lameDuck = server;
    if (this.#state.name === "registered" && this.#state.registration.connection.server === server) this.#suspicion.abort();
  }

  /** After the connection has ended, or when it is to end because the client does. */
  #unconnected(connection: Connection, session: Session | undefined, registration: Registering | undefined): State {
    const closing = this.#closing.aborted;
    if (closing) connection.close();
    registration?.over.abort();
    const reason: unknown = connection.ended.reason;
    const code = reason instanceof NatsError && reason.code === "AUTHORIZATION" ? "AUTH_FAILED" : "CONNECT_FAILED";
    const text = reason instanceof NatsError ? reason.reason : "lost";
    const error = new StreamingError(code, `connection: ${text}`, reason);
    for (const listener of this.#listeners()) listener.lost(error);
    if (closing) return { name: "closed", error: undefined };
    if (this.#givesUp(error)) return { name: "closed", error };
    this.#notify({ type: "disconnected", error });
    this.#lastIsWell = reason instanceof NatsError && reason.code === "CONNECTION_LOST";
    if (this.#lameDuck === connection.server) this.#lameDuck = undefined;
    return { name: "disconnected", session, last: connection.server };
  }

  /** After a failure that nobody expected: nothing is taken for granted but the session, which a ping tells of. */
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
    this.#notifyOnce(error);
  }

  /** Not the end of it: heartbeats keep the session alive, but its loss will be noticed by a publish alone. */
  pingDenied(session: Session): void {
    const text = `ping: the NATS server does not permit ${session.subjects.pingRequests}: a lost session is not noticed soon`;
    this.#notifyOnce(new StreamingError("NOT_PERMITTED", text));
  }

  #notifyOnce(error: StreamingError): void {
    if (this.#lastError !== error.message) this.#notify({ type: "error", error });
    this.#lastError = error.message;
  }

  /** Before the first registration failures end the client, unless it was told to wait and waiting may help. */
  #givesUp(error: StreamingError): boolean {
    if (this.#everRegistered) return false;
    if (!this.#settings.waitOnFirstConnect) return true;
    return error.code === "AUTH_FAILED" || error.code === "NOT_PERMITTED" || error.code === "REFUSED";
  }

  #delay(attempt: number): number {
    try {
      const delay = this.#settings.reconnectDelay(attempt);
      // A delay of the caller's that is no number must not become a busy loop.
      return delay >= 0 && delay < 2 ** 31 ? delay : 2_000;
    } catch {
      return 2_000;
    }
  }
}

function registrationOf(connection: Connection, session: Session): Registering {
  return { connection, session, over: new Lifetime() };
}
