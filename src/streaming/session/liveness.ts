import { settled, sleep } from "../../core-nats/async.ts";
import { now } from "../../core-nats/clock.ts";
import type { Connection } from "../../core-nats/connection.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import { StreamingError } from "../errors.ts";
import type { Settings } from "../settings.ts";
import type { PublishState, Registration } from "./registration.ts";
import type { Session } from "./session.ts";

/** What pings tell, beyond their verdict. */
export interface LivenessEvents {
  /** The server knows the session. */
  alive(): void;
  /** The server answers after pings that it did not answer; `sent` is the last publish that was sent before this one. */
  answersAgain(registration: Registration, sent: number): void;
  /** For long nobody has answered on a new connection. */
  noResponders(error: StreamingError): void;
  /** The NATS server does not permit pings. */
  pingDenied(session: Session): void;
  /** The session has to be verified. */
  verify(error: StreamingError): void;
}

/** Pings that must be answered definitely are repeated this often: a new leader is found soon after it serves. */
const VERIFY_INTERVAL = 100;
const VERIFY_TIMEOUT = 1_000;
/** For so long a new leader, or a restarted server, may be out of reach before it is told. */
const UNANNOUNCED = 2_000;

/** Asks the streaming server whether it knows the session, by pings. */
export class Liveness {
  readonly #settings: Settings;
  readonly #publishes: PublishState;
  /** The end of the client. */
  readonly #closing: AbortSignalLike;
  readonly #events: LivenessEvents;

  constructor(settings: Settings, publishes: PublishState, closing: AbortSignalLike, events: LivenessEvents) {
    this.#settings = settings;
    this.#publishes = publishes;
    this.#closing = closing;
    this.#events = events;
  }

  /** Asks until the answer is definite; undefined if the connection or the client ends before. `news`: nobody knows yet. */
  async verdict(session: Session, connection: Connection, news: boolean): Promise<"alive" | "gone" | undefined> {
    const closing = this.#closing;
    const definite = new Lifetime();
    let verdict: "alive" | "gone" | undefined;
    for (let asked = 0; verdict === undefined && !connection.ended.aborted && !closing.aborted; asked++) {
      if (news && asked === UNANNOUNCED / VERIFY_INTERVAL) {
        this.#events.noResponders(new StreamingError("NO_SERVER", "ping: connected, but no streaming server is in charge"));
      }
      void session.ping(connection, VERIFY_TIMEOUT).then((answer) => {
        if (answer === "denied") this.#events.pingDenied(session);
        if (answer === "no-responders" || answer === "timeout") return;
        // Nobody can tell whether it lives: registering anew is sure.
        verdict ??= answer === "alive" ? "alive" : "gone";
        definite.abort();
      });
      await sleep(VERIFY_INTERVAL, definite, connection.ended, closing);
    }
    return closing.aborted || connection.ended.aborted ? undefined : verdict;
  }

  /** Pings until the session has to be verified (undefined), is gone, or connection or client end. */
  async watch(registration: Registration, suspicion: AbortSignalLike): Promise<"gone" | undefined> {
    const { session, connection } = registration;
    const { pingInterval, pingMaxOut, requestTimeout } = this.#settings;
    const signals = [suspicion, connection.ended, this.#closing];
    let missed = 0;
    while (!signals.some((signal) => signal.aborted)) {
      // The wall clock, not the monotonic one, which stands still while a machine is suspended.
      const before = now();
      await sleep(pingInterval, ...signals);
      if (signals.some((signal) => signal.aborted) || !session.canPing) continue;
      if (now() - before > pingInterval * (pingMaxOut + 1)) {
        this.#events.verify(new StreamingError("NO_SERVER", "ping: this process stood still for longer than the server may have waited"));
        return undefined;
      }
      const { sent } = this.#publishes;
      const asked = session.ping(connection, requestTimeout);
      await settled(asked, ...signals);
      if (signals.some((signal) => signal.aborted)) continue;
      const verdict = await asked;
      if (verdict === "gone") return "gone";
      if (verdict === "denied") {
        this.#events.pingDenied(session);
        continue;
      }
      if (verdict === "alive") this.#events.alive();
      // The one that answers need not be the one that did not: what was sent before this ping may be lost with that one.
      if (verdict === "alive" && missed > 0) this.#events.answersAgain(registration, sent);
      missed = verdict === "alive" ? 0 : missed + 1;
      if (verdict === "no-responders" || missed >= pingMaxOut) {
        const reason = verdict === "no-responders" ? "no streaming server is in charge" : `${missed} pings in a row were not answered`;
        this.#events.verify(new StreamingError("NO_SERVER", `ping: ${reason}`));
        return undefined;
      }
    }
    return undefined;
  }
}
