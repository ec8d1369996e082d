// Publishes the lines of a file, of any size, as fast as the server stores them, with a progress bar.
//
//   node build/examples/load-file.js FILE CHANNEL [--server nats://host:port] [--cluster test-cluster]
//
// `npm run programs` compiles it. The file is read as it is published, so memory does not grow with it. Outages are
// waited for, within `publishTimeout`; at the first line that was not stored for certain it stops and says where.
import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { connect } from "../src/index.ts";

const USAGE = "usage: load-file FILE CHANNEL [--server nats://host:port] [--cluster test-cluster]";
const WIDTH = 30;
/** How often the bar is drawn. Milliseconds. */
const INTERVAL = 100;
const NEWLINE = 10;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { server: { type: "string" }, cluster: { type: "string" } },
    allowPositionals: true,
  });
  const [file, channel] = positionals;
  if (file === undefined || channel === undefined || positionals.length > 2) throw new Error(USAGE);
  const { size } = statSync(file);
  const client = await connect({
    clusterId: values.cluster ?? "test-cluster",
    clientId: `load-file-${process.pid}`,
    servers: values.server,
  });
  const interruption = new AbortController();
  process.on("SIGINT", () => interruption.abort());

  const reading = { bytes: 0 };
  let stored = 0;
  const show = (): void => bar(`${basename(file)} ${progressOf(reading.bytes, size)} ${count(stored)} stored`);
  const timer = setInterval(show, INTERVAL);
  const start = performance.now();
  try {
    const options = { onStored: (n: number) => void (stored = n), signal: interruption.signal };
    await client.publishMany(channel, linesOf(file, reading), options);
    show();
  } catch (error) {
    throw new Error(`${count(stored)} lines are stored, then: ${(error as Error).message}`, { cause: error });
  } finally {
    clearInterval(timer);
    bar("");
    await client.drain();
  }
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(`${count(stored)} lines stored in ${channel} in ${seconds.toFixed(1)} s\n`);
}

/** The lines of a file, as bytes, without their ends. `reading` is told how far it has come. */
async function* linesOf(file: string, reading: { bytes: number }): AsyncGenerator<Uint8Array> {
  /** The beginning of a line whose end has not been read. */
  let rest: Uint8Array[] = [];
  for await (const piece of createReadStream(file)) {
    let start = 0;
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, start)) {
      yield joined([...rest, piece.subarray(start, end)]);
      rest = [];
      start = end + 1;
    }
    if (start < piece.length) rest.push(piece.subarray(start));
    reading.bytes += piece.length;
  }
  if (rest.length > 0) yield joined(rest);
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function progressOf(bytes: number, size: number): string {
  const part = size === 0 ? 1 : Math.min(1, bytes / size);
  const done = Math.round(part * WIDTH);
  return `[${"#".repeat(done)}${"-".repeat(WIDTH - done)}] ${Math.floor(part * 100)} %`;
}

/** One line that is written over again and again, on a terminal only. */
function bar(text: string): void {
  if (process.stderr.isTTY === true) process.stderr.write(`\r\x1b[K${text}`);
}

function count(n: number): string {
  return n.toLocaleString("en");
}

main().catch((error: unknown) => {
  process.stderr.write(`load-file: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
