import type { Group, Member } from "./group.ts";
import { Log } from "./log.ts";

/** @internal A channel: its messages, and everything that has a position in it. */
export class Channel extends Log {
  /** Subscriptions, durables and queue groups, by their names. */
  readonly groups = new Map<string | symbol, Group>();
  /** Subscriptions by the inboxes of their acks and of their deliveries. */
  readonly inboxes = new Map<string, Member>();
}
