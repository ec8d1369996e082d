import type { NatsError } from "../../core-nats/errors.ts";
import { StreamingError } from "../errors.ts";

/** The error of a round of dials that all failed. */
export function notConnected(failures: readonly NatsError[]): StreamingError {
  const refused = failures.find((failure) => failure.code === "AUTHORIZATION" || failure.code === "TLS");
  // Sorted: the order of the servers changes, and the same failures must make the same text.
  const reasons = failures.map(({ reason }) => reason).sort().join("; ");
  const cause = failures.length === 1 ? failures[0] : new AggregateError(failures, "no server could be used");
  return new StreamingError(refused === undefined ? "CONNECT_FAILED" : "AUTH_FAILED", `connect: ${reasons}`, cause);
}

/** The error of a problem on a connection that stays open. */
export function problem(error: NatsError): StreamingError {
  const code = error.code === "PERMISSIONS" ? "NOT_PERMITTED" : "REFUSED";
  return new StreamingError(code, `connection: ${error.reason}`, error);
}
