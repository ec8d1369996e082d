import { RETRY_DELAY } from "../../core-nats/async.ts";
import type { StreamingError } from "../errors.ts";
import type { Settings } from "../settings.ts";

/** The server takes 500 ms to find out whether the owner of a client ID is alive, and refuses all others meanwhile. */
const IN_USE_DELAY = 600;
const IN_USE_TRIES = 10;
const IN_USE_DELAY_AT_FIRST = 2_000;
/** Stands in for a delay of the caller that is no delay. */
const FALLBACK_DELAY = 2_000;

/** How long the client waits before it registers again after a failure that does not pass soon. In milliseconds. */
export const LONG_DELAY = 30_000;

/** How long the client waits before the next dial. `attempt` counts the dials of the outage, from 0. Never throws. */
export function dialDelay({ reconnectDelay }: Settings, attempt: number): number {
  try {
    const delay = reconnectDelay(attempt);
    // A value of the caller that is no number must not make a busy loop.
    return delay >= 0 && delay < 2 ** 31 ? delay : FALLBACK_DELAY;
  } catch {
    return FALLBACK_DELAY;
  }
}

/** How long the client waits before it registers again. `tries` counts the failures so far, `error` is the last one. */
export function registerDelay(error: StreamingError, tries: number, everRegistered: boolean): number {
  switch (error.code) {
    case "CLIENT_ID_IN_USE":
      if (tries <= IN_USE_TRIES) return IN_USE_DELAY * (1 + Math.random() / 2);
      return everRegistered ? LONG_DELAY : IN_USE_DELAY_AT_FIRST;
    case "REFUSED":
    case "NOT_PERMITTED":
      return LONG_DELAY;
    default:
      return RETRY_DELAY;
  }
}
