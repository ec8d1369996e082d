import { loadavg } from "node:os";
import { connect } from "../src/index.ts";
import { RealServer } from "../test/support/server.ts";
import { targetsOf } from "./cases.ts";
import type { Case } from "./cases.ts";
import type { ClientProcess } from "./client-process.ts";
import { clients } from "./clients.ts";
import type { ClientName } from "./clients.ts";
import { judge } from "./results.ts";
import type { CaseResult, Figures } from "./results.ts";
import { payloadOf } from "./task.ts";
import type { Outcome, Task } from "./task.ts";

/** How much of a case is run. */
export interface Extent {
  /** The least number of rounds. */
  readonly rounds: number;
  /** The share of the case's messages: 1, or less. */
  readonly share: number;
}

/**
 * Nothing limits the messages, the channels and the subscriptions. The server forgets a channel that is no longer used,
 * so a long case does not fill the memory.
 */
const SERVER_ARGS = ["-mm", "0", "-mb", "0", "-mc", "0", "-msu", "0", "-mi", "2s"];

/** Runs a case against a server of its own. The clients take turns, after a first round that does not count. */
export async function compare(case_: Case, { rounds, share }: Extent): Promise<CaseResult> {
  const { name, title, limit, task: template } = case_;
  const titleOf = (client: string): string => clients[client as ClientName].title;
  const absent = Object.entries(case_.absent ?? {}).map(([client, reason]) => `${titleOf(client)}: ${reason}`);
  const present = case_.clients.filter((client) => {
    const missing = clients[client].prepare();
    if (missing !== undefined) absent.push(`${titleOf(client)} is MISSING: ${missing}`);
    return missing === undefined;
  });
  const { subscriptions = 1 } = template;
  const messages = Math.max(1, Math.round((template.messages * share) / subscriptions)) * subscriptions;
  const warmUps = Math.ceil((case_.warmUp ?? template.messages) / messages);

  const server = await RealServer.start({ args: SERVER_ARGS });
  const running: ClientProcess[] = [];
  try {
    const outcomes = new Map<ClientName, Outcome[]>();
    const { url, clusterId } = server;
    for (const client of present) {
      running.push(await clients[client].start({ url, clusterId, window: template.window }));
      outcomes.set(client, []);
    }
    const consumes = template.workload === "consume";
    const release = consumes ? await store(url, clusterId, messages, template.size) : undefined;
    const count = Math.max(rounds, rounds < 5 ? 0 : (case_.rounds ?? 0));
    for (let round = 1 - warmUps; round <= count; round++) {
      for (const [i, client] of present.entries()) {
        const channel = consumes ? STORED : `bench.${i}.${round + warmUps}`;
        const task: Task = { ...template, channel, messages };
        const outcome = await running[i]!.run(task);
        if (round > 0) outcomes.get(client)!.push(outcome);
      }
    }
    await release?.();
    const figures: Figures[] = [];
    for (const [i, client] of present.entries()) {
      const memory = await running[i]!.end();
      figures.push({ client, title: titleOf(client), ...tableOf(outcomes.get(client)!), ...memory });
    }
    running.length = 0;
    const date = new Date().toISOString().slice(0, 10);
    const load = loadavg()[0]!;
    const { size, window: inFlight } = template;
    const result = { name, title, limit, date, load, size, messages, inFlight, figures, absent };
    return { ...result, verdicts: judge(result, targetsOf(case_)) };
  } finally {
    for (const client of running) client.kill();
    await server.stop("SIGKILL");
  }
}

function tableOf(outcomes: readonly Outcome[]): Pick<Figures, "rates" | "cpu" | "p50" | "p99"> {
  const latencies = outcomes.flatMap(({ latency }) => latency ?? []);
  return {
    rates: outcomes.map(({ messages, seconds }) => messages / seconds),
    cpu: outcomes.map(({ messages, cpu }) => cpu / messages),
    ...(latencies.length > 0 ? { p50: latencies.map(({ p50 }) => p50), p99: latencies.map(({ p99 }) => p99) } : {}),
  };
}

const STORED = "bench.stored";

/**
 * Stores messages for the clients to consume, and stays subscribed, so that the server keeps them. Returns the function
 * that ends the subscription.
 */
async function store(url: string, clusterId: string, messages: number, size: number): Promise<() => Promise<void>> {
  const client = await connect({ servers: url, clusterId, clientId: "bench-store" });
  const payload = payloadOf(size);
  function* source(): Generator<Uint8Array> {
    for (let i = 0; i < messages; i++) yield payload;
  }
  await client.publishMany(STORED, source());
  await client.subscribe(STORED, () => undefined);
  return () => client.close();
}
