// Prints the messages of a channel, one a line: its number, when it was stored, and the text.
//
//   node build/examples/sub.js CHANNEL [options]
//
//   --from first | last | new | a sequence | a date such as 2026-11-24T08:00:00Z    where to begin; default new
//   --durable NAME    goes on where it was, with the same --client; --queue NAME shares the messages with others
//   --count N         ends after so many
//
// `npm run programs` compiles it. Ctrl-C ends it; a message is acknowledged once it is printed.
import { parseArgs } from "node:util";
import { connect } from "../src/index.ts";
import type { Messages, StartAt } from "../src/index.ts";

const USAGE =
  "usage: sub CHANNEL [--from first|last|new|SEQUENCE|DATE] [--durable NAME] [--queue NAME] [--count N]\n" +
  "           [--server nats://host:port] [--cluster test-cluster] [--client ID]";

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      from: { type: "string" },
      durable: { type: "string" },
      queue: { type: "string" },
      count: { type: "string" },
      server: { type: "string" },
      cluster: { type: "string" },
      client: { type: "string" },
    },
    allowPositionals: true,
  });
  const count = Number(values.count ?? Infinity);
  if (positionals.length !== 1 || !(count > 0)) throw new Error(USAGE);
  const startAt = positionOf(values.from ?? "new");
  const client = await connect({
    clusterId: values.cluster ?? "test-cluster",
    clientId: values.client ?? `sub-${process.pid}`,
    servers: values.server,
  });
  // A drain lets the message that is being printed be acknowledged; the loop ends with its subscription.
  process.on("SIGINT", () => void client.drain());
  process.on("SIGTERM", () => void client.drain());
  const { durable, queue } = values;
  try {
    await print(await client.messages(positionals[0]!, { startAt, durable, queue }), count);
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

main().catch((error: unknown) => {
  process.stderr.write(`sub: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
