import { type Client, connect } from "../../src/index.ts";
import type { BinaryName } from "../support/binaries.ts";
import { Proxy } from "../support/proxy.ts";
import { startCluster, RealServer } from "../support/server.ts";
import { until } from "../support/until.ts";
import { pause } from "./load.ts";
import { storm } from "./storm.ts";

/** A figure to reach. */
export interface Figure {
  readonly name: string;
  readonly unit: "ms" | "times";
  readonly target: number;
  readonly needs: readonly BinaryName[];
  /** One value for each trial. */
  measure(): Promise<number[]>;
}

let names = 0;

async function client(servers: string | readonly string[]): Promise<{ client: Client; channel: string }> {
  const channel = `figure-${process.pid}-${++names}`;
  const opened = await connect({
    clusterId: "test-cluster",
    clientId: channel,
    servers,
    reconnectDelay: () => 50,
    // A raft cluster may change its leader right after its start.
    waitOnFirstConnect: true,
    onStatus: () => undefined,
  });
  await opened.publish(channel, "first");
  return { client: opened, channel };
}

/** How long it takes from now until a publish is acknowledged. */
async function untilPublished(client: Client, channel: string): Promise<number> {
  const started = performance.now();
  for (;;) {
    try {
      await client.publish(channel, "again");
      return performance.now() - started;
    } catch {
      // Sent into a link that is dead already.
    }
  }
}

/** How often a server of a cluster has begun to serve. */
function starts(server: RealServer): number {
  return server.log().split("STREAM: Streaming Server is ready").length;
}

function restarts(store: "memory" | "file", target: number): Figure {
  const what = store === "memory" ? ", and all subscribed," : "";
  return {
    name: `${store} store restarted, 3 subscriptions: publishing${what} again`,
    unit: "ms",
    target,
    needs: ["streaming"],
    async measure() {
      const server = await RealServer.start({ store });
      const values: number[] = [];
      try {
        const { client: own, channel } = await client(server.url);
        for (const options of [{}, { durable: "d" }, { queue: "q" }]) {
          await own.subscribe(channel, () => undefined, options);
        }
        for (let i = 0; i < 10; i++) {
          await server.down(i % 2 === 0 ? "SIGKILL" : "SIGTERM");
          await pause(300);
          await server.restart();
          const started = performance.now();
          await untilPublished(own, channel);
          await until("all is ready", () => own.ready);
          values.push(performance.now() - started);
        }
        await own.close();
      } finally {
        await server.stop();
      }
      return values;
    },
  };
}

/** The figures, each from the moment at which a dial, or a ping, could succeed. */
export const figures: readonly Figure[] = [
  {
    name: "link cut, session alive: publishing again",
    unit: "ms",
    target: 100,
    needs: ["streaming"],
    async measure() {
      const server = await RealServer.start();
      const proxy = await Proxy.start(server.port);
      const values: number[] = [];
      try {
        const { client: own, channel } = await client(proxy.url);
        for (let i = 0; i < 30; i++) {
          await pause(20);
          const lost = until("the cut is noticed", () => own.state !== "registered");
          proxy.cut();
          await lost;
          values.push(await untilPublished(own, channel));
        }
        await own.close();
      } finally {
        await proxy.stop();
        await server.stop();
      }
      return values;
    },
  },
  restarts("file", 300),
  restarts("memory", 500),
  {
    name: "raft leader killed: publishing again, once another serves",
    unit: "ms",
    target: 500,
    needs: ["streaming"],
    async measure() {
      const group = await startCluster();
      const values: number[] = [];
      try {
        const { client: own, channel } = await client(group.urls);
        for (let i = 0; i < 4; i++) {
          const leader = await group.leader();
          const served = new Map(group.servers.map((server) => [server, starts(server)]));
          await leader.kill();
          const serves = (server: RealServer): boolean => starts(server) > served.get(server)!;
          await until("another serves", () => group.others(leader).some(serves), 30_000);
          values.push(await untilPublished(own, channel));
          await leader.restart();
        }
        await own.close();
      } finally {
        await group.stop();
      }
      return values;
    },
  },
  {
    name: "storm of 50 000 redeliveries: time over what the handlers need",
    unit: "times",
    target: 1.5,
    needs: ["streaming"],
    async measure() {
      const server = await RealServer.start({ args: ["-hbi", "1s", "-hbt", "1s", "-hbf", "2"] });
      try {
        const { ratio, again, problems } = await storm(server, `storm-${process.pid}-${++names}`, 50_000);
        if (again > 0 || problems.length > 0) throw new Error(`${again} handled again; ${problems.join("; ")}`);
        return [ratio];
      } finally {
        await server.stop();
      }
    },
  },
];
