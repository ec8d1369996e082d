// A consumer of orders: retries with backoff, dead letters and their replay, and the orders of a customer in order.
//
//   node build/examples/orders.js [options]           sends orders, until SIGTERM or Ctrl-C
//   node build/examples/orders.js replay [options]    publishes the dead letters to their channel again, and ends
//
// `npm run programs` compiles it. An order is a text that begins with the name of the customer: "ann three apples".
//
// The orders of one customer are sent one at a time and in the order of the channel, those of others beside them. An
// order that cannot be sent is tried again after each delay of `--backoff`, and holds back the later orders of its
// customer meanwhile. After `--tries` it goes to the channel `<orders>.dead`, and so does, at once, an order without a
// customer. With `--unicorns` there are unicorns in stock: replay the orders that failed without.
//
// That order holds within one process, so this is no pool: one process has the client ID, and others wait for it.
import { connect, readDeadLetter } from "../src/index.ts";
import type { Client, Message, Status } from "../src/index.ts";
import { commandLine, mistake, wholeNumber } from "./command-line.ts";
import { failed, interruption, reasonOf, say } from "./terminal.ts";

const USAGE = `usage: orders [replay] [options]    replay: publishes the dead letters again, and ends

  --orders NAME     the channel; default orders. Dead letters are in NAME.dead
  --backoff LIST    an order that failed is tried again after so many milliseconds each;
                    default 100,1000,10000
  --tries N         how often it is tried; default 5
  --unicorns        unicorns are in stock
  --most N          replay: no more than N dead letters; default 1000
  --server URL      default nats://127.0.0.1:4222
  --cluster ID      default test-cluster`;

/** Orders that are sent at once. */
const CONCURRENCY = 10;
/** Those that the server sends ahead: orders that wait for a retry, or behind one, take none of the others' places. */
const IN_FLIGHT = 1_000;
/** Above the longest delay of a retry. Milliseconds. */
const ACK_WAIT = 60_000;
/** When nothing has come for so long, there is nothing to replay. Milliseconds. */
const IDLE = 1_000;

const { args, options } = commandLine(USAGE, {
  args: ["[replay]"],
  options: ["orders", "backoff", "tries", "most", "server", "cluster"],
  flags: ["unicorns"],
});
if (args[0] !== undefined && args[0] !== "replay") mistake(`there is no ${args[0]}`);
const isReplay = args[0] === "replay";
const orders = options.orders ?? "orders";
const dead = `${orders}.dead`;
const backoff = (options.backoff ?? "100,1000,10000").split(",").map((delay) => wholeNumber("--backoff", delay, 0));
const tries = wholeNumber("--tries", options.tries, 5, 1);
const most = wholeNumber("--most", options.most, 1_000, 1);

async function main(): Promise<void> {
  const signal = interruption();
  const client = await connect({
    clusterId: options.cluster ?? "test-cluster",
    // Fixed: the positions of both durables belong to it.
    clientId: isReplay ? `${orders}-replay`.replace(/\W/g, "-") : orders.replace(/\W/g, "-"),
    servers: options.server,
    waitOnFirstConnect: !isReplay,
    signal,
    onStatus: report,
  });
  try {
    await (isReplay ? replay(client) : work(client, signal));
  } finally {
    const { unhandled } = await client.drain();
    if (!isReplay) say(`stopped, with ${unhandled.length} orders for the next time`);
  }
}

// --- sending ---

async function work(client: Client, signal: AbortSignal): Promise<void> {
  await client.subscribe(orders, send, {
    ...{ durable: "orders", startAt: "first", ackWait: ACK_WAIT },
    ...{ key: customerOf, concurrency: CONCURRENCY, maxInFlight: IN_FLIGHT },
    ...{ backoff, maxDeliver: tries, deadLetter: dead },
  });
  say("ready");
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve());
  });
}

function customerOf(order: Message): string {
  return /^\w*/.exec(order.text())![0];
}

/** Your work goes here. Throwing means "not yet", `term` means "never". */
async function send(order: Message): Promise<void> {
  if (customerOf(order) === "") {
    order.term("no customer");
    return;
  }
  await new Promise<void>((resolve) => setTimeout(resolve, 10));
  if (order.text().includes("unicorn") && options.unicorns !== true) throw new Error("no unicorns in stock");
  say(`sent #${order.sequence} ${order.text()}`);
}

function report(status: Status): void {
  switch (status.type) {
    case "handler-failed":
      return say(`failed #${status.message.sequence}: ${reasonOf(status.error)}`);
    case "dead-lettered":
      return say(`gave up #${status.message.sequence} after ${status.deliveries}: ${reasonOf(status.error)}`);
    case "gap":
      return say(`missing #${status.from} to #${status.to}: ${status.reason}`);
    case "error":
    case "disconnected":
      return void process.stderr.write(`orders: ${reasonOf(status.error)}\n`);
    default:
  }
}

// --- replay ---

/** What fails again becomes a new dead letter, for the next replay: this one takes a single batch. */
async function replay(client: Client): Promise<void> {
  const position = { durable: "replay", startAt: "first" } as const;
  const batches = await client.batches(dead, { ...position, size: most, maxInFlight: most, wait: 200 });
  const idle = setTimeout(() => {
    if (batches.subscription.stats().received === 0) void batches.return();
  }, IDLE);
  let count = 0;
  for await (const batch of batches) {
    clearTimeout(idle);
    for (const message of batch) {
      const letter = readDeadLetter(message);
      // It is acknowledged once it is in its channel: after a failure here it is in both.
      if (letter !== undefined) await client.publish(letter.channel, message.data, { reply: letter.reply });
      message.ack();
      if (letter === undefined) say(`#${message.sequence} of ${dead} is no dead letter`);
      else say(`replayed #${letter.sequence}, which had failed with: ${letter.error}`);
      count++;
    }
    break;
  }
  say(`${count} replayed`);
}

main().catch(failed);
