import { ByteCollector } from "../core-nats/byte-collector.ts";
import { elapsed } from "../core-nats/clock.ts";
import { PublishManyError } from "../index.ts";
import type { Command, Run } from "./command.ts";
import { UsageError } from "./host.ts";
import { counted, grouped, reasonOf } from "./output.ts";

/** How often the progress is drawn, in milliseconds. */
const INTERVAL = 200;

/** @internal */
export const pub: Command = {
  name: "pub",
  args: ["CHANNEL", "[TEXT]"],
  summary: "publishes a text, or each line of standard input or of a file",
  options: {
    file: { value: "FILE", help: "publishes each line of the file" },
    skip: { value: "N", help: "leaves out the first N lines: they are stored already" },
    reply: { value: "TEXT", help: "stored with each message as its reply" },
  },
  notes: ["With - as TEXT, or without TEXT, it publishes each line of standard input. A line ends before its LF."],
  example: "pub orders --file orders.txt",
  uses: ["client"],
  async run(run) {
    const { args: [channel, text], access, output, host } = run;
    const file = run.text("file");
    if (file !== undefined && text !== undefined) throw new UsageError("TEXT and --file exclude each other");
    const skip = run.number("skip", 0);
    const bytes = () => (file === undefined ? host.stdin : access.open(file, "file", host.readBytes));
    const lines = text === undefined || text === "-" ? linesOf(bytes()) : [text];
    const client = await access.client(output);
    const begun = elapsed();
    const rate = (stored: number): string => `${grouped((stored / Math.max(1, elapsed() - begun)) * 1_000)} a second`;
    let drawn = begun;
    try {
      const stored = await client.publishMany(channel, skipping(lines, skip), {
        signal: host.signal,
        reply: run.text("reply"),
        onStored: (count) => {
          if (elapsed() - drawn < INTERVAL) return;
          drawn = elapsed();
          output.progress(`${grouped(count)} stored, ${rate(count)}`);
        },
      });
      const seconds = Math.round(elapsed() - begun) / 1_000;
      if (output.json) output.value({ channel, stored, skipped: skip, seconds });
      else output.note(`${counted(stored, "message")} stored in ${channel}, ${rate(stored)}`);
      return 0;
    } catch (error) {
      if (!(error instanceof PublishManyError)) throw error;
      return interrupted(run, error, skip);
    } finally {
      await client.drain();
    }
  },
};

/** Says what is stored, and how to go on. */
function interrupted({ output, args, host }: Run, error: PublishManyError, skip: number): number {
  const next = skip + error.firstUncertain;
  // A source that fails, as a file that cannot be read, ends it with this code, too.
  const aborted = host.signal.aborted ? "interrupted" : reasonOf(error.cause ?? error);
  const reason = error.code === "ABORTED" ? aborted : reasonOf(error);
  if (output.json) {
    const { stored, code } = error;
    output.value({ channel: args[0], stored, skipped: skip, skip: next, error: { code, message: reason } });
    return 1;
  }
  const rest = error.stored - error.firstUncertain;
  const some = rest === 0 ? "" : `, and ${grouped(rest)} of the later ones, which would then be stored twice`;
  const first = `The first ${counted(next, "line")} ${next === 1 ? "is" : "are"} stored`;
  output.warn(`pub: ${reason}\n${first}${some}. Go on with --skip ${next}.`);
  return 1;
}

type Lines = AsyncIterable<Uint8Array> | readonly string[];

async function* skipping(lines: Lines, count: number): AsyncGenerator<string | Uint8Array> {
  let index = 0;
  for await (const line of lines) if (++index > count) yield line;
}

const LF = 10;

/** @internal The lines of bytes that come in pieces, without their LF. The rest is one, too, if not empty. */
export async function* linesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const line = new ByteCollector();
  for await (const piece of pieces) {
    let start = 0;
    for (let end = piece.indexOf(LF); end !== -1; end = piece.indexOf(LF, start)) {
      line.add(piece, start, end);
      yield line.bytes.slice(0, line.length);
      line.clear();
      start = end + 1;
    }
    line.add(piece, start, piece.length);
  }
  if (line.length > 0) yield line.bytes.slice(0, line.length);
}
