import { connect } from "../src/index.ts";
import type { Client, ConnectOptions } from "../src/index.ts";
import { StreamingServer } from "../test/support/server.ts";

/** The size of every payload, in bytes. */
export const PAYLOAD_SIZE = 128;

/** How many messages may be under way: publishes without an ack, deliveries without one. */
export const WINDOWS: readonly number[] = [1_024, 16_384];

/** Measured, after one that is not: the first has the code compiled. */
const ROUNDS = 5;

/** One round: messages per second, and microseconds of CPU per message of this process, all its threads together. */
export interface Round {
  readonly rate: number;
  readonly cpu: number;
}

/** Runs a round again and again; it must have handled `messages` messages when it resolves. */
export async function measure(messages: number, round: () => Promise<void>): Promise<readonly Round[]> {
  const rounds: Round[] = [];
  for (let i = 0; i <= ROUNDS; i++) {
    const before = process.cpuUsage();
    const start = performance.now();
    await round();
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(before);
    if (i > 0) rounds.push({ rate: messages / seconds, cpu: (user + system) / messages });
  }
  return rounds;
}

/** Runs with a client of a server of its own, which keeps all messages in memory, without a limit. */
export async function withClient(
  options: Omit<ConnectOptions, "clusterId" | "clientId" | "servers">,
  use: (client: Client) => Promise<void>,
): Promise<void> {
  const server = await StreamingServer.start({ args: ["-mm", "0", "-mb", "0"] });
  try {
    const client = await connect({ clusterId: server.clusterId, clientId: "bench", servers: server.url, ...options });
    try {
      await use(client);
    } finally {
      await client.close();
    }
  } finally {
    await server.stop();
  }
}

/** Prints the head of a table in Markdown, for `printRow`. */
export function printHead(title: string): void {
  print(`\n| ${title} | messages/s, median | min | max | CPU µs per message, median | min | max |`);
  print("|---|---:|---:|---:|---:|---:|---:|");
}

/** Prints what the rounds of one configuration came to. */
export function printRow(name: string, rounds: readonly Round[]): void {
  const rates = spread(rounds.map((round) => round.rate)).map((rate) => Math.round(rate).toLocaleString("en"));
  const cpus = spread(rounds.map((round) => round.cpu)).map((cpu) => cpu.toFixed(2));
  print(`| ${[name, ...rates, ...cpus].join(" | ")} |`);
}

/** Runs a benchmark; a failure is printed and ends the process with exit code 1. */
export function main(benchmark: () => Promise<void>): void {
  benchmark().catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}

/** Median, least and most. */
function spread(values: readonly number[]): number[] {
  const sorted = [...values].sort((a, b) => a - b);
  return [sorted[sorted.length >> 1], sorted[0], sorted[sorted.length - 1]];
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
