// Publishes the lines of a file, of any size, as fast as the server stores them.
//
//   node build/examples/load-file.js FILE CHANNEL [options]
//
// `npm run programs` compiles it. The file is read as it is published, so memory does not grow with it. Outages are
// waited for, within `publishTimeout`. At a line that is not stored for certain, and at Ctrl-C, it stops and says where
// to go on: "go on with --from N" means that the first N lines are stored. It says so all the time, in the line of
// progress or, where stderr is no terminal, once a second: after a kill -9 the last number that was printed is the one.
//
// Lines behind the first N may be stored as well, and then twice. Their `reply` tells: it is the name of the file and
// the number of the line, as in "orders.txt:17". A consumer that notes it can drop the second one.
import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";
import { connect, PublishManyError } from "../src/index.ts";
import { commandLine, unreadable, wholeNumber } from "./command-line.ts";
import { failed, howFar, interruption, isTerminal, NAME, progress, reasonOf, say } from "./terminal.ts";

const USAGE = `usage: load-file FILE CHANNEL [options]

  --from N        leaves out the first N lines: goes on where an earlier run has ended
  --server URL    default nats://127.0.0.1:4222
  --cluster ID    default test-cluster`;

/** How often it says how far it is: on a terminal, and elsewhere. Milliseconds. */
const INTERVAL = isTerminal ? 100 : 1_000;
const NEWLINE = 10;

async function main(): Promise<void> {
  const { args, options } = commandLine(USAGE, { args: ["FILE", "CHANNEL"], options: ["from", "server", "cluster"] });
  const [file, channel] = args;
  const from = wholeNumber("--from", options.from, 0);
  const size = sizeOf(file);
  const client = await connect({
    clusterId: options.cluster ?? "test-cluster",
    clientId: `load-file-${process.pid}`,
    servers: options.server,
  });
  const signal = interruption();

  const reading = { bytes: 0, lines: 0 };
  /** All lines before this one are stored. */
  let next = from;
  let said = from;
  const timer = setInterval(() => {
    if (next === said) return;
    const line = `go on with --from ${next}${size > 0 ? `; ${howFar(reading.bytes / size)}` : ""}`;
    if (isTerminal) progress(line);
    else process.stderr.write(`${NAME}: ${line}\n`);
    said = next;
  }, INTERVAL);
  const start = performance.now();
  try {
    const onStored = (_: number, unbroken: number): void => void (next = from + unbroken);
    const stored = await client.publishMany(channel, linesOf(file, from, reading), { onStored, signal });
    if (reading.lines < from) throw new Error(`${file} has ${count(reading.lines)} lines only`);
    const seconds = (performance.now() - start) / 1000;
    say(`${count(stored)} lines stored in ${channel} in ${seconds.toFixed(1)} s`);
  } catch (error) {
    if (!(error instanceof PublishManyError)) throw error;
    const reason = signal.aborted ? "interrupted" : reasonOf(error);
    // At once: whoever insists by a second Ctrl-C does not wait for the drain.
    failed(new Error(`${reason}; go on with --from ${from + error.firstUncertain}`, { cause: error }));
  } finally {
    clearInterval(timer);
    await client.drain();
  }
}

interface Line {
  readonly data: Uint8Array;
  readonly reply: string;
}

/** The lines of a file, as bytes, without their ends; the first ones are left out. `reading` is told how far it is. */
async function* linesOf(file: string, from: number, reading: { bytes: number; lines: number }): AsyncGenerator<Line> {
  const name = basename(file);
  const line = (data: Uint8Array): Line => ({ data, reply: `${name}:${reading.lines}` });
  /** The beginning of a line whose end has not been read. */
  let rest: Uint8Array[] = [];
  for await (const piece of createReadStream(file)) {
    let start = 0;
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, start)) {
      if (++reading.lines > from) yield line(joined([...rest, piece.subarray(start, end)]));
      rest = [];
      start = end + 1;
    }
    if (start < piece.length) rest.push(piece.subarray(start));
    reading.bytes += piece.length;
  }
  if (rest.length > 0 && ++reading.lines > from) yield line(joined(rest));
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

function sizeOf(file: string): number {
  try {
    const status = statSync(file);
    if (status.isDirectory()) throw new Error("it is a folder");
    return status.size;
  } catch (error) {
    throw unreadable(file, error);
  }
}

function count(n: number): string {
  return n.toLocaleString("en");
}

main().catch(failed);
