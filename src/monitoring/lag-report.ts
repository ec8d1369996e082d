import type { MonitoredChannel, MonitoredServer } from "./monitor.ts";
import type { Position, Since } from "./positions.ts";

/** @internal What the monitoring pages said at one time. */
export interface Look {
  readonly server: MonitoredServer;
  readonly channels: readonly MonitoredChannel[];
  readonly positions: readonly Position[];
}

/** @internal All of it in Prometheus' text format. */
export function metricsText({ server, channels, positions }: Look, since: Since): string {
  const { cluster_id: cluster, version, state, role = "" } = server;
  const of = (position: Position): Labels => {
    return { channel: position.channel, subscription: position.name, kind: position.kind };
  };
  const each = (name: string, help: string, value: (position: Position) => number): Family => {
    return [`subscription_${name}`, help, positions.map((position) => [of(position), value(position)])];
  };
  const channel = (name: string, help: string, value: (page: MonitoredChannel) => number): Family => {
    return [`channel_${name}`, help, channels.map((page) => [{ channel: page.name }, value(page)])];
  };
  return metricsOf([
    UP(1),
    ["server_info", "Always 1.", [[{ cluster, version, state, role }, 1]]],
    ["clients", "Registered clients.", [[{}, server.clients]]],
    channel("messages", "Messages that the channel holds.", ({ msgs }) => msgs),
    channel("bytes", "Their bytes.", ({ bytes }) => bytes),
    channel("first_sequence", "The oldest message.", ({ first_seq }) => first_seq),
    channel("last_sequence", "The newest message.", ({ last_seq }) => last_seq),
    each("lag", "Messages that are stored and not acknowledged.", ({ lag }) => lag),
    each("pending", "Messages that were sent and are not acknowledged.", ({ pending }) => pending),
    each("last_sent", "The newest message that was sent.", ({ lastSent }) => lastSent),
    each("members", "Subscriptions that are online.", ({ members }) => members),
    each("stalled", "Members that the server sends nothing until they acknowledge.", ({ stalled }) => stalled),
    each("offline", "1: nobody reads at this position.", ({ offline }) => Number(offline)),
    each(
      "trouble_since_timestamp_seconds",
      "Since when it is offline or stalled; 0: it is not, or nobody saw it begin.",
      (position) => (since.of(position) ?? 0) / 1_000,
    ),
  ]);
}

/** @internal The same while the monitoring pages do not answer: so that an alert can be set on it. */
export function metricsWhileDown(): string {
  return metricsOf([UP(0)]);
}

type Labels = Readonly<Record<string, string>>;
/** A name without the prefix, what it means, and its values. */
type Family = readonly [name: string, help: string, values: readonly (readonly [Labels, number])[]];

const UP = (value: number): Family => ["up", "1: the monitoring page answers.", [[{}, value]]];

function metricsOf(families: readonly Family[]): string {
  const escaped = (text: string): string => text.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`));
  const lines = families.flatMap(([name, help, values]) => {
    const family = `nats_streaming_${name}`;
    const samples = new Map<string, number>();
    for (const [labels, value] of values) {
      const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
      const sample = pairs.length === 0 ? family : `${family}{${pairs.join(",")}}`;
      // Plain subscriptions of one client to one channel have the same name.
      samples.set(sample, Math.max(value, samples.get(sample) ?? value));
    }
    return [`# HELP ${family} ${help}`, `# TYPE ${family} gauge`, ...[...samples].map((pair) => pair.join(" "))];
  });
  return `${lines.join("\n")}\n`;
}

/** @internal What /lag answers. A scaler finds its value by a path: `channels.orders.subscriptions.d:workers.lag`. */
export function lagOf({ server, channels, positions }: Look): object {
  const byName = channels.map((page) => {
    const own = positions.filter(({ channel }) => channel === page.name);
    const subscriptions = Object.fromEntries(own.map(({ channel: _, name, ...position }) => [name, position]));
    const { msgs: messages, first_seq: first, last_seq: last } = page;
    return [page.name, { messages, first, last, lag: most(own), subscriptions }];
  });
  return { cluster: server.cluster_id, lag: most(positions), channels: Object.fromEntries(byName) };
}

/** @internal The lag of one subscription, or the highest of a channel: ?channel=orders&subscription=workers:workers */
export function lagOfOne({ positions, channels }: Look, query: string): object {
  const asked = new URLSearchParams(query);
  const channel = asked.get("channel");
  const subscription = asked.get("subscription");
  if (!channels.some(({ name }) => name === channel)) return { error: `there is no channel ${channel}` };
  const own = positions.filter((position) => position.channel === channel);
  const chosen = subscription === null ? own : own.filter(({ name }) => name === subscription);
  if (chosen.length === 0) return { error: `${channel} has no subscription ${subscription ?? ""}`.trim() };
  return { lag: most(chosen) };
}

function most(positions: readonly Position[]): number {
  return Math.max(0, ...positions.map(({ lag }) => lag));
}
