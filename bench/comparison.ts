import { loadavg } from "node:os";
import { connect } from "../src/index.ts";
import { StreamingServer } from "../test/support/server.ts";
import { targetsOf } from "./cases.ts";
import type { Case } from "./cases.ts";
import { entries } from "./contestants.ts";
import type { Contestant, ContestantName } from "./contestants.ts";
import { judge } from "./results.ts";
import type { CaseResult, Figures } from "./results.ts";
import type { Outcome, Task } from "./task.ts";
import { payloadOf } from "./workloads.ts";

/** How much of a case is run. */
export interface Extent {
  /** At least so many. */
  readonly rounds: number;
  /** 1, or less to have fewer messages. */
  readonly share: number;
}

/**
 * Without limits for what is stored, and for how many subscriptions there are; but a channel that nobody uses any more is
 * forgotten, so that a long case does not fill the memory.
 */
const SERVER_ARGS = ["-mm", "0", "-mb", "0", "-mc", "0", "-msu", "0", "-mi", "2s"];

/** Runs a case against a server of its own: all clients in turns, after a first round that does not count. */
export async function contest(case_: Case, { rounds, share }: Extent): Promise<CaseResult> {
  const { name, title, limit, task: template } = case_;
  const absent = Object.entries(case_.absent ?? {}).map(([client, reason]) => `${entries[client as ContestantName].title}: ${reason}`);
  const clients = case_.clients.filter((client) => {
    const missing = entries[client].prepare();
    if (missing !== undefined) absent.push(`${entries[client].title} is MISSING: ${missing}`);
    return missing === undefined;
  });
  const { subscriptions = 1 } = template;
  const some = (messages: number): number => Math.max(1, Math.round((messages * share) / subscriptions)) * subscriptions;
  const messages = some(template.messages);
  const warmUps = Math.ceil((case_.warmUp ?? template.messages) / messages);

  const server = await StreamingServer.start({ args: SERVER_ARGS });
  const running: Contestant[] = [];
  try {
    const outcomes = new Map<ContestantName, Outcome[]>();
    const { url, clusterId } = server;
    for (const client of clients) {
      running.push(await entries[client].enter({ url, clusterId, window: template.window }));
      outcomes.set(client, []);
    }
    const keep = template.workload === "consume" ? await store(url, clusterId, messages, template.size) : undefined;
    const count = Math.max(rounds, rounds < 5 ? 0 : (case_.rounds ?? 0));
    for (let round = 1 - warmUps; round <= count; round++) {
      for (const [i, client] of clients.entries()) {
        const channel = template.workload === "consume" ? STORED : `bench.${i}.${round + warmUps}`;
        const task: Task = { ...template, channel, messages };
        const outcome = await running[i]!.run(task);
        if (round > 0) outcomes.get(client)!.push(outcome);
      }
    }
    await keep?.();
    const figures: Figures[] = [];
    for (const [i, client] of clients.entries()) {
      const memory = await running[i]!.end();
      figures.push({ client, title: entries[client].title, ...tableOf(outcomes.get(client)!), ...memory });
    }
    running.length = 0;
    const date = new Date().toISOString().slice(0, 10);
    const load = loadavg()[0]!;
    const result = { name, title, limit, date, load, size: template.size, messages, inFlight: template.window, figures, absent };
    return { ...result, verdicts: judge(result, targetsOf(case_)) };
  } finally {
    for (const contestant of running) contestant.kill();
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

/** Stores messages for the clients to consume, and stays subscribed, so that the server keeps them. Returns what ends that. */
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
