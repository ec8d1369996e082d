// Publishes and consumes without end, to be looked at:
//   npm run -s programs && node build/bench/live.js [--page [--port 8080]] [--statsd 127.0.0.1:8125]
//     [--server nats://host:port] [--cluster test-cluster] [--in-flight 1024] [--seconds N]
//
// Without --server it starts a nats-streaming-server of its own. Each second it tells what it has published, received and
// acknowledged: on the terminal, on a page that it serves, and to statsd. It ends by Ctrl-C, or after so many seconds.
import { parseArgs } from "node:util";
import { connect } from "../src/index.ts";
import { binaries, installBinary } from "../test/support/binaries.ts";
import { StreamingServer } from "../test/support/server.ts";
import { Load } from "./live/load.ts";
import { Page } from "./live/page.ts";
import { Statsd } from "./live/statsd.ts";

const USAGE =
  "usage: node build/bench/live.js [--page [--port 8080]] [--statsd 127.0.0.1:8125] [--server nats://host:port] [--cluster test-cluster] [--in-flight 1024] [--seconds N]";
/** An own server keeps so many messages: more would only fill the memory. */
const STORED = 100_000;
const CHANNEL = "live";
/** How long what is under way may take at the end. Milliseconds. */
const LEAVE_TIMEOUT = 2_000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      page: { type: "boolean" },
      port: { type: "string" },
      statsd: { type: "string" },
      server: { type: "string" },
      cluster: { type: "string" },
      "in-flight": { type: "string" },
      seconds: { type: "string" },
      help: { type: "boolean" },
    },
    allowPositionals: false,
  });
  if (values.help === true) return print(USAGE);
  const port = integer("port", values.port, 8_080, 0);
  const inFlight = integer("in-flight", values["in-flight"], 1_024, 1);
  const seconds = values.seconds === undefined ? Infinity : integer("seconds", values.seconds, 0, 1);
  const clusterId = values.cluster ?? "test-cluster";
  const statsd = values.statsd === undefined ? undefined : new Statsd(values.statsd);
  const page = values.page === true ? await Page.start(port) : undefined;
  const own = values.server === undefined ? await startServer(clusterId) : undefined;
  try {
    const client = await connect({ clusterId, clientId: `live-${process.pid}`, servers: values.server ?? own!.url });
    const load = new Load(client, CHANNEL, inFlight);
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => {
        load.end();
        // A server of our own has got the Ctrl-C of the terminal as well: what it has not answered stays open.
        setTimeout(() => void client.close(), LEAVE_TIMEOUT).unref?.();
      });
    }
    if (page !== undefined) print(`page: ${page.url}`);
    const stop = eachSecond(seconds, load, statsd, page);
    await load.run();
    await client.close();
    stop();
    await statsd?.send({ ...load.totals });
    const { pubd, recvd, ackd } = load.totals;
    print(`pubd ${pubd} recvd ${recvd} ackd ${ackd}`);
  } finally {
    statsd?.close();
    await page?.close();
    await own?.stop();
  }
}

/** Tells what was counted in each second. Returns what ends that. */
function eachSecond(seconds: number, load: Load, statsd: Statsd | undefined, page: Page | undefined): () => void {
  let last = { ...load.totals };
  let at = performance.now();
  let left = seconds;
  const timer = setInterval(() => {
    const [now, time] = [{ ...load.totals }, performance.now()];
    // A busy machine's seconds are longer.
    const rate = (name: keyof typeof now): number => Math.round(((now[name] - last[name]) * 1_000) / (time - at));
    const rates = { pubd: rate("pubd"), recvd: rate("recvd"), ackd: rate("ackd") };
    page?.show(rates);
    void statsd?.send(now);
    const text = `${count(rates.pubd)} pubd, ${count(rates.recvd)} recvd, ${count(rates.ackd)} ackd per second`;
    if (process.stdout.isTTY === true) process.stdout.write(`\r\x1b[K${text}`);
    [last, at] = [now, time];
    if (--left <= 0) load.end();
  }, 1_000);
  return () => {
    clearInterval(timer);
    if (process.stdout.isTTY === true) process.stdout.write("\r\x1b[K");
  };
}

async function startServer(clusterId: string): Promise<StreamingServer> {
  const found = installBinary(binaries.streaming);
  if ("missing" in found) throw new Error(`no server to run: ${found.missing}. Install Go, or use a running server by --server`);
  return StreamingServer.start({ clusterId, args: ["-mm", String(STORED), "-mb", "0"] });
}

function integer(option: string, value: string | undefined, fallback: number, least: number): number {
  const number = value === undefined ? fallback : Number(value);
  if (Number.isInteger(number) && number >= least) return number;
  throw new Error(`--${option} must be a whole number from ${least} on, not ${value}`);
}

function count(value: number): string {
  return value.toLocaleString("en");
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`live: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
