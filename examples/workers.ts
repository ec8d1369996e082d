// A pool of worker processes that share the jobs of a channel: a durable queue group.
//
//   node build/examples/workers.js [options]
//
// `npm run programs` compiles it. Each job is done by one worker, and given to another one if that worker dies. Pools
// on several machines share the same jobs, too. A job that fails is tried again by the same worker, and after `--tries`
// it goes to the channel `<jobs>.dead`, with the reason. SIGTERM or Ctrl-C: jobs that run are finished first.
//
// The server takes a worker that was killed for alive for a while, and may send it a job again, in vain. These
// deliveries count as tries of the job. So there should be some more tries than a job may need.
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { connect } from "../src/index.ts";
import type { Client, Message, Status } from "../src/index.ts";
import { commandLine, wholeNumber } from "./command-line.ts";
import { onUnread, reasonOf } from "./terminal.ts";

const USAGE = `usage: workers [options]

  --workers N     how many processes; default 2
  --jobs NAME     the channel; default jobs
  --ack-wait N    a job of a worker that died goes to others after N seconds; default 30
  --tries N       how often a job is tried; default 5
  --server URL    default nats://127.0.0.1:4222
  --cluster ID    default test-cluster`;

const GROUP = "workers";
/** Jobs that a worker does at once. */
const CONCURRENCY = 4;
/** A job that failed is tried again after so long. Above `--ack-wait`, others might try it meanwhile. Milliseconds. */
const BACKOFF = [100, 500];
/** A worker that died is replaced after so long. Milliseconds. */
const RESTART_DELAY = 500;
/** How long the jobs that run may take after a SIGTERM. Milliseconds. */
const DEADLINE = 20_000;

const { options } = commandLine(USAGE, { options: ["workers", "jobs", "ack-wait", "tries", "server", "cluster"] });
const size = wholeNumber("--workers", options.workers, 2, 1);
const jobs = options.jobs ?? "jobs";
const ackWait = wholeNumber("--ack-wait", options["ack-wait"], 30, 1) * 1000;
const tries = wholeNumber("--tries", options.tries, 5, 1);

/** Your work goes here. Throwing means "not done". */
async function work(job: string): Promise<void> {
  if (job === "impossible") throw new Error("this cannot be done");
  await new Promise<void>((resolve) => setTimeout(resolve, 10));
}

// --- a worker ---

async function workUntilTold(): Promise<void> {
  const client = await connect({
    clusterId: options.cluster ?? "test-cluster",
    clientId: `worker-${process.pid}`,
    servers: options.server,
    // With one worker, or a hundred: who is started before the server waits for it.
    waitOnFirstConnect: true,
    onStatus: report,
  });
  process.on("SIGTERM", () => void leave(client));
  onUnread(() => void leave(client));
  const group = { queue: GROUP, durable: GROUP, startAt: "first" } as const;
  const failing = { backoff: BACKOFF, maxDeliver: tries, deadLetter: `${jobs}.dead` };
  await client.subscribe(jobs, handle, { ...group, ...failing, concurrency: CONCURRENCY, ackWait });
  say("ready");
}

/** When this resolves the job is acknowledged; when it rejects, it comes again. */
async function handle(message: Message): Promise<void> {
  await work(message.text());
  say(`did ${message.text()}`);
}

function report(status: Status): void {
  if (status.type === "handler-failed") say(`failed at ${status.message.text()}: ${reasonOf(status.error)}`);
  if (status.type === "dead-lettered") say(`gave up ${status.message.text()}`);
  if (status.type === "error" || status.type === "disconnected") {
    process.stderr.write(`worker: ${reasonOf(status.error)}\n`);
  }
}

async function leave(client: Client): Promise<void> {
  const { unhandled, unconfirmed } = await client.drain({ timeout: DEADLINE });
  say(`left, with ${unhandled.length} jobs for the others`);
  process.exit(unconfirmed === 0 ? 0 : 1);
}

function say(what: string): void {
  process.stdout.write(`${process.pid} ${what}\n`);
}

// --- the pool ---

function supervise(): void {
  const workers = new Set<ChildProcess>();
  let leaving = false;
  const start = (): void => {
    if (leaving) return;
    const worker = fork(__filename, process.argv.slice(2), { env: { ...process.env, WORKER: "1" } });
    workers.add(worker);
    worker.once("exit", (code, signal) => {
      workers.delete(worker);
      if (leaving) return;
      say(`worker ${worker.pid} died (${signal ?? code})`);
      setTimeout(start, RESTART_DELAY);
    });
  };
  for (let i = 0; i < size; i++) start();
  const stop = (): void => {
    leaving = true;
    for (const worker of workers) worker.kill("SIGTERM");
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  onUnread(stop);
}

if (process.env["WORKER"] === undefined) {
  supervise();
} else {
  // Ctrl-C reaches all processes of a terminal; the pool tells its workers itself.
  process.on("SIGINT", () => undefined);
  workUntilTold().catch((error: unknown) => {
    process.stderr.write(`worker: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  });
}
