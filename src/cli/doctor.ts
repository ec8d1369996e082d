import type { Connection } from "../core-nats/connection.ts";
import { Link } from "../core-nats/link.ts";
import { StreamingError } from "../index.ts";
import { findingsOf } from "../monitoring/findings.ts";
import type { Finding } from "../monitoring/findings.ts";
import { MonitorError } from "../monitoring/monitor.ts";
import { deniedLines } from "../monitoring/permissions.ts";
import { positionsOf } from "../monitoring/positions.ts";
import { redeliveriesOf } from "../monitoring/redeliveries.ts";
import type { Command, Run } from "./command.ts";
import { durationIn } from "./command.ts";
import { counted, reasonOf } from "./output.ts";

/** @internal */
export const doctor: Command = {
  name: "doctor",
  args: [],
  summary: "connects, looks around, and says in sentences what is wrong or risky",
  options: { listen: { value: "TIME", help: "how long it listens for redeliveries; default 2s, 0s: not" } },
  notes: ["It changes nothing. Exit code 1: something was found. docs/operating.md has each finding."],
  example: "doctor --server nats://127.0.0.1:4222 --monitor http://127.0.0.1:8222",
  uses: ["client", "monitor"],
  async run(run) {
    const listen = durationIn(run, "listen", "2s");
    const { output } = run;
    const findings = [...(await examine(run, listen))];
    if (output.json) {
      output.value({ ok: findings.length === 0, findings });
    } else {
      for (const { code, text, remedy } of findings) {
        output.say(`${output.paint(code, "yellow")} ${text}\n  ${remedy}`);
      }
      output.say(findings.length === 0 ? "All is well." : `${counted(findings.length, "finding")}.`);
    }
    return findings.length === 0 ? 0 : 1;
  },
};

async function examine(run: Run, listen: number): Promise<Finding[]> {
  const { access, host } = run;
  const { clusterId, servers, auth, tls, inboxPrefix = "_INBOX" } = access.options();
  const times = { connectTimeout: 5_000, pingInterval: 5_000, pingMaxOut: 3, waitOnFirstConnect: false };
  const link = new Link({ servers, auth, tls, inboxPrefix, name: "doctor", ...times });
  const findings: Finding[] = [];
  try {
    let connection: Connection | undefined;
    try {
      connection = await link.connection(host.signal);
    } catch (error) {
      const remedy = "Check address, credentials and TLS, and that the server runs.";
      findings.push({ code: "UNREACHABLE", text: `NATS does not let us in: ${reasonOf(error)}.`, remedy });
    }
    const denied = connection === undefined ? [] : await deniedLines(connection, clusterId, inboxPrefix);
    for (const line of denied) {
      const text = `The user lacks a permission: ${line.replace(/"/g, "")}.`;
      findings.push({ code: "PERMISSIONS", text, remedy: `Add the line ${line} to its permissions.` });
    }
    const seen = await ofMonitor(run, connection, listen);
    findings.push(...seen);
    const known = findings.some(({ code }) => code === "NO_LEADER" || code === "CLUSTER_ID" || code === "PERMISSIONS");
    if (connection !== undefined && !known) findings.push(...(await ofSession(run)));
    return findings;
  } finally {
    link.close();
  }
}

async function ofMonitor(run: Run, connection: Connection | undefined, listen: number): Promise<Finding[]> {
  const { access } = run;
  const { monitor, clusterId } = access;
  try {
    const [server, store, channels] = await Promise.all([monitor.server(), monitor.store(), monitor.channels()]);
    const positions = channels.flatMap(positionsOf);
    const findings = findingsOf({ server, store, channels, positions, maxPayload: connection?.maxPayload });
    if (server.cluster_id !== clusterId) {
      const text = `The server's cluster ID is ${server.cluster_id}, not ${clusterId}: nobody would answer.`;
      findings.push({ code: "CLUSTER_ID", text, remedy: `Connect with the cluster ID ${server.cluster_id}.` });
    }
    const inboxes = channels.flatMap(({ name, subscriptions = [] }) => {
      const online = subscriptions.filter(({ is_offline }) => is_offline !== true);
      return online.map(({ inbox, client_id, ack_wait }) => ({ name, inbox, client_id, ack_wait }));
    });
    if (connection === undefined || listen === 0) return findings;
    const redelivered = await redeliveriesOf(
      connection,
      inboxes.map(({ inbox }) => inbox),
      listen,
      run.host.signal,
    );
    for (const { name, inbox, client_id, ack_wait } of inboxes) {
      const { count = 0, most = 0 } = redelivered.get(inbox) ?? {};
      if (count === 0) continue;
      const text =
        `${client_id} gets messages of ${name} again: ${count} while we listened, one of them ${most + 1} times. ` +
        `Its ackWait of ${ack_wait} s is shorter than its handlers take, or they fail.`;
      findings.push({
        code: "ACK_WAIT",
        text,
        remedy: "Raise ackWait above the longest handler, or see why they fail.",
      });
    }
    return findings;
  } catch (error) {
    if (!(error instanceof MonitorError)) throw error;
    const remedy = "Start the streaming server with -m 8222, and give --monitor.";
    return [{ code: "NO_MONITOR", text: `${reasonOf(error)}; most findings need it.`, remedy }];
  }
}

/** Registers a client, and says why it could not. */
async function ofSession({ access, host }: Run): Promise<Finding[]> {
  const { clientId } = access;
  try {
    const client = await access.client(() => {}, `doctor-${host.pid}`);
    await client.close();
    return [];
  } catch (error) {
    if (!(error instanceof StreamingError)) throw error;
    if (error.code !== "CLIENT_ID_IN_USE" || clientId === undefined) {
      const remedy = "Check the cluster ID, and that the streaming server is connected to this NATS server.";
      return [{ code: "UNREACHABLE", text: `No streaming server registers us: ${reasonOf(error)}.`, remedy }];
    }
    const owner = await ownerOf(access.monitor, clientId).catch(() => "");
    const remedy = "Give each process a client ID of its own, or end the other one.";
    return [{ code: "CLIENT_ID", text: `The client ID ${clientId} is taken${owner}.`, remedy }];
  }
}

async function ownerOf(monitor: Run["access"]["monitor"], clientId: string): Promise<string> {
  const page = await monitor.client(clientId);
  const connection = page && (await monitor.connectionOf(page.hb_inbox));
  if (connection === undefined) return "";
  const { ip, port, name, lang, version } = connection;
  const who = name === undefined ? "" : `, ${name}`;
  return ` by ${ip}:${port}${who}${lang === undefined ? "" : ` (${lang} ${version ?? ""})`}`;
}
