import type { MonitoredChannel, MonitoredSubscription } from "./monitor.ts";

/** @internal One position in a channel: of a durable, of a queue group, or of a plain subscription. */
export interface Position {
  readonly channel: string;
  /** "client/durable", "group", "durable:group", or the client ID. Unique in the channel but for plain ones. */
  readonly name: string;
  readonly kind: "plain" | "durable" | "group" | "durable group";
  /** Of an offline durable: the one that had it last. */
  readonly clients: readonly string[];
  readonly members: number;
  readonly lastSent: number;
  /** Sent, and not acknowledged. */
  readonly pending: number;
  /** Stored, and not acknowledged: pending, and not sent yet. */
  readonly lag: number;
  /** For how many members the server waits for acks before it sends more. */
  readonly stalled: number;
  readonly offline: boolean;
  /** In seconds. */
  readonly ackWait: number;
  readonly maxInFlight: number;
}

/** @internal The positions in a channel. */
export function positionsOf(channel: MonitoredChannel): Position[] {
  const groups = new Map<string, MonitoredSubscription[]>();
  for (const [i, page] of (channel.subscriptions ?? []).entries()) {
    const { queue_name, durable_name, client_id } = page;
    const key = queue_name ? `q ${queue_name}` : durable_name ? `d ${client_id}/${durable_name}` : `p ${i}`;
    groups.set(key, [...(groups.get(key) ?? []), page]);
  }
  const positions = [...groups.values()].map((members) => positionOf(channel, members));
  return positions.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function positionOf(channel: MonitoredChannel, members: readonly MonitoredSubscription[]): Position {
  const [first] = members;
  const { queue_name, durable_name, client_id, is_durable } = first;
  const lastSent = Math.max(...members.map(({ last_sent }) => last_sent));
  const pending = members.reduce((sum, { pending_count }) => sum + pending_count, 0);
  // What has expired before it was sent is sent to nobody.
  const unsent = Math.max(0, channel.last_seq - Math.max(lastSent, channel.first_seq - 1));
  const kind = queue_name ? (is_durable ? "durable group" : "group") : durable_name ? "durable" : "plain";
  const offline = members.every(({ is_offline }) => is_offline === true);
  return {
    channel: channel.name,
    name: queue_name || (durable_name ? `${client_id}/${durable_name}` : client_id),
    kind,
    clients: [...new Set(members.map((member) => member.client_id))].sort(),
    members: offline ? 0 : members.length,
    lastSent,
    pending,
    lag: unsent + pending,
    stalled: members.filter(({ is_stalled }) => is_stalled === true).length,
    offline,
    ackWait: Math.max(...members.map(({ ack_wait }) => ack_wait)),
    maxInFlight: members.reduce((sum, { max_inflight }) => sum + max_inflight, 0),
  };
}

/** @internal The key of a position among all of them. */
export function keyOf({ channel, kind, name }: Position): string {
  return `${channel} ${kind} ${name}`;
}

/** @internal Since when each position has been offline or stalled, as far as it was watched. */
export class Since {
  readonly #begun = new Map<string, { readonly state: string; readonly at: number }>();
  #watched = false;

  /** Takes in the positions as they are at a time, in milliseconds since 1970. */
  watch(positions: readonly Position[], at: number): void {
    const keys = new Set<string>();
    for (const position of positions) {
      const key = keyOf(position);
      const state = position.offline ? "offline" : position.stalled > 0 ? "stalled" : "";
      keys.add(key);
      if (state === "") this.#begun.delete(key);
      // How long it had been so at the first look, nothing tells.
      else if (this.#begun.get(key)?.state !== state) this.#begun.set(key, { state, at: this.#watched ? at : 0 });
    }
    for (const key of this.#begun.keys()) if (!keys.has(key)) this.#begun.delete(key);
    this.#watched = true;
  }

  /** Milliseconds since 1970; undefined if it is neither, or if it was so before anybody watched. */
  of(position: Position): number | undefined {
    return this.#begun.get(keyOf(position))?.at || undefined;
  }
}
