import { StreamingError } from "../index.ts";

/** What everything fails with that is closed. */
export const CLOSED = "stan: Connection closed";
const INVALID_CLIENT_ID = "stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed";

/**
 * An error with a text of 0.3.2, which gives the answers of the server as bare texts. This is an error all the same. It
 * turns into that text where a text is wanted, and has the methods by which programs look into one.
 */
export class StanError extends Error {
  /** The code of the `StreamingError` behind it. Of a publish, only "UNCONFIRMED" leaves open whether it is stored. */
  readonly code: string | undefined;

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = cause instanceof StreamingError ? cause.code : undefined;
  }

  override toString(): string { return this.message; }
}

for (const name of ["includes", "indexOf", "startsWith", "match"] as const) {
  const value = function (this: Error, what: string): unknown { return this.message[name](what); };
  Object.defineProperty(StanError.prototype, name, { value });
}

/** An error as that of the package `nats` 1, which node-nats-streaming has inside. */
export class NatsError extends Error {
  /** "CONN_ERR", "NATS_PROTOCOL_ERR" and the like. Of a timeout of 0.3.2 it is the message. */
  readonly code: string;
  /** The error behind it. */
  readonly chainedError: unknown;

  constructor(message: string, code: string, chainedError?: unknown) {
    super(message);
    this.code = code;
    this.chainedError = chainedError;
  }

  override get name(): string { return "NatsError"; }
}

/** What "error" gets when `connect` has failed. */
export function connectError(error: unknown): Error {
  const code = codeOf(error);
  const [root, reason] = [rootOf(error), reasonOf(error).replace(/.*(Authorization Violation)$/, "'$1'")];
  if (code === "CONNECT_FAILED") return new NatsError(`Could not connect to server: ${String(root)}`, "CONN_ERR", root);
  if (code === "AUTH_FAILED") return new NatsError(reason, "NATS_PROTOCOL_ERR", error);
  if (code === "NO_SERVER" || code === "NOT_PERMITTED") {
    const timeout = new NatsError(textOf(error), "REQ_TIMEOUT", error);
    return new NatsError("stan: connect request timeout", "stan: connect request timeout", timeout);
  }
  if (code === "CLIENT_ID_IN_USE") return new StanError("stan: clientID already registered", error);
  return new StanError(textOf(error).startsWith("clientId ") ? INVALID_CLIENT_ID : answerOf(error), error);
}

/** What the callback of a publish gets; `closed` if the client was closed meanwhile. */
export function publishError(error: unknown, closed: boolean): Error {
  const code = codeOf(error);
  if (code === undefined) return new StanError("stan: invalid publish request", error);
  if (code === "CLOSED" || (code === "UNCONFIRMED" && closed)) return new StanError(CLOSED, error);
  if (code === "UNCONFIRMED" || code === "NOT_SENT") return new StanError("stan: publish ack timeout", error);
  return new StanError(code === "QUEUE_FULL" ? "stan: max in flight reached." : answerOf(error), error);
}

/** What "error" of a subscription gets, when it was refused or could not be left. */
export function subscriptionError(error: unknown): Error {
  if (error instanceof StanError) return error;
  if (codeOf(error) === "CLOSED") return new StanError(CLOSED, error);
  if (textOf(error).startsWith("subject ")) return new StanError("stan: invalid subject", error);
  const ours = /^this client has a subscription with durable .* already$/;
  return new StanError(answerOf(error).replace(ours, "stan: duplicate durable registration"), error);
}

function codeOf(error: unknown): string | undefined {
  return error instanceof StreamingError ? error.code : undefined;
}

/** The server's own words if it has refused; else words of this client, which begin as those of 0.3.2 do. */
function answerOf(error: unknown): string {
  return codeOf(error) === "REFUSED" ? reasonOf(error) : `stan: ${textOf(error)}`;
}

/** Without the name of the operation, which stands in front. */
function reasonOf(error: unknown): string {
  return textOf(error).replace(/^.*?: /, "");
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The first of all causes. */
function rootOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? rootOf(error.cause) : error;
}
