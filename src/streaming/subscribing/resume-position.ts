import type { Registration } from "../session/registration.ts";
import type { Session } from "../session/session.ts";
import type { Peek } from "./peek.ts";
import { fromFirst, fromSequence, fromStart } from "./start-position.ts";
import type { Start } from "./start-position.ts";
import type { SubscribeSettings } from "./subscribe-options.ts";
import type { SubscriptionGroup } from "./subscription-group.ts";

/** What the client knows of a subscription when it requests it. */
export interface Resumption {
  readonly group: SubscriptionGroup;
  readonly settings: SubscribeSettings;
  readonly requestTimeout: number;
  /** Milliseconds since the first request that the server accepted. Undefined before that. */
  readonly elapsed: number | undefined;
}

/**
 * Finds the sequence to resume from. Resolves with undefined if the subscription has received nothing, or reads its
 * channel from the first message; with "unknown" if the server could not be asked now.
 */
export async function resumePosition(
  registration: Registration,
  peek: Peek,
  resumption: Resumption,
): Promise<number | undefined | "unknown"> {
  const { group, settings, requestTimeout } = resumption;
  const { session } = registration;
  if (group.resetIn === session) return undefined;
  const { cursor } = group.progress;
  if (cursor !== undefined || settings.startAt !== "lastReceived" || settings.durable !== "") return cursor;
  const last = await peek.lastBefore(registration, resumeStart(session, undefined, resumption), requestTimeout);
  return last === undefined ? "unknown" : last || undefined;
}

/** Returns the start to request. A server ignores it for a durable, or a group, that it knows. */
export function resumeStart(session: Session, from: number | undefined, resumption: Resumption): Start {
  const { group, settings, requestTimeout, elapsed } = resumption;
  if (group.resetIn === session) return fromFirst;
  return from === undefined ? fromStart(settings.startAt, elapsed, requestTimeout) : fromSequence(from);
}
