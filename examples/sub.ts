// Prints the messages of a channel, one a line: its number, when it was stored, and the text.
//
//   node build/examples/sub.js CHANNEL [options]
//
// `npm run programs` compiles it. Ctrl-C ends it; a message is acknowledged once it is printed.
import { connect } from "../src/index.ts";
import type { Messages, StartAt } from "../src/index.ts";
import { commandLine, wholeNumber } from "./command-line.ts";
import { failed, interruption } from "./terminal.ts";

const USAGE = `usage: sub CHANNEL [options]

  --from WHERE      first, last, new (default), a sequence, or a date: 2026-11-24T08:00:00Z
  --durable NAME    goes on where it was, with the same --client
  --queue NAME      shares the messages with others of this queue group
  --count N         ends after so many messages
  --server URL      default nats://127.0.0.1:4222
  --cluster ID      default test-cluster
  --client ID       default sub- and the process ID`;

async function main(): Promise<void> {
  const { args, options } = commandLine(USAGE, {
    args: ["CHANNEL"],
    options: ["from", "durable", "queue", "count", "server", "cluster", "client"],
  });
  const count = wholeNumber("--count", options.count, Infinity, 1);
  const startAt = positionOf(options.from ?? "new");
  const client = await connect({
    clusterId: options.cluster ?? "test-cluster",
    clientId: options.client ?? `sub-${process.pid}`,
    servers: options.server,
  });
  // A drain lets the message that is being printed be acknowledged; the loop ends with its subscription.
  interruption().addEventListener("abort", () => void client.drain());
  const { durable, queue } = options;
  try {
    await print(await client.messages(args[0], { startAt, durable, queue }), count);
  } finally {
    await client.drain();
  }
}

async function print(messages: Messages, count: number): Promise<void> {
  let printed = 0;
  for await (const message of messages) {
    const again = message.redelivered ? ` (delivery ${message.redeliveryCount + 1})` : "";
    process.stdout.write(`#${message.sequence} ${message.time.toISOString()}${again} ${message.text()}\n`);
    if (++printed < count) continue;
    // Leaving the loop would leave this one unacknowledged.
    message.ack();
    return;
  }
}

function positionOf(text: string): StartAt {
  if (text === "first") return "first";
  if (text === "last") return "lastReceived";
  if (text === "new") return "newOnly";
  return /^\d+$/.test(text) ? { sequence: Number(text) } : { time: new Date(text) };
}

main().catch(failed);
