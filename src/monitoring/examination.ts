import type { Connection } from "../core-nats/connection.ts";
import type { AbortSignalLike } from "../core-nats/lifetime.ts";
import { findingsOf } from "./findings.ts";
import type { Finding } from "./findings.ts";
import { MonitorError } from "./monitor.ts";
import type { Monitor } from "./monitor.ts";
import { deniedLines } from "./permissions.ts";
import { positionsOf } from "./positions.ts";
import { redeliveriesOf } from "./redeliveries.ts";

/** @internal The permissions that the user of a connection lacks. */
export async function missingPermissions(
  connection: Connection,
  clusterId: string,
  inboxPrefix: string,
): Promise<Finding[]> {
  const lines = await deniedLines(connection, clusterId, inboxPrefix);
  return lines.map((line) => {
    const text = `The user lacks a permission: ${line.replace(/"/g, "")}.`;
    return { code: "PERMISSIONS", text, remedy: `Add the line ${line} to its permissions.` };
  });
}

/**
 * @internal
 * What the monitoring pages show, and for `listen` milliseconds the deliveries to all subscriptions, if there is a
 * connection.
 */
export async function examine(
  monitor: Monitor,
  connection: Connection | undefined,
  clusterId: string,
  listen: number,
  signal: AbortSignalLike,
): Promise<Finding[]> {
  try {
    const [server, store, channels] = await Promise.all([monitor.server(), monitor.store(), monitor.channels()]);
    const positions = channels.flatMap(positionsOf);
    const findings = findingsOf({ server, store, channels, positions, maxPayload: connection?.maxPayload });
    if (server.cluster_id !== clusterId) {
      const text = `The server's cluster ID is ${server.cluster_id}, not ${clusterId}: nobody would answer.`;
      findings.push({ code: "CLUSTER_ID", text, remedy: `Connect with the cluster ID ${server.cluster_id}.` });
    }
    if (connection === undefined || listen === 0) return findings;
    const readers = channels.flatMap(({ name, subscriptions = [] }) => {
      const online = subscriptions.filter(({ is_offline }) => is_offline !== true);
      return online.map(({ inbox, client_id, ack_wait }) => ({ name, inbox, client_id, ack_wait }));
    });
    const redelivered = await redeliveriesOf(connection, readers.map(({ inbox }) => inbox), listen, signal);
    for (const { name, inbox, client_id, ack_wait } of readers) {
      const { count, most } = redelivered.get(inbox) ?? { count: 0, most: 0 };
      if (count === 0) continue;
      const seen = `${client_id} gets messages of ${name} again: ${count} while we listened`;
      const why = `Its ackWait of ${ack_wait} s is shorter than its handlers take, or they fail.`;
      const text = `${seen}, one of them ${most + 1} times. ${why}`;
      const remedy = "Raise ackWait above the longest handler, or see why they fail.";
      findings.push({ code: "ACK_WAIT", text, remedy });
    }
    return findings;
  } catch (error) {
    if (!(error instanceof MonitorError)) throw error;
    const remedy = "Start the streaming server with -m 8222, and give --monitor.";
    return [{ code: "NO_MONITOR", text: `${error.message}; most findings need it.`, remedy }];
  }
}

/** @internal Who has registered a client ID, in words that follow "taken"; "" if nobody can tell. */
export async function ownerOf(monitor: Monitor, clientId: string): Promise<string> {
  try {
    const page = await monitor.client(clientId);
    const connection = page && (await monitor.connectionOf(page.hb_inbox));
    if (connection === undefined) return "";
    const { ip, port, name, lang, version } = connection;
    const who = name === undefined ? "" : `, ${name}`;
    return ` by ${ip}:${port}${who}${lang === undefined ? "" : ` (${lang} ${version ?? ""})`}`;
  } catch {
    return "";
  }
}
