import { createReadStream, openSync, readFileSync, writeFileSync } from "node:fs";
import { main } from "./main.ts";

const { argv, env, pid, stdout, stderr } = process;
const ending = new AbortController();

for (const event of ["SIGINT", "SIGTERM"] as const) {
  process.on(event, () => {
    // The second one does not wait.
    if (ending.signal.aborted) process.exit(130);
    ending.abort();
  });
}

let input: string | undefined;
let unwritable = false;
for (const stream of [stdout, stderr]) {
  stream.on("error", ({ code }) => {
    // EPIPE: whoever reads it has seen enough. Everything else, as a full disk, is a failure.
    if (code !== "EPIPE") unwritable = true;
    ending.abort();
  });
}

void main({
  ...{ args: argv.slice(2), env, pid, stdout, stderr, signal: ending.signal },
  // Only a command that uses it may touch it: from then on, a read for credentials would not wait.
  get stdin() { return process.stdin; },
  // - is standard input.
  readText: (path) => (path === "-" ? (input ??= readFileSync(0, "utf8")) : readFileSync(path, "utf8")),
  readBytes: (path) => createReadStream(path, { fd: openSync(path, "r") }),
  writeText: writeFileSync,
}).then((code) => {
  process.exitCode = unwritable ? 1 : code;
});
