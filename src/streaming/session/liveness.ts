import { settled, sleep } from "../../core-nats/async.ts";
import { now } from "../../core-nats/clock.ts";
import type { Connection } from "../../core-nats/connection.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import { StreamingError } from "../errors.ts";
import type { Settings } from "../settings.ts";
import type { PublishState, Registration } from "./registration.ts";
import type { Session } from "./session.ts";

/** What pings report, beside their verdict. */
export interface LivenessEvents {
  /** The server knows the session. */
  alive(): void;
  /** The server answers a ping after unanswered ones. `sent` is the last publish that was sent before this ping. */
  answersAgain(registration: Registration, sent: number): void;
  /** No streaming server has answered for a while on a new connection. */
  noResponders(error: StreamingError): void;
  /** The NATS server does not permit pings. */
  pingDenied(session: Session): void;
  /** The session is suspect. */
  verify(error: StreamingError): void;
}

/** How often a ping is repeated until its answer is definite: the client finds a new leader soon after it serves. */
const VERIFY_INTERVAL = 100;
const VERIFY_TIMEOUT = 1_000;
/** The client reports a new leader, or a restarted server, that is unavailable for longer. In milliseconds. */
const UNREPORTED = 2_000;

/** Pings the streaming server to find out whether it knows the session. */
export class Liveness {
  readonly #settings: Settings;
  readonly #publishes: PublishState;
  /** Ends when the client ends. */
  readonly #closing: AbortSignalLike;
  readonly #events: LivenessEvents;

  constructor(settings: Settings, publishes: PublishState, closing: AbortSignalLike, events: LivenessEvents) {
    this.#settings = settings;
    this.#publishes = publishes;
    this.#closing = closing;
    this.#events = events;
  }

  /**
   * Pings until the answer is definite. Resolves with undefined if the connection or the client ends before. With
   * `reports` it reports once that no server answers.
   */
  async verdict(session: Session, connection: Connection, reports: boolean): Promise<"alive" | "gone" | undefined> {
    const closing = this.#closing;
    const definite = new Lifetime();
    let verdict: "alive" | "gone" | undefined;
    for (let tries = 0; verdict === undefined && !connection.ended.aborted && !closing.aborted; tries++) {
      if (reports && tries === UNREPORTED / VERIFY_INTERVAL) {
        const text = "ping: connected, but no streaming server is in charge";
        this.#events.noResponders(new StreamingError("NO_SERVER", text));
      }
      void session.ping(connection, VERIFY_TIMEOUT).then((answer) => {
        if (answer === "denied") this.#events.pingDenied(session);
        if (answer === "no-responders" || answer === "timeout") return;
        // After "denied" no ping tells whether the session lives. A new registration works in any case.
        verdict ??= answer === "alive" ? "alive" : "gone";
        definite.abort();
      });
      await sleep(VERIFY_INTERVAL, definite, connection.ended, closing);
    }
    return closing.aborted || connection.ended.aborted ? undefined : verdict;
  }

  /** Pings until the session is gone. Resolves with undefined if it is suspect, or connection or client end. */
  async watch(registration: Registration, suspicion: AbortSignalLike): Promise<"gone" | undefined> {
    const { session, connection } = registration;
    const { pingInterval, pingMaxOut, requestTimeout } = this.#settings;
    const signals = [suspicion, connection.ended, this.#closing];
    const stopped = (): boolean => signals.some((signal) => signal.aborted);
    let missed = 0;
    while (!stopped()) {
      // This takes the wall clock: the monotonic one stands still while the machine is suspended.
      const before = now();
      await sleep(pingInterval, ...signals);
      if (stopped() || !session.canPing) continue;
      if (now() - before > pingInterval * (pingMaxOut + 1)) {
        const text = "ping: this process stood still for longer than the server may have waited";
        this.#events.verify(new StreamingError("NO_SERVER", text));
        return undefined;
      }
      const { sent } = this.#publishes;
      const asked = session.ping(connection, requestTimeout);
      await settled(asked, ...signals);
      if (stopped()) continue;
      const verdict = await asked;
      if (verdict === "gone") return "gone";
      if (verdict === "denied") {
        this.#events.pingDenied(session);
        continue;
      }
      if (verdict === "alive") this.#events.alive();
      // Another server may answer now. Then publishes that were sent before this ping may be lost with the old one.
      if (verdict === "alive" && missed > 0) this.#events.answersAgain(registration, sent);
      missed = verdict === "alive" ? 0 : missed + 1;
      if (verdict === "no-responders" || missed >= pingMaxOut) {
        let reason = "no streaming server is in charge";
        if (verdict !== "no-responders") reason = `${missed} pings in a row were not answered`;
        this.#events.verify(new StreamingError("NO_SERVER", `ping: ${reason}`));
        return undefined;
      }
    }
    return undefined;
  }
}
