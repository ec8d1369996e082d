// One client in a process of its own, which runs the commands of the benchmark:
//   node worker.js NAME, forked
import { join } from "node:path";
import type { ClientOptions, Memory, Task, TaskRunner } from "./task.ts";

/** What the benchmark sends to a worker, one command at a time. */
export type Command = { readonly open: ClientOptions } | { readonly run: Task } | { readonly close: true };

/** What a worker answers: an `Outcome` to `run`, `Memory` to `close`, nothing to `open`. */
export type Answer = { readonly done: unknown } | { readonly failed: string };

// Loads no other client, since this process's memory is measured.
const { create } = require(join(__dirname, "clients", `${process.argv[2]}.js`)) as { create: () => TaskRunner };
const runner = create();
let before = 0;

async function execute(command: Command): Promise<unknown> {
  if ("run" in command) return runner.run(command.run);
  if ("open" in command) {
    await runner.open(command.open);
    gc();
    before = process.memoryUsage().rss;
    return undefined;
  }
  await runner.close();
  return { peak: process.resourceUsage().maxRSS * 1_024, before } satisfies Memory;
}

process.on("message", (command) => {
  execute(command as Command).then(
    (done) => process.send({ done } satisfies Answer),
    (error: unknown) => {
      const failed = error instanceof Error ? (error.stack ?? error.message) : String(error);
      process.send({ failed } satisfies Answer);
    },
  );
});
process.on("disconnect", () => process.exit());
