// Publishes from the command line: one message, or each line of stdin.
//
//   node build/examples/pub.js CHANNEL TEXT [options]
//   some-program | node build/examples/pub.js CHANNEL [options]
//
// `npm run programs` compiles it. Exits with 0 once everything is stored, else with 1 and the reason on stderr.
import { parseArgs } from "node:util";
import { connect } from "../src/index.ts";

const USAGE = "usage: pub CHANNEL [TEXT] [--server nats://host:port] [--cluster test-cluster] [--client ID]";

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { server: { type: "string" }, cluster: { type: "string" }, client: { type: "string" } },
    allowPositionals: true,
  });
  const [channel, text] = positionals;
  if (channel === undefined || positionals.length > 2) throw new Error(USAGE);
  const client = await connect({
    clusterId: values.cluster ?? "test-cluster",
    clientId: values.client ?? `pub-${process.pid}`,
    servers: values.server,
  });
  let stored = 0;
  try {
    await client.publishMany(channel, text === undefined ? linesOf(process.stdin) : [text], { onStored: (n) => (stored = n) });
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

main().catch((error: unknown) => {
  process.stderr.write(`pub: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
