/**
 * Why a connection to a NATS server failed, ended or refused something.
 *
 * | code | meaning |
 * |---|---|
 * | `CONNECT` | the address could not be dialled |
 * | `TLS` | the TLS handshake failed, or TLS was demanded and the server does not offer it |
 * | `AUTHORIZATION` | the server refused the credentials, or lets no clients in on this port; or the credentials cannot be used |
 * | `PROTOCOL` | the peer sent bytes that are not the NATS protocol, or reported that we did |
 * | `CONNECTION_LOST` | the link ended without a stated reason |
 * | `STALE` | the peer answers no more |
 * | `SERVER` | the server ended the link with the reason in the message |
 * | `TIMEOUT` | no answer in time |
 * | `NO_RESPONDERS` | nobody listens on the subject (a 503) |
 * | `PERMISSIONS` | the server denied a subject; the link stays |
 * | `CLOSED` | this side ended the link |
 */
export type NatsErrorCode =
  | "CONNECT"
  | "TLS"
  | "AUTHORIZATION"
  | "PROTOCOL"
  | "CONNECTION_LOST"
  | "STALE"
  | "SERVER"
  | "TIMEOUT"
  | "NO_RESPONDERS"
  | "PERMISSIONS"
  | "CLOSED";

/** An error of one connection to a NATS server. Reaches users as the `cause` of a `StreamingError`. */
export class NatsError extends Error {
  /** What happened. See `NatsErrorCode`. */
  readonly code: NatsErrorCode;

  constructor(code: NatsErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }

  override get name(): string {
    return "NatsError";
  }
}
