import type { Member } from "./group.ts";

/** A subscription as the server has it, of `StreamingServer.subscriptions`. */
export interface SubscriptionState {
  /** The client ID of the subscriber. */
  readonly clientId: string;
  /** The durable name, or "". */
  readonly durable: string;
  /** The name of the queue group, or "". */
  readonly queue: string;
  /** False: it is closed, and the server keeps its position for the next subscription with its names. */
  readonly online: boolean;
  /** The sequences of the messages that were sent and not acknowledged, ascending. */
  readonly pending: readonly number[];
}

/** @internal The state of a member of a group. */
export function stateOf({ request, online, pending }: Member): SubscriptionState {
  const { clientID: clientId, durableName: durable, qGroup: queue } = request;
  return { clientId, durable, queue, online, pending: [...pending.keys()].sort((a, b) => a - b) };
}
