import type { MonitoredChannel, MonitoredServer, MonitoredStore } from "./monitor.ts";
import type { Position } from "./positions.ts";

/** @internal Something that is wrong or risky. */
export interface Finding {
  readonly code: FindingCode;
  /** What is seen, in a sentence. */
  readonly text: string;
  /** What to do about it. */
  readonly remedy: string;
}

/** @internal What findings are called, by scripts and in docs/operating.md. */
export type FindingCode =
  | "UNREACHABLE"
  | "CLUSTER_ID"
  | "NO_LEADER"
  | "PERMISSIONS"
  | "CLIENT_ID"
  | "OFFLINE"
  | "STALLED"
  | "ACK_WAIT"
  | "LIMIT"
  | "MAX_PAYLOAD"
  | "VERSION"
  | "NO_MONITOR";

/** From this part of a limit on it is near. */
const NEAR = 0.8;
const LAST_VERSION = "0.25.6";

/** @internal What the monitoring pages of one server say. */
export interface Pages {
  readonly server: MonitoredServer;
  readonly store: MonitoredStore;
  readonly channels: readonly MonitoredChannel[];
  readonly positions: readonly Position[];
  /** The most bytes of a message that NATS takes, if known. */
  readonly maxPayload: number | undefined;
}

/** @internal What is wrong or risky, as far as the pages show it. */
export function findingsOf({ server, store, channels, positions, maxPayload }: Pages): Finding[] {
  return [
    ...ofServer(server),
    ...positions.flatMap(ofPosition),
    ...limit(store.limits.max_channels, server.channels, "The server", "channels", "-max_channels"),
    ...channels.flatMap(({ name, subscriptions = [] }) => {
      const { max_subscriptions } = store.limits;
      return limit(max_subscriptions, subscriptions.length, `The channel ${name}`, "subscriptions", "-max_subs");
    }),
    ...channels.flatMap((channel) => (maxPayload === undefined ? [] : ofSizes(channel, maxPayload))),
  ];
}

function ofServer({ state, role, version }: MonitoredServer): Finding[] {
  const isOld =
    version
      .split(".")
      .map(Number)
      .reduce((sum, part) => sum * 1_000 + part, 0) < 25_006;
  const findings: Finding[] = [];
  if (state === "CLUSTERED" && role !== "Leader" && role !== "Follower") {
    const text = `The cluster has no leader: this server is a ${role ?? "node of no role"}. Nothing is stored.`;
    findings.push({
      code: "NO_LEADER",
      text,
      remedy: "Start the other nodes: more than half of them must reach each other.",
    });
  }
  if (isOld) {
    const text = `The server has version ${version}; faults that it has are mended in ${LAST_VERSION}, the last one.`;
    findings.push({ code: "VERSION", text, remedy: `Update to ${LAST_VERSION}, which reads the same store.` });
  }
  return findings;
}

function ofPosition({ channel, name, offline, lag, stalled, members, pending, maxInFlight }: Position): Finding[] {
  if (offline && lag > 0) {
    const wait = `${lag} messages wait, and the channel's limits drop the oldest first.`;
    const text = `Nobody reads ${channel} for ${name}: ${wait}`;
    const [client, durable] = name.split("/");
    const [of, group] = name.split(":");
    const who = durable === undefined ? `--durable ${of} --queue ${group}` : `--client ${client} --durable ${durable}`;
    const remedy = `Start its consumer, or have the server forget it: sub ${channel} ${who} --unsubscribe.`;
    return [{ code: "OFFLINE", text, remedy }];
  }
  if (stalled === 0) return [];
  const which = members > 1 ? `${stalled} of ${members} members of ${name}` : name;
  const why = `${pending} messages are not acknowledged, of at most ${maxInFlight}.`;
  const text = `The server sends nothing new of ${channel} to ${which}: ${why}`;
  const remedy = "See whether its handlers hang, or are slower than what is published; acknowledge when they end.";
  return [{ code: "STALLED", text, remedy }];
}

function limit(most: number, count: number, whose: string, what: string, option: string): Finding[] {
  if (most === 0 || count < most * NEAR) return [];
  const text = `${whose} has ${count} of at most ${most} ${what}; at the limit new ones are refused.`;
  return [{ code: "LIMIT", text, remedy: `Raise ${option}, or remove those that nobody needs.` }];
}

function ofSizes({ name, msgs, bytes }: MonitoredChannel, maxPayload: number): Finding[] {
  if (msgs === 0 || bytes / msgs < maxPayload * NEAR) return [];
  const average = Math.round(bytes / msgs);
  const text = `The messages of ${name} have ${average} bytes on average, and NATS takes at most ${maxPayload}.`;
  const remedy = "Raise max_payload: a larger message is refused, and one that just fits may not fit its delivery.";
  return [{ code: "MAX_PAYLOAD", text, remedy }];
}
