import type { Connection } from "../core-nats/connection.ts";
import { Link } from "../core-nats/link.ts";
import { StreamingError } from "../index.ts";
import { examine, missingPermissions, ownerOf } from "../monitoring/examination.ts";
import type { Finding } from "../monitoring/findings.ts";
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
    const { output } = run;
    const findings = await findingsOf(run, durationIn(run, "listen", 2_000));
    // What Ctrl-C ended is no finding.
    if (run.host.signal.aborted) return 1;
    if (output.json) output.value({ ok: findings.length === 0, findings });
    else {
      for (const { code, text, remedy } of findings) {
        output.say(`${output.paint(code, "yellow")} ${text}\n  ${remedy}`);
      }
      output.say(findings.length === 0 ? "All is well." : `${counted(findings.length, "finding")}.`);
    }
    return findings.length === 0 ? 0 : 1;
  },
};

async function findingsOf(run: Run, listen: number): Promise<Finding[]> {
  const { access, host: { signal } } = run;
  const { clusterId, servers, auth, tls, inboxPrefix = "_INBOX" } = access.options();
  const times = { connectTimeout: 5_000, pingInterval: 5_000, pingMaxOut: 3, waitOnFirstConnect: false };
  const link = new Link({ servers, auth, tls, inboxPrefix, name: "doctor", ...times });
  const findings: Finding[] = [];
  try {
    let connection: Connection | undefined;
    try {
      connection = await link.connection(signal);
      findings.push(...(await missingPermissions(connection, clusterId, inboxPrefix)));
    } catch (error) {
      const remedy = "Check address, credentials and TLS, and that the server runs.";
      findings.push({ code: "UNREACHABLE", text: `NATS does not let us in: ${reasonOf(error)}.`, remedy });
    }
    findings.push(...(await examine(access.monitor, connection, clusterId, listen, signal)));
    const known = findings.some(({ code }) => code === "NO_LEADER" || code === "CLUSTER_ID" || code === "PERMISSIONS");
    if (connection !== undefined && !known) findings.push(...(await ofSession(run)));
    return findings;
  } finally {
    link.close();
  }
}

/** Registers a client, and says why it could not. */
async function ofSession({ access, host }: Run): Promise<Finding[]> {
  try {
    const client = await access.client(undefined, `doctor-${host.pid}`);
    await client.close();
    return [];
  } catch (error) {
    if (!(error instanceof StreamingError)) throw error;
    const { clientId } = access;
    if (error.code === "CLIENT_ID_IN_USE" && clientId !== undefined) {
      const text = `The client ID ${clientId} is taken${await ownerOf(access.monitor, clientId)}.`;
      return [{ code: "CLIENT_ID", text, remedy: "Give each process a client ID of its own, or end the other one." }];
    }
    const remedy = "Check the cluster ID, and that the streaming server is connected to this NATS server.";
    return [{ code: "UNREACHABLE", text: `No streaming server registers us: ${reasonOf(error)}.`, remedy }];
  }
}
