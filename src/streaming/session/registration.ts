import type { Connection } from "../../core-nats/connection.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { StreamingError } from "../errors.ts";
import type { Session } from "./session.ts";
import type { Stopwatch } from "./stopwatch.ts";

/** A session on a connection, from its registration or verification until one of the two is lost. */
export interface Registration {
  readonly connection: Connection;
  readonly session: Session;
  /** Ends when the connection is lost or the server has forgotten the session. */
  readonly over: AbortSignalLike;
}

/** What the supervisor keeps informed: the publisher, and each subscription. */
export interface SessionListener {
  /** A new connection: open what must be heard on it before the session is verified. */
  open(connection: Connection, session: Session | undefined): void;
  /**
   * The session is known to be alive, again or still: send, and do not rely on what was sent before; if there is a `sent`,
   * then of the publishes not on those up to this number.
   */
  resume(registration: Registration, sent?: number): void;
  /** Nobody may be in charge: send nothing more until `resume`. */
  suspend(): void;
  /** The connection is gone, and with it what was under way. */
  lost(error: StreamingError): void;
}

/** Who registers the client, as its subscriptions see it. */
export interface Registrar {
  /** How much time has passed. */
  readonly stopwatch: Stopwatch;
  /** Resolves with the registration as soon as there is one; with undefined once `ending` ends. */
  registered(ending: AbortSignalLike): Promise<Registration | undefined>;
  /** Has the session verified before anything more is published; `error` is told, if there is one. */
  verify(error?: StreamingError): void;
}

/** The client's publishes, as the one who registers it sees them. */
export interface PublishState {
  /** Publishes that are sent and not yet answered, and would have an unknown outcome if the connection ended. */
  readonly unanswered: number;
  /** The number of the publish that was sent last. */
  readonly sent: number;
  /** There is no knowing when it will be possible to send again, and why: nothing waits for it. */
  refuse(error: StreamingError): void;
}
