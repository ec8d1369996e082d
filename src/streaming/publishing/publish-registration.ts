import type { Connection } from "../../core-nats/connection.ts";
import type { Registration } from "../session/registration.ts";
import type { Session } from "../session/session.ts";

/** The part of a connection that publishing uses. */
export type PublishConnection = Pick<
  Connection,
  "outbox" | "maxPayload" | "ping" | "subscribe" | "writable" | "publishDenied"
>;

/** The part of a session that publishing uses. */
export type PublishSession = Pick<Session, "connId" | "subjects">;

/** The part of a registration that publishing uses. */
export interface PublishRegistration extends Pick<Registration, "over"> {
  readonly connection: PublishConnection;
  readonly session: PublishSession;
}
