import type { Connection } from "../../core-nats/connection.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { StreamingError } from "../errors.ts";
import type { Session } from "./session.ts";
import type { Stopwatch } from "./stopwatch.ts";

/** A session on a connection, from its registration or verification until the session or the connection is lost. */
export interface Registration {
  readonly connection: Connection;
  readonly session: Session;
  /** Ends when the connection is lost or the server has forgotten the session. */
  readonly over: AbortSignalLike;
}

/** The publisher and each subscription, to which the supervisor reports changes. */
export interface SessionListener {
  /** There is a new connection. The listener opens its inboxes on it, before the session is verified. */
  open(connection: Connection, session: Session | undefined): void;
  /**
   * The session is alive. The listener sends again, and does not rely on what it sent before. If `sent` is given, this
   * means only publishes up to this number.
   */
  resume(registration: Registration, sent?: number): void;
  /** There may be no streaming server in charge. The listener sends nothing until `resume`. */
  suspend(): void;
  /** The connection is lost. No answer to an earlier request will come. */
  lost(error: StreamingError): void;
}

/** The part of the supervisor that subscriptions use. */
export interface Registrar {
  /** How much time has passed. */
  readonly stopwatch: Stopwatch;
  /** Resolves with the registration as soon as there is one, or with undefined once `ending` ends. */
  registered(ending: AbortSignalLike): Promise<Registration | undefined>;
  /** Makes the session suspect: it is verified before the next publish is sent. Reports `error`, if given. */
  verify(error?: StreamingError): void;
}

/** The part of the publisher that the supervisor uses. */
export interface PublishState {
  /** How many publishes are sent and not answered. Their outcome is unknown if the connection ends. */
  readonly unanswered: number;
  /** The number of the last publish that was sent. */
  readonly sent: number;
  /** The client does not know when it can publish again. Publishes reject with this error, now and until `resume`. */
  refuse(error: StreamingError): void;
}
