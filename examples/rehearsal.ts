// Leaving NATS Streaming for JetStream, rehearsed on this machine: it starts both servers, a producer that never
// stops, and two consumers; moves all of them while messages flow; kills the bridge in between; and counts at the end
// how often each message was handled. docs/leaving.md is the guide to it.
//
//   npm run rehearsal -- [--rate N]
//
// Both servers are found or installed by Go, and @nats-io/jetstream by npm. In a program of yours,
// "../src/index.ts" is "nats-streaming-client", and "../src/bridge/index.ts" is "nats-streaming-client/bridge".
import { type ChildProcess, fork } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { finish, fromJetStream, move, open, plan, verify } from "../src/bridge/index.ts";
import type { BridgedMessage, BridgeOptions, CopyProgress, JetStreamMessage } from "../src/bridge/index.ts";
import { connect } from "../src/index.ts";
import type { Client } from "../src/index.ts";
import { binaries, installBinary } from "../test/support/binaries.ts";
import { installPackage } from "../test/support/packages.ts";
import { NatsServer, RealServer } from "../test/support/server.ts";
import { commandLine, wholeNumber } from "./command-line.ts";
import { failed, interruption, say } from "./terminal.ts";

const USAGE = `usage: npm run rehearsal -- [options]

  --rate N  the producer publishes N messages a second; default 500`;
const CLUSTER = "test-cluster";
const CHANNEL = "orders";
const GROUP = { durable: "workers", queue: "shipping" };
/** Billing has not acknowledged one in so many when it leaves. */
const LEFT_OUT = 25;
/** How long one thing may take, in milliseconds. */
const PATIENCE = 60_000;
const CLIENT = "@nats-io/jetstream@3.4.0 @nats-io/transport-node@3.4.0";

const interrupted = interruption();
const begun = performance.now();

/** What is used of @nats-io/transport-node and @nats-io/jetstream, which this repository does not depend on. */
interface NatsConnection {
  close(): Promise<void>;
}
interface JetStream {
  publish(subject: string, data: string, options: { msgID: string }): Promise<unknown>;
  readonly consumers: { get(stream: string, consumer: string): Promise<JetStreamConsumer> };
}
interface JetStreamConsumer {
  consume(options: { max_messages: number }): Promise<AsyncIterable<JetStreamMessage>>;
}

async function main(): Promise<void> {
  const { options } = commandLine(USAGE, { options: ["rate"] });
  const rate = wholeNumber("--rate", options.rate, 500, 1);
  const { connectTo, jetstream } = jetStreamClient();
  const [source, target] = await startServers();
  let bridge: Bridge | undefined;
  const closing: (() => Promise<unknown>)[] = [];
  try {
    const from = { clusterId: CLUSTER, servers: source.url, monitor: `http://127.0.0.1:${source.monitorPort}` };
    const between: BridgeOptions = { from, to: { servers: target.url } };
    const connection = await connectTo({ servers: target.url });
    closing.push(() => connection.close());
    const js = jetstream(connection);
    const clientOf = async (clientId: string): Promise<Client> => {
      const client = await connect({ clusterId: CLUSTER, clientId, servers: source.url, onStatus: () => undefined });
      closing.push(() => client.close());
      return client;
    };

    tell(`the streaming server is on port ${source.port}, the one with JetStream on port ${target.port}`);
    const shop = await clientOf("shop");
    const producer = new Producer(rate, (text) => shop.publish(CHANNEL, text));
    const billing = new Consumer("billing");
    const workers = new Consumer("workers");
    const billingClient = await clientOf("billing-1");
    // These handlers stay as they are, whoever the messages come from.
    const bill = billing.handle;
    const ship = workers.handle;
    await billingClient.subscribe(
      CHANNEL,
      (message) => {
        if (message.sequence % LEFT_OUT === 0) return;
        bill(message);
        message.ack();
      },
      { durable: "billing", startAt: "first", manualAck: true, maxInFlight: 1_024 },
    );
    const members = await Promise.all(["worker-1", "worker-2"].map((clientId) => clientOf(clientId)));
    for (const member of members) await member.subscribe(CHANNEL, ship, { ...GROUP, startAt: "first" });
    tell(`a producer stores ${rate} messages a second; a durable and a durable queue group of two handle them`);

    await pause(1_000);
    const { obstacles, channels } = await plan(between);
    for (const { text, remedy } of obstacles) throw new Error(`${text}. ${remedy}`);
    const [planned] = channels;
    tell(`plan: ${planned!.channel} becomes the stream ${planned!.stream}, and nothing stands in the way`);
    for (const { durable, queue, consumer } of planned!.durables) {
      tell(`plan: ${queue === undefined ? durable : `${durable}:${queue}`} becomes the consumer ${consumer}`);
    }

    const lastOf = async (): Promise<number> => {
      return (await source.monitor<{ last_seq: number }>(`streaming/channelsz?channel=${CHANNEL}`))!.last_seq;
    };
    bridge = new Bridge(between);
    tell("copy: it follows the channel, in a process of its own");
    await bridge.reaches(await lastOf());
    tell(`copy: the stream has all messages, ${bridge.last} by now`);
    bridge.kill();
    tell("the bridge is killed (kill -9), while the producer goes on");
    await pause(500);
    bridge = new Bridge(between);
    await bridge.reaches(await lastOf());
    tell("the bridge is started again, and has all messages: nothing else was needed");

    const { ok, channels: verified } = await verify(between);
    tell(`verify: ${verified[0]!.compared} messages compared, ${verified[0]!.differences} differences`);
    if (!ok) throw new Error("the copy is not equal");

    const left = performance.now();
    await billingClient.close();
    const moved = await move({ ...between, channel: CHANNEL, durable: "billing", client: "billing-1" });
    await consumeFrom(js, moved, (message) => bill(message));
    tell(`move: billing goes on in JetStream behind ${moved.lastSent}, and ${moved.pending} messages come again;`);
    tell(`      it was away for ${Math.round(performance.now() - left)} ms`);

    bridge.kill();
    tell("the bridge is killed once more");
    await pause(300);
    bridge = new Bridge(between);
    tell("the bridge is started again");

    const drained = performance.now();
    await Promise.all(members.map((member) => member.drain()));
    const group = await move({ ...between, channel: CHANNEL, ...GROUP });
    for (const _ of members) await consumeFrom(js, group, (message) => ship(message));
    tell(`move: the workers go on in JetStream behind ${group.lastSent}, and ${group.pending} messages come again;`);
    tell(`      they were away for ${Math.round(performance.now() - drained)} ms`);

    await open({ ...between, channel: CHANNEL });
    tell("open: producers may publish to JetStream, one after the other");
    await pause(500);
    await producer.goTo((text) => js.publish(CHANNEL, text, { msgID: text }).then(() => undefined));
    tell("the producer publishes to JetStream");
    await bridge.reaches(await lastOf());
    const finished = await finish({ ...between, channel: CHANNEL });
    tell(`finish: ${finished.verified!.compared} messages compared, the stream is on its own`);
    await shop.close();
    await source.stop();
    tell("the streaming server is stopped, and nobody misses it");
    await pause(500);

    const published = await producer.stop();
    await until("all is handled", () => [billing, workers].every(({ handled }) => handled.size === published.size));
    say(`\n${published.size} messages published, ${producer.direct} of them to JetStream`);
    const wrong = [billing, workers].map((consumer) => consumer.judge(published));
    if (wrong.includes(true)) throw new Error("a message was lost or handled twice");
  } finally {
    bridge?.kill();
    await Promise.allSettled(closing.map((close) => close()));
    await Promise.all([source.stop("SIGKILL"), target.stop("SIGKILL")]);
  }
}

/** Publishes numbered messages at a rate, until it is stopped. */
class Producer {
  /** What is stored. */
  readonly stored = new Set<string>();
  direct = 0;
  #publish: (text: string) => Promise<void>;
  #moved = false;
  #published = 0;
  #failure: unknown;
  readonly #open = new Set<Promise<void>>();
  readonly #timer: Timer;

  constructor(rate: number, publish: (text: string) => Promise<void>) {
    this.#publish = publish;
    const start = performance.now();
    this.#timer = setInterval(() => {
      const due = ((performance.now() - start) / 1_000) * rate;
      while (this.#published < due) this.#one(`order ${++this.#published}`);
    }, 10);
  }

  /** Publishes by another way from now on. Resolves when all that went the old way is stored. */
  async goTo(publish: (text: string) => Promise<void>): Promise<void> {
    this.#publish = publish;
    this.#moved = true;
    await this.#settle();
  }

  /** Resolves with all that is stored. */
  async stop(): Promise<ReadonlySet<string>> {
    clearInterval(this.#timer);
    await this.#settle();
    return this.stored;
  }

  #one(text: string): void {
    if (this.#moved) this.direct++;
    const publishing = this.#publish(text).then(
      () => void this.stored.add(text),
      (error: unknown) => void (this.#failure ??= error),
    );
    this.#open.add(publishing);
    void publishing.then(() => this.#open.delete(publishing));
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#open);
    if (this.#failure !== undefined) throw this.#failure;
  }
}

/** Counts how often it handles each message. */
class Consumer {
  readonly handled = new Map<string, number>();
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  /** The handler: it takes messages of the streaming server and of JetStream. */
  readonly handle = (message: BridgedMessage): void => {
    const text = message.text();
    this.handled.set(text, (this.handled.get(text) ?? 0) + 1);
  };

  /** Prints what it has handled. Returns true if that is wrong. */
  judge(published: ReadonlySet<string>): boolean {
    const lost = [...published].filter((text) => !this.handled.has(text)).length;
    const twice = [...this.handled.values()].filter((times) => times > 1).length;
    say(`${this.#name}: ${this.handled.size} handled, ${lost} lost, ${twice} handled twice`);
    return lost + twice > 0;
  }
}

/** A copy that follows all channels, in a process of its own. */
class Bridge {
  /** The last message that the stream has. It is told once a second. */
  last = 0;
  readonly #process: ChildProcess;
  #failure: Error | undefined;

  constructor(options: BridgeOptions) {
    this.#process = fork(join(__dirname, "rehearsal-bridge.js"), [JSON.stringify(options)]);
    this.#process.on("message", (message) => {
      this.last = (message as CopyProgress).channels[0]!.last;
    });
    this.#process.on("exit", (code) => {
      if (code !== null && code !== 0) this.#failure = new Error(`the bridge has ended with exit code ${code}`);
    });
  }

  /** Waits until the stream has a message. */
  async reaches(sequence: number): Promise<void> {
    await until(`the stream has message ${sequence}`, () => {
      if (this.#failure !== undefined) throw this.#failure;
      return this.last >= sequence;
    });
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}

/** Handles the messages of a consumer in JetStream, as two lines of a program do. */
async function consumeFrom(
  js: JetStream,
  { stream, consumer }: { readonly stream: string; readonly consumer: string },
  handle: (message: BridgedMessage) => void,
): Promise<void> {
  const messages = await (await js.consumers.get(stream, consumer)).consume({ max_messages: 100 });
  void (async () => {
    for await (const message of messages) {
      handle(fromJetStream(message));
      message.ack();
    }
  })();
}

async function startServers(): Promise<[RealServer, NatsServer]> {
  for (const spec of [binaries.streaming, binaries.nats]) {
    const found = installBinary(spec);
    if ("missing" in found) throw new Error(`no server to run: ${found.missing}. Install Go, or set ${spec.variable}`);
  }
  return [await RealServer.start({ store: "file" }), await NatsServer.start({ jetstream: true })];
}

function jetStreamClient(): {
  connectTo: (options: { servers: string }) => Promise<NatsConnection>;
  jetstream: (connection: NatsConnection) => JetStream;
} {
  const found = installPackage(CLIENT);
  if ("missing" in found) throw new Error(`no client of JetStream to run: ${found.missing}`);
  const load = createRequire(join(found.path, "package.json"));
  const { connect: connectTo } = load("@nats-io/transport-node") as { connect: never };
  const { jetstream } = load("@nats-io/jetstream") as { jetstream: never };
  return { connectTo, jetstream };
}

async function pause(milliseconds: number): Promise<void> {
  const end = performance.now() + milliseconds;
  await until("", () => performance.now() >= end);
}

async function until(what: string, reached: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!reached()) {
    if (interrupted.aborted) throw new Error("interrupted");
    if (performance.now() > end) throw new Error(`after ${PATIENCE / 1_000} s still not: ${what}`);
    await new Promise<void>((resolve) => setTimeout(resolve, 20));
  }
}

function tell(text: string): void {
  say(`${((performance.now() - begun) / 1_000).toFixed(1).padStart(5)} s  ${text}`);
}

main()
  .catch((error: unknown) => failed(interrupted.aborted ? new Error("interrupted") : error))
  .finally(() => process.exit(process.exitCode ?? 0));
