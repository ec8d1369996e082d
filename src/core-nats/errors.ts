/**
 * Why a connection to a NATS server failed, ended or refused something.
 *
 * | code | meaning |
 * |---|---|
 * | `CONNECT` | the address could not be dialled |
 * | `TLS` | the TLS handshake failed, or TLS is required and the server does not offer it |
 * | `AUTHORIZATION` | the server refused the credentials, or this port is not for clients; or they cannot be used |
 * | `PROTOCOL` | the peer sent bytes that are not the NATS protocol, or reported that we did |
 * | `CONNECTION_LOST` | the link ended without a stated reason |
 * | `STALE` | the peer no longer answers |
 * | `SERVER` | the server ended the link, or refused something |
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

/** The meanings of the codes, in words. */
const MEANINGS: Readonly<Record<NatsErrorCode, string>> = {
  CONNECT: "the address could not be dialled",
  TLS: "the TLS handshake failed, or TLS is required and the server does not offer it",
  AUTHORIZATION: "the server refused the credentials, or this port is not for clients; or they cannot be used",
  PROTOCOL: "the peer sent bytes that are not the NATS protocol, or reported that we did",
  CONNECTION_LOST: "the link ended without a stated reason",
  STALE: "the peer no longer answers",
  SERVER: "the server ended the link, or refused something",
  TIMEOUT: "no answer in time",
  NO_RESPONDERS: "nobody listens on the subject (a 503)",
  PERMISSIONS: "the server denied a subject; the link stays",
  CLOSED: "this side ended the link",
};

/**
 * An error of one connection to a NATS server. It reaches users as the `cause` of a `StreamingError`, whose message
 * has its `reason`. So its own message says only what its code means, and loggers that print causes repeat nothing.
 */
export class NatsError extends Error {
  /** What happened. See `NatsErrorCode`. */
  readonly code: NatsErrorCode;
  /** What happened, where, and why. */
  readonly reason: string;

  /** @internal */
  constructor(code: NatsErrorCode, reason: string, cause?: unknown) {
    super(MEANINGS[code], cause === undefined ? undefined : { cause });
    this.code = code;
    this.reason = reason;
  }

  override get name(): string {
    return "NatsError";
  }
}
