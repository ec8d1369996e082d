// Publishes from the command line: one message, or each line of stdin.
//
//   node build/examples/pub.js CHANNEL TEXT [options]
//   some-program | node build/examples/pub.js CHANNEL [options]
//
// `npm run programs` compiles it. Exits with 0 once everything is stored, else with 1 and the reason on stderr.
import { connect } from "../src/index.ts";
import { commandLine } from "./command-line.ts";
import { failed } from "./terminal.ts";

const USAGE = `usage: pub CHANNEL [TEXT] [options]    without TEXT: publishes each line of stdin

  --server URL    default nats://127.0.0.1:4222
  --cluster ID    default test-cluster
  --client ID     default pub- and the process ID`;

async function main(): Promise<void> {
  const known = { args: ["CHANNEL", "[TEXT]"], options: ["server", "cluster", "client"] } as const;
  const { args, options } = commandLine(USAGE, known);
  const [channel, text] = args;
  const client = await connect({
    clusterId: options.cluster ?? "test-cluster",
    clientId: options.client ?? `pub-${process.pid}`,
    servers: options.server,
  });
  let stored = 0;
  try {
    const texts = text === undefined ? linesOf(process.stdin) : [text];
    await client.publishMany(channel, texts, { onStored: (n) => (stored = n) });
  } finally {
    // Also when a line could not be stored: those before it are.
    process.stdout.write(`${stored} stored\n`);
    await client.drain();
  }
}

/** The lines of a text that comes in pieces, drawn no faster than they are taken. */
async function* linesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of pieces) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}

main().catch(failed);
