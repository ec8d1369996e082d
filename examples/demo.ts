// The main job, end to end: publishes the lines of a file, consumes them with a durable queue group of two members, and
// compares what came back with the file.
//
//   npm run demo -- [file] [--real | --server nats://host:port] [--cluster test-cluster]
//
// Without a file it takes one of this repository. The server is the one for tests, in this process, which needs nothing;
// with --real a nats-streaming-server that is started for it, found or installed by Go; with --server one that runs. In a
// program of yours, "../src/index.ts" is "nats-streaming-client", and "../src/testing/server.ts" is its "/testing".
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { connect } from "../src/index.ts";
import type { Client, Message, Status } from "../src/index.ts";
import { StreamingServer as EmbeddedServer } from "../src/testing/server.ts";
import { binaries, findBinary, installBinary } from "../test/support/binaries.ts";
import { StreamingServer as RealServer } from "../test/support/server.ts";

const USAGE = "usage: npm run demo -- [file] [--real | --server nats://host:port] [--cluster test-cluster]";
/** A real file with lines of all sorts; npm runs scripts in the folder where it is. */
const DEFAULT_FILE = "package-lock.json";
/** Shared by all runs, since servers keep a channel for good, and 100 of them by default. Runs tell their messages by `reply`. */
const CHANNEL = "demo";
const MEMBERS = 2;
/** Nothing moves for so long: the run has failed. Milliseconds. */
const PATIENCE = 30_000;
/** How long the server may take to forget the group. Milliseconds. */
const LEAVE_TIMEOUT = 3_000;

const interruption = new AbortController();

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { real: { type: "boolean" }, server: { type: "string" }, cluster: { type: "string" }, help: { type: "boolean" } },
    allowPositionals: true,
  });
  const { real = false, server, cluster: clusterId = "test-cluster" } = values;
  if (values.help === true || positionals.length > 1 || (real && server !== undefined)) {
    process.stdout.write(`${USAGE}\n`);
    process.exitCode = values.help === true ? 0 : 1;
    return;
  }
  const file = positionals[0] ?? DEFAULT_FILE;
  const lines = linesOf(file);
  const own = server !== undefined ? undefined : real ? await startReal(clusterId) : await startEmbedded(clusterId);
  try {
    interrupted();
    const servers = server ?? own!.url;
    const client = await connect({
      clusterId,
      clientId: `demo-${process.pid}`,
      servers,
      onStatus: report,
      signal: interruption.signal,
    });
    const shown = `${own?.title ?? ""}${servers.replace(/\/\/[^@,]*@/g, "//")}`;
    process.stdout.write(`${basename(file)}: ${count(lines.length)} lines by way of ${shown}, channel ${CHANNEL}\n`);
    try {
      process.stdout.write(`${await roundTrip(client, lines)}\n`);
    } finally {
      if (interruption.signal.aborted) await client.close();
      else await client.drain();
    }
  } finally {
    await own?.stop();
  }
}

/** Publishes the lines and consumes them. Resolves to the summary; rejects unless what came back is what went out. */
async function roundTrip(client: Client, lines: readonly Uint8Array[]): Promise<string> {
  const run = `demo-${process.pid}-${Date.now().toString(36)}`;
  const received = new Map<number, Uint8Array>();
  const handled = new Array<number>(MEMBERS).fill(0);
  let stored = 0;
  let complete = (): void => undefined;
  const completed = new Promise<void>((resolve) => (complete = resolve));
  const handler = (member: number) => (message: Message) => {
    if (message.reply !== run) return;
    received.set(message.sequence, message.data);
    handled[member]++;
    if (received.size === lines.length) complete();
  };
  const group = { queue: "demo", durable: run, maxInFlight: 1_024 };
  const members = await Promise.all(handled.map((_, member) => client.subscribe(CHANNEL, handler(member), group)));
  // The last member that unsubscribes takes the group's position with it: nothing of this run is left but messages.
  const leave = () => atMost(LEAVE_TIMEOUT, Promise.all(members.map((member) => member.unsubscribe())));

  const start = performance.now();
  const stopWatching = new AbortController();
  try {
    const published = client.publishMany(CHANNEL, lines, { reply: run, onStored: (n) => (stored = n) });
    const watched = watch(stopWatching.signal, () => {
      progress(`${count(stored)} of ${count(lines.length)} stored, ${count(received.size)} received`);
      return stored + received.size;
    });
    await Promise.race([Promise.all([published, completed]), watched]);
  } catch (error) {
    // A server of our own has got the Ctrl-C of the terminal as well.
    if (client.state === "registered") await leave().catch(() => undefined);
    throw error;
  } finally {
    stopWatching.abort();
    progress("");
  }
  const seconds = (performance.now() - start) / 1000;
  await leave();

  compare(lines, received);
  const shares = handled.map(count).join(" and ");
  const rate = count(Math.round(lines.length / seconds));
  return `${count(lines.length)} messages published, stored, received and equal (members: ${shares}) in ${seconds.toFixed(3)} s: ${rate} messages/s`;
}

/** What came back, in the order of the channel, must be the lines of the file. */
function compare(lines: readonly Uint8Array[], received: ReadonlyMap<number, Uint8Array>): void {
  const sequences = [...received.keys()].sort((a, b) => a - b);
  if (sequences.length !== lines.length) {
    throw new Error(`${count(lines.length)} lines went out, and ${count(sequences.length)} messages came back`);
  }
  lines.forEach((line, i) => {
    const data = received.get(sequences[i])!;
    if (data.length !== line.length || data.some((byte, at) => byte !== line[at])) {
      throw new Error(`line ${i + 1} is not what came back as message ${sequences[i]}`);
    }
  });
}

/** The lines of a file, as bytes: whatever the file holds, it is compared as it is. */
function linesOf(file: string): Uint8Array[] {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new Error(`cannot read ${file}: ${(error as Error).message}`, { cause: error });
  }
  const lines: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(10, start);
    const end = newline < 0 ? bytes.length : newline;
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  if (lines.length === 0) throw new Error(`${file} is empty: there is nothing to publish`);
  return lines;
}

/** A server that runs for this program alone, and what it is. */
interface OwnServer {
  readonly title: string;
  readonly url: string;
  stop(): Promise<void>;
}

// Both without limits: by default the oldest of more than a million messages would go, consumed or not.

async function startEmbedded(clusterId: string): Promise<OwnServer> {
  const server = await EmbeddedServer.start({ clusterId, limits: { messages: Infinity } });
  return { title: "the server for tests at ", url: server.url, stop: () => server.stop() };
}

async function startReal(clusterId: string): Promise<OwnServer> {
  const spec = binaries.streaming;
  if ("missing" in findBinary(spec)) process.stdout.write(`installing ${spec.name} ${spec.version} with go, once; this takes a minute\n`);
  const found = installBinary(spec);
  interrupted();
  if ("missing" in found) {
    throw new Error(`no server to run: ${found.missing}. Install Go, set ${spec.variable}, use a running server by --server, or leave out --real`);
  }
  const server = await RealServer.start({ clusterId, args: ["-mm", "0", "-mb", "0"] });
  return { title: `${spec.name} ${spec.version} at `, url: server.url, stop: () => server.stop() };
}

/** Calls `look` now and then, which returns how far things are. Rejects when they stand still, and at an interruption. */
function watch(stop: AbortSignal, look: () => number): Promise<never> {
  return new Promise((_, reject) => {
    let last = -1;
    let moved = performance.now();
    const timer = setInterval(() => {
      const now = look();
      if (now !== last) moved = performance.now();
      else if (performance.now() - moved > PATIENCE) reject(new Error(`nothing has moved for ${PATIENCE / 1000} s`));
      last = now;
    }, 100);
    stop.addEventListener("abort", () => clearInterval(timer));
    interruption.signal.addEventListener("abort", () => reject(new Error("interrupted")));
  });
}

/** Rejects when the promise takes longer. */
function atMost(milliseconds: number, promise: Promise<unknown>): Promise<unknown> {
  let timer: Timer | undefined;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the server did not answer within ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function interrupted(): void {
  if (interruption.signal.aborted) throw new Error("interrupted");
}

/** One line that is written over again and again, on a terminal only. */
function progress(text: string): void {
  if (process.stdout.isTTY === true) process.stdout.write(`\r\x1b[K${text}`);
}

function report(status: Status): void {
  if (interruption.signal.aborted) return;
  if (status.type !== "error" && status.type !== "disconnected") return;
  progress("");
  process.stderr.write(`${status.type}: ${status.error.message}\n`);
}

function count(n: number): string {
  return n.toLocaleString("en");
}

function interrupt(): void {
  // Who insists does not want to wait for the cleaning up.
  if (interruption.signal.aborted) process.exit(130);
  interruption.abort();
}
process.on("SIGINT", interrupt);
process.on("SIGTERM", interrupt);

main().catch((error: unknown) => {
  const reason = error instanceof Error ? error.message : String(error);
  const wasInterrupted = interruption.signal.aborted;
  process.stderr.write(`demo: ${wasInterrupted ? "interrupted" : reason}\n`);
  process.exitCode = wasInterrupted ? 130 : 1;
});
