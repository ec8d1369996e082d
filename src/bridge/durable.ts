import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import type { MonitoredChannel, MonitoredSubscription } from "../monitoring/monitor.ts";
import { nameOf } from "./stream.ts";
import type { Route } from "./stream.ts";
import type { ConsumerInfo, Target } from "./target.ts";

/** @internal A durable, which belongs to a client ID, or a durable queue group, which belongs to none. */
export interface Durable {
  readonly durable: string;
  /** Undefined for a group. */
  readonly client?: string | undefined;
  readonly queue?: string | undefined;
}

/** @internal A durable as the monitoring page shows it; of a group all members together. */
export interface MonitoredDurable extends Durable {
  readonly connected: boolean;
  readonly lastSent: number;
  readonly pending: number;
  /** Of a group the sum of the members that are connected, or that of the last one that left. */
  readonly maxInFlight: number;
  /** In milliseconds. */
  readonly ackWait: number;
}

/** @internal The durables and the durable queue groups of a channel. */
export function durablesOf({ subscriptions = [] }: MonitoredChannel): MonitoredDurable[] {
  const found = new Map<string, MonitoredDurable>();
  for (const subscription of subscriptions) {
    if (subscription.is_durable !== true) continue;
    const one = durableOf(subscription);
    const key = JSON.stringify([one.durable, one.client, one.queue]);
    const other = found.get(key);
    found.set(key, other === undefined ? one : together(one, other));
  }
  return [...found.values()];
}

function durableOf(subscription: MonitoredSubscription): MonitoredDurable {
  const { client_id, durable_name, queue_name, is_offline, last_sent, pending_count } = subscription;
  const colon = queue_name?.indexOf(":") ?? -1;
  const who =
    queue_name === undefined
      ? { durable: durable_name ?? "", client: client_id }
      : { durable: queue_name.slice(0, colon), queue: queue_name.slice(colon + 1) };
  const { max_inflight: maxInFlight, ack_wait } = subscription;
  const position = { connected: is_offline !== true, lastSent: last_sent, pending: pending_count };
  return { ...who, ...position, maxInFlight, ackWait: ack_wait * 1_000 };
}

function together(one: MonitoredDurable, other: MonitoredDurable): MonitoredDurable {
  return {
    ...one,
    connected: one.connected || other.connected,
    lastSent: Math.max(one.lastSent, other.lastSent),
    pending: one.pending + other.pending,
    maxInFlight: one.maxInFlight + other.maxInFlight,
    ackWait: Math.max(one.ackWait, other.ackWait),
  };
}

/** @internal */
export function isSame(one: Durable, other: Durable): boolean {
  return one.durable === other.durable && one.client === other.client && one.queue === other.queue;
}

/** @internal How reports and errors name it. */
export function title({ durable, client, queue }: Durable): string {
  return queue === undefined ? `the durable ${durable} of ${client}` : `the durable queue group ${durable}:${queue}`;
}

/** @internal The name of its consumer in JetStream. `others` are the durables of the channel, as far as known. */
export function consumerName(who: Durable, others: readonly Durable[]): string {
  if (who.queue !== undefined) return longName(who);
  const shared = others.some(({ durable, client, queue }) => {
    return durable === who.durable && client !== who.client && queue === undefined;
  });
  return shared ? longName(who) : nameOf(who.durable);
}

/** @internal The name of its consumer where another durable of the channel has the shorter one. */
export function longName({ durable, client, queue }: Durable): string {
  return nameOf(queue === undefined ? `${client}-${durable}` : `${durable}-${queue}`);
}

/** @internal Where a durable's consumer is, or will be. */
export interface Place {
  readonly route: Route;
  readonly cluster: string;
  readonly who: Durable;
}

/** @internal What a consumer's metadata say of the durable that it comes from. */
export function metadataOf({ route, cluster, who }: Place): Record<string, string> {
  const { durable, client, queue } = who;
  return {
    "stan.cluster": cluster,
    "stan.channel": route.channel,
    "stan.durable": durable,
    ...(queue === undefined ? { "stan.client": client ?? "" } : { "stan.queue": queue }),
  };
}

/** @internal The consumer that was made for a durable: under its name, or under the longer one that it once had. */
export async function findConsumer(target: Target, place: Place): Promise<ConsumerInfo | undefined> {
  const { who } = place;
  for (const name of new Set([consumerName(who, []), longName(who)])) {
    const info = await target.consumer(place.route.stream, name);
    if (info !== undefined && isOf(info, place)) return info;
  }
  return undefined;
}

function isOf({ config }: ConsumerInfo, place: Place): boolean {
  return Object.entries(metadataOf(place)).every(([key, value]) => config.metadata?.[key] === value);
}

/** @internal What says in a consumer's metadata that it is complete. */
export const MOVED = "stan.moved";

/** @internal Whether all that the durable had is in its consumer: `move` has come to its end. */
export function isMoved(consumer: ConsumerInfo): boolean {
  return consumer.config.metadata?.[MOVED] === "true";
}

/** @internal @throws BridgeError `NOT_LEVEL` if a durable of the page has no consumer yet */
export async function checkMoved({ target, settings }: Ends, page: MonitoredChannel, route: Route): Promise<void> {
  for (const who of durablesOf(page)) {
    const consumer = await findConsumer(target, { route, cluster: settings.from.clusterId, who });
    if (consumer !== undefined && isMoved(consumer)) continue;
    const what = `${title(who)} is not moved, and its position would get lost`;
    throw new BridgeError("NOT_LEVEL", page.name, what, "Move it, or unsubscribe it in the streaming server.");
  }
}

/** @internal */
export function stillConnected(channel: string, who: Durable): BridgeError {
  const remedy =
    "End it by drain(), and run the same command again. If its process has died, the streaming server forgets it " +
    "after some minutes; a start and an end of the consumer is quicker.";
  return new BridgeError("CONSUMER_CONNECTED", channel, `the consumer of ${title(who)} is still connected`, remedy);
}
