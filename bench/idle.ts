// Measures what one client costs while nothing happens:
//   node --expose-gc idle.js CLIENT URL CLUSTER SECONDS SUBSCRIPTIONS, forked
import { createHook } from "node:async_hooks";
import { join } from "node:path";
import type { StreamingClient } from "./streaming-client.ts";

/** What the process reports at its end: bytes, and what happens per second. */
export interface Idle {
  /** Resident memory: of bare Node, once the client is loaded, and once it is registered. */
  readonly bare: number;
  readonly loaded: number;
  readonly registered: number;
  /** Turns of the event loop by a timer, and context switches of all threads. Per second. */
  readonly timers: number;
  readonly switches: number;
  /** What all subscriptions take together. */
  readonly heap: number;
  readonly arrayBuffers: number;
}

const [name, url, clusterId, seconds, subscriptions] = process.argv.slice(2);
const CHANNEL = "bench.idle";
/** Subscribe requests under way at a time. */
const AT_ONCE = 50;

const timers = new Set<number>();
let turns = 0;
let fired = false;
const hook = createHook({
  init(id, type) {
    if (type === "Timeout") timers.add(id);
  },
  before(id) {
    if (fired || !timers.has(id)) return;
    // Timers that are due at the same time are one wake-up.
    fired = true;
    turns++;
    setImmediate(() => (fired = false));
  },
});

function memory(): ReturnType<typeof process.memoryUsage> {
  gc();
  gc();
  return process.memoryUsage();
}

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function main(): Promise<Idle> {
  const bare = memory().rss;
  hook.enable();
  const { createClient } = require(join(__dirname, "clients", `${name}.js`)) as { createClient: () => StreamingClient };
  const client = createClient();
  const loaded = memory().rss;
  await client.open({ url, clusterId, window: 1_024 });
  await pause(1_000);
  const registered = memory().rss;

  const [turnsBefore, switchesBefore] = [turns, process.resourceUsage().voluntaryContextSwitches];
  await pause(Number(seconds) * 1_000);
  // This pause is one of the timers.
  const timersPerSecond = (turns - turnsBefore - 1) / Number(seconds);
  const switches = (process.resourceUsage().voluntaryContextSwitches - switchesBefore) / Number(seconds);
  hook.disable();

  const before = memory();
  const options = { stored: false, maxInFlight: 100, manualAcks: false, data: false };
  for (let i = 0; i < Number(subscriptions); i += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => client.consume(CHANNEL, options, () => undefined)));
  }
  const after = memory();
  return {
    bare,
    loaded,
    registered,
    timers: timersPerSecond,
    switches,
    heap: after.heapUsed - before.heapUsed,
    arrayBuffers: after.arrayBuffers - before.arrayBuffers,
  };
}

main().then(
  (idle) => {
    process.send(idle);
    process.disconnect();
    process.exit();
  },
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  },
);
