import { open as openChannel } from "../../src/bridge/index.ts";
import type { CopyOptions } from "../../src/bridge/index.ts";
import { type Client, connect } from "../../src/index.ts";
import type { BinaryName } from "../support/binaries.ts";
import { Proxy } from "../support/proxy.ts";
import type { Random } from "../support/random.ts";
import { NatsCluster, NatsServer, RealServer, startCluster, startFtPair, StreamingGroup } from "../support/server.ts";
import { until } from "../support/until.ts";
import { type Comparison, compareMerged, compareMirror, readChannel, Target } from "./bridge-oracle.ts";
import { BridgeProcess } from "./bridge-process.ts";
import { pause } from "./load.ts";

/** What a run came to. */
export interface BridgeResult {
  /** How often each thing went wrong. */
  readonly faults: Readonly<Record<string, number>>;
  /** How many messages were compared. */
  readonly messages: number;
  /** How the streams differ from the channels, and what else was wrong. */
  readonly violations: readonly string[];
}

/** A scenario of the bridge. */
export interface BridgeScenario {
  readonly name: string;
  readonly needs: readonly BinaryName[];
  /** `seconds`: for how long things go wrong, about. `path`: the built bridge. */
  run(random: Random, seconds: number, path: string): Promise<BridgeResult>;
}

interface Plan {
  readonly source?: "memory" | "file" | "raft" | "pair";
  /** Arguments of the source. */
  readonly args?: readonly string[];
  readonly target?: "one" | "three";
  /** The bridge's links go through proxies, which cut or stall them. */
  readonly links?: "cut" | "stalled";
  readonly channels?: number;
  /** Messages in each channel before the bridge begins. */
  readonly backlog?: number;
  /** The most bytes of a message. */
  readonly size?: number;
  /** Messages a second of all producers while things go wrong. */
  readonly rate?: number;
  /** What is killed. */
  readonly kills?: readonly ("bridge" | "source" | "target" | "leader")[];
  /** Producers write into the stream, too, from the middle on. */
  readonly merge?: boolean;
}

const PLANS: Readonly<Record<string, Plan>> = {
  "a backlog, all three killed": { backlog: 200_000, kills: ["bridge", "source", "target"] },
  "a backlog, bridge and target killed": { backlog: 250_000, kills: ["bridge", "target"] },
  "producers run, all three killed": { rate: 4_000, size: 1_500, kills: ["bridge", "source", "target"] },
  "links cut": { backlog: 150_000, rate: 1_000, links: "cut", kills: [] },
  "links stalled": { backlog: 100_000, rate: 1_000, links: "stalled", kills: ["bridge"] },
  "raft source, leader killed": { source: "raft", backlog: 30_000, rate: 500, kills: ["bridge", "source"] },
  "fault-tolerant source, takeover": { source: "pair", backlog: 50_000, rate: 1_000, kills: ["bridge", "source"] },
  "three replicas, leaders killed, step-downs": { target: "three", backlog: 100_000, kills: ["bridge", "leader"] },
  "three replicas, a producer runs": { target: "three", rate: 2_000, kills: ["leader"] },
  "four channels, all three killed": { channels: 4, backlog: 50_000, kills: ["bridge", "source", "target"] },
  "large messages, near max_payload": { backlog: 100, size: 1_048_000, kills: ["bridge", "source", "target"] },
  "the channel loses its oldest messages": {
    ...{ args: ["-mm", "20000"], backlog: 20_000, rate: 20_000, kills: ["bridge", "target"] },
  },
  "producers on both sides, all three killed": {
    ...{ rate: 2_000, backlog: 20_000, kills: ["bridge", "source", "target"], merge: true },
  },
};

/** @internal All scenarios of the bridge. */
export const bridgeScenarios: readonly BridgeScenario[] = [
  ...Object.entries(PLANS).map(([name, plan]): BridgeScenario => {
    return { name, needs: ["streaming", "nats"], run: (...args) => run(plan, ...args) };
  }),
  { name: "memory store restarted: the channel begins anew", needs: ["streaming", "nats"], run: replaced },
];

/** What is undone when a run is over, the last thing first. */
class Undoing {
  readonly #steps: (() => Promise<unknown>)[] = [];

  add<T extends { stop(): Promise<unknown> }>(thing: T): T {
    this.#steps.unshift(() => thing.stop());
    return thing;
  }

  async all(): Promise<void> {
    for (const step of this.#steps) await step();
  }
}

/** The source: a streaming server, or several of which one is in charge. */
interface Source {
  readonly urls: readonly string[];
  readonly monitor: string;
  kill(random: Random): Promise<void>;
}

async function sourceOf(plan: Plan, undoing: Undoing): Promise<Source> {
  const limits = ["-mm", "0", "-mb", "0", "-mc", "0"];
  if (plan.source !== "raft" && plan.source !== "pair") {
    const options = { store: plan.source ?? "file", args: plan.args ?? limits } as const;
    const server = undoing.add(await RealServer.start(options));
    const kill = (): Promise<void> => server.restart("SIGKILL");
    return { urls: [server.url], monitor: `http://127.0.0.1:${server.monitorPort}`, kill };
  }
  const group: StreamingGroup = undoing.add(
    await (plan.source === "raft" ? startCluster : startFtPair)({ args: limits }),
  );
  const kill = async (): Promise<void> => {
    const old = await group.leader();
    await old.down("SIGKILL");
    await group.leader([old]);
    await old.restart("SIGKILL");
  };
  const leader = await group.leader();
  // Each member has a page of its own. Channels are named, so that any will do.
  return { urls: group.urls, monitor: `http://127.0.0.1:${leader.monitorPort}`, kill };
}

async function run(plan: Plan, random: Random, seconds: number, path: string): Promise<BridgeResult> {
  const undoing = new Undoing();
  const faults: Record<string, number> = {};
  const violations: string[] = [];
  try {
    const source = await sourceOf(plan, undoing);
    const three = plan.target === "three" ? undoing.add(await NatsCluster.start()) : undefined;
    const config = "max_payload: 4194304";
    const one = three === undefined ? undoing.add(await NatsServer.start({ jetstream: true, config })) : undefined;
    const targetUrls = three?.urls ?? [one!.url];
    const proxies =
      plan.links === undefined
        ? []
        : await Promise.all(
            [source.urls[0]!, one!.url].map(async (url) =>
              undoing.add(await Proxy.start(Number(url.split(":").at(-1)))),
            ),
          );
    const [from, to] = [proxies[0]?.url ?? source.urls, proxies[1]?.url ?? targetUrls];
    const producer = undoing.add(stopping(await connectTo(source.urls, `producer-${random.bits()}`)));
    const channels = Array.from({ length: plan.channels ?? 1 }, (_, i) => `orders.${i}`);
    const payload = (): Uint8Array => random.bytes(plan.size === undefined ? 128 : random.int(0, plan.size));
    const small = random.bytes(128);
    for (const channel of channels) {
      const { backlog = 10, size } = plan;
      const items = (function* () {
        for (let i = 0; i < backlog; i++)
          yield { data: size === undefined ? small : payload(), reply: i % 5 === 0 ? `r ${i}` : "" };
      })();
      await producer.client.publishMany(channel, items);
    }

    const options: CopyOptions = {
      from: {
        clusterId: "test-cluster",
        servers: from,
        ...(plan.source === "raft" || plan.source === "pair" ? {} : { monitor: source.monitor }),
      },
      ...{ to: { servers: to }, channels, replicas: three === undefined ? 1 : 3 },
    };
    const bridge = new BridgeProcess(path, options);
    const target = new Target(targetUrls);
    undoing.add({ stop: () => bridge.end() });
    undoing.add({ stop: () => Promise.resolve(target.close()) });
    const streams = channels.map((channel) => channel.replaceAll(".", "_"));
    await until("the copy has begun", async () => ((await target.state(streams[0]!))?.last_seq ?? 0) > 0, 60_000);

    const doers: Record<string, () => Promise<void>> = {};
    for (const what of plan.kills ?? []) {
      if (what === "bridge") doers["bridge killed"] = () => Promise.resolve(bridge.kill());
      if (what === "source") doers["source killed"] = () => source.kill(random);
      if (what === "target") doers["target killed"] = () => one!.restart("SIGKILL");
      if (what !== "leader") continue;
      doers["leader killed"] = async () => {
        const leader = await until("the stream has a leader", () => target.leader(streams[0]!), 60_000);
        await three!.named(leader).restart("SIGKILL");
      };
      doers["step-down"] = () =>
        target.ask<unknown>(`$JS.API.STREAM.LEADER.STEPDOWN.${streams[0]}`).then(() => undefined);
    }
    for (const [i, proxy] of proxies.entries()) {
      const which = i === 0 ? "source" : "target";
      if (plan.links === "cut") doers[`link to the ${which} cut`] = () => Promise.resolve(proxy.cut());
      else
        doers[`link to the ${which} stalled`] = async () => {
          proxy.stall();
          await pause(random.int(50, 4_000));
          proxy.go();
        };
    }

    const end = performance.now() + seconds * 1_000;
    const producing = { on: true };
    const producers = produce(producer.client, channels, plan, payload, producing);
    const direct = plan.merge === true ? new Direct(target, channels[0]!) : undefined;
    for (let i = 0; i < (direct === undefined ? 1 : 5) || performance.now() < end; i++) {
      const [what, act] = random.pick(Object.entries(doers));
      faults[what] = (faults[what] ?? 0) + 1;
      await act();
      await pause(random.int(20, 500));
      if (direct !== undefined && i === 2) {
        const { channels: _, ...access } = options;
        await until(
          "the channel is open",
          async () =>
            (await openChannel({ ...access, from: { ...access.from, clientId: "opener" }, channel: channels[0]! })).ok,
          60_000,
        );
        direct.begin();
      }
    }
    producing.on = false;
    await producers;
    await direct?.end();
    await bridge.end();
    const report = await bridge.finish();
    violations.push(...bridge.problems);
    if (!report.ok) violations.push(`the last copy: ${JSON.stringify(report.channels.map(({ error }) => error))}`);
    const compared = await Promise.all(
      channels.map(async (channel, i): Promise<Comparison> => {
        const [have, stored] = [await readChannel(source.urls, channel), await target.read(streams[i]!)];
        return direct === undefined
          ? compareMirror(channel, have, stored)
          : compareMerged(channel, have, stored, direct);
      }),
    );
    violations.push(...compared.flatMap(({ differences }) => differences.slice(0, 20)));
    return { faults, messages: compared.reduce((sum, { messages }) => sum + messages, 0), violations };
  } finally {
    await undoing.all();
  }
}

function connectTo(servers: readonly string[], clientId: string): Promise<Client> {
  return connect({ clusterId: "test-cluster", clientId, servers, onStatus: () => undefined });
}

function stopping(client: Client): { client: Client; stop(): Promise<void> } {
  return { client, stop: () => client.close() };
}

/** Publishes as fast as the plan says, and does not care what becomes of it: the channel says that. */
async function produce(
  client: Client,
  channels: readonly string[],
  { rate = 0 }: Plan,
  payload: () => Uint8Array,
  producing: { readonly on: boolean },
): Promise<void> {
  const ignore = (): void => {};
  const pending: Promise<void>[] = [];
  while (producing.on) {
    for (let i = 0; i < rate / 50; i++) {
      const reply = i % 7 === 0 ? "a reply" : undefined;
      pending.push(client.publish(channels[i % channels.length]!, payload(), { reply }).catch(ignore));
    }
    await pause(20);
  }
  await Promise.all(pending);
}

/** A producer that publishes into the stream, one message at a time. */
class Direct {
  readonly acknowledged = new Set<string>();
  readonly sent = new Set<string>();
  readonly #target: Target;
  readonly #subject: string;
  #running = false;
  #done = Promise.resolve();

  constructor(target: Target, subject: string) {
    this.#target = target;
    this.#subject = subject;
  }

  begin(): void {
    this.#running = true;
    this.#done = this.#run();
  }

  async end(): Promise<void> {
    this.#running = false;
    await this.#done;
  }

  async #run(): Promise<void> {
    for (let i = 0; this.#running; i++) {
      const id = `direct ${i}`;
      this.sent.add(id);
      try {
        const connection = await this.#target.connection();
        const answer = await connection.request(
          this.#subject,
          new TextEncoder().encode(id),
          2_000,
          (bytes, start, end) => {
            return new TextDecoder().decode(bytes.subarray(start, end));
          },
        );
        if (answer.includes('"seq"') && !answer.includes('"error"')) this.acknowledged.add(id);
      } catch {
        // Nobody knows whether it is stored.
        await pause(20);
      }
    }
  }
}

/** The channel begins anew: the copy ends with its code, and the stream is as it was. */
async function replaced(random: Random, seconds: number, path: string): Promise<BridgeResult> {
  const undoing = new Undoing();
  try {
    const server = undoing.add(await RealServer.start({ store: "memory" }));
    const nats = undoing.add(await NatsServer.start({ jetstream: true }));
    const producer = await connectTo([server.url], "producer");
    const count = random.int(1_000, 5_000) * Math.ceil(seconds);
    const channel = "orders.0";
    await producer.publishMany(
      channel,
      Array.from({ length: count }, () => random.bytes(20)),
    );
    const before = await readChannel(server.url, channel);
    const monitor = `http://127.0.0.1:${server.monitorPort}`;
    const from = { clusterId: "test-cluster", servers: server.url, monitor };
    const bridge = new BridgeProcess(path, { from, to: { servers: nats.url }, channels: channel });
    undoing.add({ stop: () => bridge.end() });
    const target = new Target(nats.url);
    undoing.add({ stop: () => Promise.resolve(target.close()) });
    await until("all is copied", async () => (await target.state("orders_0"))?.last_seq === count, 60_000);
    await producer.close();
    await server.restart("SIGKILL");
    const again = await connectTo([server.url], "producer");
    await again.publishMany(
      channel,
      Array.from({ length: random.int(1, 2 * count) }, () => random.bytes(20)),
    );
    await again.close();
    await until(
      "the copy has ended",
      () => bridge.problems.some((problem) => problem.startsWith("CHANNEL_REPLACED")),
      60_000,
    );
    await bridge.end();
    const others = bridge.problems.filter((problem) => !problem.startsWith("CHANNEL_REPLACED"));
    const { messages, differences } = compareMirror(channel, before, await target.read("orders_0"));
    return { faults: { "source killed": 1 }, messages, violations: [...others, ...differences.slice(0, 20)] };
  } finally {
    await undoing.all();
  }
}
