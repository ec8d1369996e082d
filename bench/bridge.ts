// Measures the bridge to JetStream from end to end, beside a copy of one message at a time: npm run bench-bridge
import { fork } from "node:child_process";
import { join } from "node:path";
import { failed, say } from "../examples/terminal.ts";
import { copy } from "../src/bridge/index.ts";
import { headerBlock } from "../src/core-nats/headers.ts";
import { Link } from "../src/core-nats/link.ts";
import { connect } from "../src/index.ts";
import { binaries, installBinary } from "../test/support/binaries.ts";
import { NatsServer, RealServer } from "../test/support/server.ts";

/** What one process copies, and how. */
interface Task {
  readonly source: string;
  readonly target: string;
  readonly channel: string;
  readonly stream: string;
  readonly oneByOne: boolean;
  readonly messages: number;
}

/** What it took: seconds, microseconds of CPU for each message, and the most memory in MiB. */
interface Took {
  readonly seconds: number;
  readonly cpu: number;
  readonly memory: number;
}

const SIZE = 128;
const COUNTS = [100_000, 1_000_000, 5_000_000];
/** One at a time takes so much longer that fewer must do. */
const ONE_BY_ONE = 50_000;

async function main(): Promise<void> {
  for (const name of ["streaming", "nats"] as const) {
    const found = installBinary(binaries[name]);
    if ("missing" in found) throw new Error(found.missing);
  }
  const rows: string[][] = [["messages", "how", "messages/s", "CPU in the bridge", "peak RSS"]];
  rows.push(["---:", "---", "---:", "---:", "---:"]);
  for (const count of COUNTS) rows.push(await measured(count, false));
  rows.push(await measured(ONE_BY_ONE, true));
  say(rows.map((row) => `| ${row.join(" | ")} |`).join("\n"));
}

async function measured(count: number, oneByOne: boolean): Promise<string[]> {
  const source = await RealServer.start({ store: "file", args: ["-mm", "0", "-mb", "0"] });
  const target = await NatsServer.start({ jetstream: true });
  try {
    const client = await connect({ clusterId: "test-cluster", clientId: "filler", servers: source.url });
    const data = new Uint8Array(SIZE).fill(120);
    const items = (function* () {
      for (let i = 0; i < count; i++) yield data;
    })();
    await client.publishMany("orders", items);
    await client.close();
    const task = {
      source: source.url,
      target: target.url,
      channel: "orders",
      stream: "orders",
      oneByOne,
      messages: count,
    };
    const { seconds, cpu, memory } = await inProcess(task);
    const rate = Math.round(count / seconds).toLocaleString("en");
    const how = oneByOne ? "one at a time" : "`copy`";
    return [count.toLocaleString("en"), how, rate, `${cpu.toFixed(2)} µs`, `${Math.round(memory)} MiB`];
  } finally {
    await Promise.all([source.stop("SIGKILL"), target.stop("SIGKILL")]);
  }
}

/** Does it in a process of its own, which nothing else has warmed. */
function inProcess(task: Task): Promise<Took> {
  return new Promise((resolve, reject) => {
    const child = fork(join(__dirname, "bridge.js"), []);
    child.on("message", (message) => resolve(message as Took));
    child.once("exit", (code) => reject(new Error(`a copy ended with the code ${String(code)}`)));
    child.send(task);
  });
}

async function carryOut(task: Task): Promise<Took> {
  const begun = performance.now();
  const before = process.cpuUsage();
  if (task.oneByOne) await copyOneByOne(task);
  else {
    const from = { clusterId: "test-cluster", servers: task.source };
    const { channels } = await copy({ from, to: { servers: task.target }, channels: task.channel });
    if (channels[0]?.copied !== task.messages) throw new Error(JSON.stringify(channels));
  }
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - begun) / 1_000;
  return { seconds, cpu: (user + system) / task.messages, memory: process.resourceUsage().maxRSS / 1_024 };
}

/** The control: the next message is read once the last one is stored, as in stan2js. */
async function copyOneByOne({ source, target, channel, stream, messages }: Task): Promise<void> {
  const times = { connectTimeout: 5_000, pingInterval: 60_000, pingMaxOut: 2 };
  const link = new Link({
    servers: target,
    auth: undefined,
    tls: undefined,
    inboxPrefix: "_INBOX",
    name: "c",
    ...times,
  });
  const connection = await link.connection();
  const read = (bytes: Uint8Array, start: number, end: number): string => {
    return new TextDecoder().decode(bytes.subarray(start, end));
  };
  const ask = (subject: string, text: string): Promise<string> => {
    return connection.request(subject, new TextEncoder().encode(text), 10_000, read);
  };
  await ask(`$JS.API.STREAM.CREATE.${stream}`, JSON.stringify({ name: stream, subjects: [channel] }));
  const client = await connect({ clusterId: "test-cluster", clientId: "one-by-one", servers: source });
  const acks = new Map<number, () => void>();
  const inbox = `_INBOX.${client.clientId}`;
  connection.subscribe(inbox, {
    deliver: ({ bytes, start, end }) => {
      const { seq } = JSON.parse(read(bytes, start, end)) as { seq: number };
      acks.get(seq)?.();
    },
    denied: () => {},
  });
  let copied = 0;
  await new Promise<void>((resolve, reject) => {
    const handler = async ({
      sequence,
      timestamp,
      data,
    }: {
      sequence: number;
      timestamp: bigint;
      data: Uint8Array;
    }) => {
      const stored = new Promise<void>((done) => acks.set(sequence, done));
      const headers = headerBlock([
        ["Nats-Streaming-Sequence", String(sequence)],
        ["Nats-Streaming-Timestamp", String(timestamp)],
      ]);
      connection.publishWithHeaders(channel, headers, data, inbox);
      await stored;
      acks.delete(sequence);
      if (++copied === messages) resolve();
    };
    client.subscribe(channel, handler, { startAt: "first", concurrency: 1, maxInFlight: 1 }).catch(reject);
  });
  await client.close();
  link.close();
}

if (process.send === undefined) main().catch(failed);
else {
  process.on("message", (task) => {
    carryOut(task as Task).then(
      (took) => {
        process.send(took);
        process.disconnect();
      },
      (error: unknown) => {
        say(String(error));
        process.exit(1);
      },
    );
  });
}
