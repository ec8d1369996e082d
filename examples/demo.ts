// The main job, end to end: publishes the lines of a file, consumes them with a durable queue group of two members, and
// compares what came back with the file. On the way a handler fails, and the link to the server is cut.
//
//   npm run demo -- [FILE] [options]
//
// Without a file it takes one of this repository. The server is the one for tests, in this process, which needs
// nothing; with --real a nats-streaming-server that is started for it, found or installed by Go; with --server one that
// runs. In a program of yours, "../src/index.ts" is "nats-streaming-client", and "../src/testing/server.ts" is its
// "/testing".
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { connect } from "../src/index.ts";
import type { Client, Message, PublishItem, Status } from "../src/index.ts";
import { StreamingServer as EmbeddedServer } from "../src/testing/server.ts";
import { binaries, findBinary, installBinary } from "../test/support/binaries.ts";
import { Proxy } from "../test/support/proxy.ts";
import { RealServer } from "../test/support/server.ts";
import { commandLine, mistake, unreadable } from "./command-line.ts";
import { failed, howFar, interruption, progress, say } from "./terminal.ts";

const USAGE = `usage: npm run demo -- [FILE] [options]

  FILE            its lines are published; default package-lock.json
  --real          with a nats-streaming-server that it starts, in place of the one for tests
  --server URL    with a server that runs, such as nats://127.0.0.1:4222; no link is cut
  --cluster ID    default test-cluster`;
/** A real file with lines of all sorts; npm runs scripts in the folder where it is. */
const DEFAULT_FILE = "package-lock.json";
/**
 * Shared by all runs, since servers keep a channel for good, and 100 of them by default. Runs tell their messages by
 * `reply`.
 */
const CHANNEL = "demo";
const MEMBERS = 2;
/** When a message comes again that was not acknowledged. Milliseconds. */
const ACK_WAIT = 1_000;
/** How long the link is cut. Milliseconds. */
const OUTAGE = 300;
/** Nothing moves for so long: the run has failed. Milliseconds. */
const PATIENCE = 30_000;
/** How long the server may take to forget the group. Milliseconds. */
const LEAVE_TIMEOUT = 3_000;

const interrupted = interruption();
/** Since when the link is cut by this program; until the client is back. */
let cutSince: number | undefined;

async function main(): Promise<void> {
  const known = { args: ["[FILE]"], options: ["server", "cluster"], flags: ["real"] } as const;
  const { args, options } = commandLine(USAGE, known);
  const { real = false, server, cluster: clusterId = "test-cluster" } = options;
  if (real && server !== undefined) mistake("--real and --server exclude each other");
  const file = args[0] ?? DEFAULT_FILE;
  const lines = linesOf(file);
  const own = server !== undefined ? undefined : real ? await startReal(clusterId) : await startEmbedded(clusterId);
  try {
    checkInterruption();
    const servers = server ?? own!.url;
    const client = await connect({
      clusterId,
      clientId: `demo-${process.pid}`,
      servers,
      // What is on its way when the link is cut is sent again; this limits how much that is.
      resendUnconfirmed: true,
      maxPubAcksInFlight: 256,
      onStatus: report,
      signal: interrupted,
    });
    say(`${basename(file)}: ${count(lines.length)} lines. Each is published as a message on channel ${CHANNEL}.`);
    say(`Server: ${own?.title ?? ""}${servers.replace(/\/\/[^@,]*@/g, "//")}`);
    say(`${MEMBERS} subscriptions, which are a durable queue group, share the messages.\n`);
    try {
      await roundTrip(client, lines, own);
    } finally {
      if (interrupted.aborted) await client.close();
      else await client.drain();
    }
  } finally {
    await own?.stop();
  }
}

/** Publishes the lines and consumes them. Rejects unless what came back is what went out. */
async function roundTrip(client: Client, lines: readonly Uint8Array[], own: OwnServer | undefined): Promise<void> {
  const run = `demo-${process.pid}-${Date.now().toString(36)}`;
  /** What came back of each line. */
  const received = new Map<number, Uint8Array>();
  const shares = new Array<number>(MEMBERS).fill(0);
  let stored = 0;
  let twice = 0;
  let failure: { readonly line: number; readonly at: number } | undefined;
  let complete = (): void => undefined;
  const completed = new Promise<void>((resolve) => (complete = resolve));

  const handler = (member: number) => (message: Message) => {
    const [from, number] = message.reply.split(" ");
    if (from !== run) return;
    const line = Number(number);
    if (failure === undefined) {
      failure = { line, at: performance.now() };
      say(`Line ${count(line)}: its handler fails, on purpose. So the server will send it again.`);
      throw new Error("fails on purpose");
    }
    if (received.has(line)) {
      twice++;
      return;
    }
    if (line === failure.line) say(`Line ${count(line)} came again after ${since(failure.at)} s, and is handled.`);
    received.set(line, message.data);
    shares[member]++;
    if (received.size === lines.length) complete();
  };
  const group = { queue: "demo", durable: run, maxInFlight: 1_024, ackWait: ACK_WAIT };
  const members = await Promise.all(shares.map((_, member) => client.subscribe(CHANNEL, handler(member), group)));
  // The last member that unsubscribes takes the group's position with it: nothing of this run is left but messages.
  const leave = () => atMost(LEAVE_TIMEOUT, Promise.all(members.map((member) => member.unsubscribe())));

  const start = performance.now();
  const stopWatching = new AbortController();
  let outage: Promise<void> | undefined;
  const onStored = (n: number): void => {
    stored = n;
    if (own === undefined || stored !== Math.ceil(lines.length / 2)) return;
    const { inFlight } = client.stats();
    say(`${count(stored)} lines stored, ${count(inFlight)} on their way: the link is cut, for ${OUTAGE} ms.`);
    outage = cut(own);
  };
  try {
    const published = client.publishMany(CHANNEL, messagesOf(lines, run), { onStored });
    const watched = watch(stopWatching.signal, () => {
      progress(`${howFar(received.size / lines.length)}; ${count(received.size)} of ${count(lines.length)} handled`);
      return stored + received.size;
    });
    await Promise.race([Promise.all([published, completed]), watched]);
  } catch (error) {
    await outage;
    // A server of our own has got the Ctrl-C of the terminal as well.
    if (client.state === "registered") await leave().catch(() => undefined);
    throw error;
  } finally {
    stopWatching.abort();
    progress("");
  }
  const seconds = since(start);
  await outage;
  await leave();

  compare(lines, received);
  const [published, handled, lost] = [lines.length, received.size, lines.length - received.size].map(count);
  say(`\n${published} lines published, ${handled} handled, ${lost} lost: what came back is equal to the file.`);
  say(`${seconds} s; the subscriptions handled ${shares.map(count).join(" and ")} of them.`);
  if (twice > 0) say(`${count(twice)} came twice, as they were sent again. The handler knows them by their ID.`);
}

/** What is published. The ID in `reply` tells the run and the line, also where a line is stored twice. */
function* messagesOf(lines: readonly Uint8Array[], run: string): Generator<PublishItem> {
  let number = 0;
  for (const data of lines) yield { data, reply: `${run} ${++number}` };
}

/** Cuts the link to a server for a while. */
async function cut(server: OwnServer): Promise<void> {
  cutSince = performance.now();
  await server.down();
  await new Promise<void>((resolve) => setTimeout(resolve, OUTAGE));
  await server.up();
}

/** What came back must be the lines of the file. */
function compare(lines: readonly Uint8Array[], received: ReadonlyMap<number, Uint8Array>): void {
  lines.forEach((line, i) => {
    const data = received.get(i + 1);
    if (data === undefined) throw new Error(`line ${i + 1} has not come back`);
    const same = data.length === line.length && data.every((byte, at) => byte === line[at]);
    if (!same) throw new Error(`line ${i + 1} is not what came back`);
  });
}

/** The lines of a file, as bytes: whatever the file holds, it is compared as it is. */
function linesOf(file: string): Uint8Array[] {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw unreadable(file, error);
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
  /** Cuts the link, and lets none be made until `up`. */
  down(): Promise<void>;
  up(): Promise<void>;
  stop(): Promise<void>;
}

// Both without limits: by default the oldest of more than a million messages would go, consumed or not.

async function startEmbedded(clusterId: string): Promise<OwnServer> {
  const server = await EmbeddedServer.start({ clusterId, limits: { messages: Infinity } });
  return {
    title: "the one for tests, in this process, ",
    url: server.url,
    down: () => server.down(),
    up: () => server.up(),
    stop: () => server.stop(),
  };
}

async function startReal(clusterId: string): Promise<OwnServer> {
  const spec = binaries.streaming;
  if ("missing" in findBinary(spec)) say(`installing ${spec.name} ${spec.version} with go, once; this takes a minute`);
  const found = installBinary(spec);
  checkInterruption();
  if ("missing" in found) {
    const ways = `Install Go, set ${spec.variable}, use a running server by --server, or leave out --real`;
    throw new Error(`no server to run: ${found.missing}. ${ways}`);
  }
  const server = await RealServer.start({ clusterId, args: ["-mm", "0", "-mb", "0"] });
  const link = await Proxy.start(server.port);
  return {
    title: `${spec.name} ${spec.version}, `,
    url: link.url,
    async down() {
      link.refuse();
      link.cut();
    },
    up: async () => link.accept(),
    stop: () => Promise.all([link.stop(), server.stop()]).then(() => undefined),
  };
}

/**
 * Calls `look` now and then, which returns how far things are. Rejects when they stand still, and at an interruption.
 */
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
    const interrupt = (): void => reject(new Error("interrupted"));
    if (interrupted.aborted) interrupt();
    interrupted.addEventListener("abort", interrupt);
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

function checkInterruption(): void {
  if (interrupted.aborted) throw new Error("interrupted");
}

function report(status: Status): void {
  if (interrupted.aborted) return;
  if (status.type === "registered" && cutSince !== undefined) {
    say(`The client is back after ${since(cutSince)} s, by itself, and sends again what was on its way.`);
    cutSince = undefined;
  }
  if (cutSince !== undefined || (status.type !== "error" && status.type !== "disconnected")) return;
  progress("");
  process.stderr.write(`${status.type}: ${status.error.message}\n`);
}

/** In seconds. */
function since(start: number): string {
  return ((performance.now() - start) / 1000).toFixed(2);
}

function count(n: number): string {
  return n.toLocaleString("en");
}

main().catch((error: unknown) => failed(interrupted.aborted ? new Error("interrupted") : error));
