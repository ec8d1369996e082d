// Publishes and consumes without end, and tells once a second how many messages were published and stored (pubd), given
// to the handler (recvd) and acknowledged (ackd).
//
//   node build/examples/live.js [options]
//
// `npm run programs` compiles it. Each second is a line on stdout. With --page the program also serves a page with
// three graphs on 127.0.0.1. With --statsd it also sends the three as statsd counters: `examples/live/dashboard.json`
// is a Grafana dashboard for them, by way of InfluxDB (Telegraf's statsd input, or statsd's InfluxDB backend).
//
// Ctrl-C ends it, once the messages that are under way have come back.
import { connect } from "../src/index.ts";
import type { Client, Message } from "../src/index.ts";
import { StreamingServer } from "../src/testing/server.ts";
import { commandLine, wholeNumber } from "./command-line.ts";
import { Page } from "./live/page.ts";
import { Statsd } from "./live/statsd.ts";
import { failed, interruption, say } from "./terminal.ts";

const USAGE = `usage: live [options]

  --page            serves a page with three graphs on 127.0.0.1
  --port N          the port of the page; default 8080
  --statsd ADDRESS  sends statsd counters by UDP, to 127.0.0.1:8125 or the like
  --in-flight N     at most so many messages without an ack; default 1024
  --seconds N       ends after N seconds
  --server URL      default the server for tests, in this process
  --cluster ID      default test-cluster`;

const CHANNEL = "live";
const PAYLOAD = new Uint8Array(128).fill(120);
/** The server in this process keeps so many messages. More would only fill the memory. */
const STORED = 100_000;
/** The pause before the next publish after an outage that was too long for one. Milliseconds. */
const RETRY_DELAY = 1_000;
/** How long the messages under way may take at the end. Milliseconds. */
const LEAVE_TIMEOUT = 2_000;

const totals = { pubd: 0, recvd: 0, ackd: 0 };
const ending = new AbortController();

async function main(): Promise<void> {
  const { options } = commandLine(USAGE, {
    options: ["port", "statsd", "in-flight", "seconds", "server", "cluster"],
    flags: ["page"],
  });
  const port = wholeNumber("--port", options.port, 8080);
  const inFlight = wholeNumber("--in-flight", options["in-flight"], 1_024, 1);
  const seconds = wholeNumber("--seconds", options.seconds, Infinity, 1);
  const clusterId = options.cluster ?? "test-cluster";
  interruption().addEventListener("abort", () => ending.abort());

  const statsd = options.statsd === undefined ? undefined : new Statsd(options.statsd);
  const page = options.page === true ? await Page.start(port) : undefined;
  const limits = { messages: STORED };
  const own = options.server === undefined ? await StreamingServer.start({ clusterId, limits }) : undefined;
  try {
    const client = await connect({
      clusterId,
      clientId: `live-${process.pid}`,
      servers: options.server ?? own!.url,
      maxPubAcksInFlight: inFlight,
      signal: ending.signal,
    });
    if (page !== undefined) say(`page: ${page.url}`);
    const stop = eachSecond(seconds, statsd, page);
    try {
      await exchange(client, inFlight);
    } finally {
      stop();
      await client.close();
    }
    await statsd?.send(totals);
    say(line(totals));
  } finally {
    statsd?.close();
    await page?.close();
    await own?.stop();
  }
}

/** Publishes to a channel and consumes it. Resolves after the end, once all that was published is acknowledged. */
async function exchange(client: Client, inFlight: number): Promise<void> {
  const handle = (message: Message): void => {
    totals.recvd++;
    if (message.ack()) totals.ackd++;
  };
  await client.subscribe(CHANNEL, handle, { maxInFlight: inFlight, manualAck: true });
  // During an outage the messages under way would not come back.
  ending.signal.addEventListener("abort", () => setTimeout(() => void client.close(), LEAVE_TIMEOUT).unref?.());
  while (!ending.signal.aborted) {
    const before = totals.pubd;
    try {
      await client.publishMany(CHANNEL, payloads(), { onStored: (stored) => (totals.pubd = before + stored) });
    } catch (error) {
      // An outage, which the client tells of by itself.
      if (!ending.signal.aborted && client.state === "closed") throw error;
      if (!ending.signal.aborted) await pause(RETRY_DELAY);
    }
  }
  while (totals.ackd < totals.pubd && client.state !== "closed") await pause(10);
}

function* payloads(): Generator<Uint8Array> {
  while (!ending.signal.aborted) yield PAYLOAD;
}

/** Tells what was counted in each second, and ends the program after so many. Returns what ends that. */
function eachSecond(seconds: number, statsd: Statsd | undefined, page: Page | undefined): () => void {
  let last = { ...totals };
  let at = performance.now();
  let left = seconds;
  const timer = setInterval(() => {
    const [now, time] = [{ ...totals }, performance.now()];
    // The seconds of a busy machine are longer.
    const rate = (name: keyof typeof now): number => Math.round(((now[name] - last[name]) * 1_000) / (time - at));
    const rates = { pubd: rate("pubd"), recvd: rate("recvd"), ackd: rate("ackd") };
    page?.show(rates);
    void statsd?.send(now);
    say(`${line(rates)} per second`);
    [last, at] = [now, time];
    if (--left <= 0) ending.abort();
  }, 1_000);
  return () => clearInterval(timer);
}

function line({ pubd, recvd, ackd }: typeof totals): string {
  return `pubd ${pubd} recvd ${recvd} ackd ${ackd}`;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

main().catch(failed);
