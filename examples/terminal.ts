// What the examples print, and how they end: a line of progress, output that nobody reads any more, Ctrl-C, failures.
import { basename } from "node:path";

/** The name of the program that runs. */
export const NAME = basename(process.argv[1], ".js");

/** Whether the progress can be drawn: stderr is a terminal, and one that knows how to erase a line. */
export const isTerminal = process.stderr.isTTY === true && process.env["TERM"] !== "dumb";
let drawn = false;

/** Draws a line in place of the one before, cut to the terminal's width; "" erases it. Without a terminal: nothing. */
export function progress(line: string): void {
  if (!isTerminal || (line === "" && !drawn)) return;
  process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns || 80) - 1)}`);
  drawn = line !== "";
}
// However the program ends, what comes next has a line of its own.
process.on("exit", () => {
  if (drawn) process.stderr.write("\n");
});

/** Prints a line; the progress makes room for it. */
export function say(line: string): void {
  progress("");
  process.stdout.write(`${line}\n`);
}

let begun: { readonly part: number; readonly at: number } | undefined;

/** What part is done, and how long the rest will take if it goes on as since the first call: "43 %, 12 s left". */
export function howFar(part: number): string {
  const now = performance.now();
  begun ??= { part, at: now };
  const perCent = `${Math.floor(part * 100)} %`;
  if (part === begun.part) return perCent;
  const seconds = ((now - begun.at) / 1000 / (part - begun.part)) * (1 - part);
  if (seconds < 100) return `${perCent}, ${Math.ceil(seconds)} s left`;
  return `${perCent}, ${Math.ceil(seconds / 60)} min left`;
}

let unread = false;
let whenUnread = (): void => undefined;

/** Has the program told when nobody reads its output any more, as after `| head -1`. By default it goes on. */
export function onUnread(callback: () => void): void {
  whenUnread = callback;
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error) => {
    if (unread) return;
    unread = true;
    // EPIPE: whoever read it has seen enough. All else, as a full disk, is a failure.
    if (error.code !== "EPIPE") {
      process.stderr.write(`${NAME}: cannot write: ${error.message}\n`);
      process.exitCode = 1;
    }
    whenUnread();
  });
}

let signalled = false;

/** Aborted by Ctrl-C, SIGTERM, and when nobody reads the output any more. A second Ctrl-C ends the program at once. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  const interrupt = (): void => {
    if (signalled) process.exit(130);
    signalled = true;
    controller.abort();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  onUnread(() => controller.abort());
  return controller.signal;
}

/** What an error says. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Tells why the program has failed, in a line on stderr. Its exit code is 130 after Ctrl-C, and else 1. */
export function failed(error: unknown): void {
  progress("");
  if (!unread) process.stderr.write(`${NAME}: ${reasonOf(error)}\n`);
  process.exitCode = signalled ? 130 : 1;
}
