// One client in a process of its own, which does what the harness tells it:
//   node worker.js NAME, forked
import { join } from "node:path";
import type { Competitor, Memory, Place, Task } from "./task.ts";

/** What the harness tells a worker to do, one at a time. */
export type Order = { readonly open: Place } | { readonly run: Task } | { readonly close: true };

/** What a worker says when it has done it: an `Outcome`, `Memory` at the end, or nothing. */
export type Answer = { readonly done: unknown } | { readonly failed: string };

// Only the one client is loaded: its memory is not to hold the others.
const { create } = require(join(__dirname, "clients", `${process.argv[2]}.js`)) as { create: () => Competitor };
const competitor = create();
let before = 0;

async function obey(order: Order): Promise<unknown> {
  if ("run" in order) return competitor.run(order.run);
  if ("open" in order) {
    await competitor.open(order.open);
    gc();
    before = process.memoryUsage().rss;
    return undefined;
  }
  await competitor.close();
  return { peak: process.resourceUsage().maxRSS * 1_024, before } satisfies Memory;
}

process.on("message", (order) => {
  obey(order as Order).then(
    (done) => process.send({ done } satisfies Answer),
    (error: unknown) => process.send({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) } satisfies Answer),
  );
});
process.on("disconnect", () => process.exit());
