import { connect } from "../../src/index.ts";
import { binaries, type BinaryName, binaryPath } from "../support/binaries.ts";
import type { Frame } from "../support/frames.ts";
import { freePorts, listen } from "../support/ports.ts";
import { Proxy } from "../support/proxy.ts";
import type { Random } from "../support/random.ts";
import {
  NatsServer,
  startCluster,
  startFtPair,
  RealServer,
  type RealServerOptions,
} from "../support/server.ts";
import { until } from "../support/until.ts";
import { bounded, Load, pause, type Result } from "./load.ts";
import { Peer } from "./peer.ts";
import { RemoteLoad } from "./remote.ts";

/** Something that goes wrong, again and again, under load. */
export interface Scenario {
  readonly name: string;
  readonly needs: readonly BinaryName[];
  /**
   * `seconds`: for how long things go wrong, about. What is begun is finished, and something goes wrong once at least.
   */
  run(random: Random, seconds: number): Promise<Result>;
}

/** What is undone when a scenario is over, however it ends. */
class Cleanup {
  readonly #steps: (() => Promise<unknown>)[] = [];

  add<T extends { stop(): Promise<void> }>(thing: T): T {
    this.#steps.push(() => thing.stop());
    return thing;
  }

  async load(random: Random, options: Parameters<typeof Load.start>[1]): Promise<Load> {
    const load = await Load.start(random, options);
    this.#steps.push(() => load.abandon());
    return load;
  }

  async run(): Promise<void> {
    for (const step of this.#steps.reverse()) await step();
  }
}

function scenario(
  name: string,
  body: (random: Random, seconds: number, cleanup: Cleanup) => Promise<Result>,
  needs: readonly BinaryName[] = ["streaming"],
): Scenario {
  return {
    name,
    needs,
    async run(random, seconds) {
      const cleanup = new Cleanup();
      try {
        return await body(random, seconds, cleanup);
      } finally {
        await cleanup.run();
      }
    },
  };
}

/** Does it once at least, and again until the time is over. */
async function repeat(seconds: number, body: () => Promise<void>): Promise<void> {
  const end = performance.now() + seconds * 1_000;
  do await body();
  while (performance.now() < end);
}

/** What a client must miss to be evicted, in a few seconds instead of minutes. */
const impatient = { args: ["-hbi", "1s", "-hbt", "1s", "-hbf", "2"] };

/** A server, and a proxy for each of the two clients. */
async function proxied(
  random: Random,
  cleanup: Cleanup,
  options: RealServerOptions = {},
  more: { readonly policies?: boolean } = {},
): Promise<{ server: RealServer; first: Proxy; second: Proxy; load: Load }> {
  const server = cleanup.add(await RealServer.start(options));
  const first = cleanup.add(await Proxy.start(server.port));
  const second = cleanup.add(await Proxy.start(server.port));
  const load = await cleanup.load(random, { servers: [first.url, second.url], ...more });
  return { server, first, second, load };
}

const cut = scenario("links cut", async (random, seconds, cleanup) => {
  const { server, first, second, load } = await proxied(random, cleanup);
  await repeat(seconds, async () => {
    await pause(random.int(50, 800));
    if (random.bool(0.3)) second.cut();
    first.cut();
    load.healed("a cut");
    await load.recovered();
  });
  return load.finish(server);
});

const slow = scenario("links stalled, delayed, deaf in one direction", async (random, seconds, cleanup) => {
  const { server, first, load } = await proxied(random, cleanup);
  await repeat(seconds, async () => {
    const kind = random.pick(["stall", "delay", "up", "down"] as const);
    const time = random.int(100, 5_000);
    load.log(`${kind} for ${time} ms`);
    if (kind === "stall") first.stall();
    else if (kind === "delay") first.delay(random.int(10, 300));
    else first.blackHole(kind);
    await pause(time);
    first.heal();
    load.healed(kind);
    await load.recovered();
    await pause(random.int(100, 500));
  });
  return load.finish(server);
});

const replaced = scenario("black hole, then replaced by another", async (random, seconds, cleanup) => {
  const { server, first, load } = await proxied(random, cleanup);
  await repeat(seconds, async () => {
    await pause(300);
    first.blackHole();
    if (random.bool()) {
      first.refuse();
      first.cut();
    }
    const peer = await Peer.registerSoon(server.port, load.clientIds[0]);
    load.log("replaced");
    await pause(random.int(0, 3_000));
    first.cut();
    first.heal();
    await pause(random.int(0, 2_000));
    await peer.leave();
    load.healed("another had the client ID");
    await load.recovered();
    await load.ready();
  });
  return load.finish(server);
});

/**
 * The server asks the owner of a client ID whether it lives, and gets no answer, over a link that is otherwise well.
 */
const usurped = scenario("replaced by another, on a link that lives", async (random, seconds, cleanup) => {
  const { server, first, load } = await proxied(random, cleanup);
  await repeat(seconds, async () => {
    await pause(random.int(300, 1_000));
    void first.eat(isHeartbeat, "down");
    const peer = await Peer.registerSoon(server.port, load.clientIds[0]);
    load.log("replaced");
    await pause(random.int(0, 3_000));
    await peer.leave();
    first.heal();
    load.healed("another had the client ID");
    await load.recovered();
    await load.ready();
  });
  return load.finish(server);
});

const evicted = scenario("black hole until evicted", async (random, seconds, cleanup) => {
  const { server, first, second, load } = await proxied(random, cleanup, impatient);
  await repeat(seconds, async () => {
    await pause(300);
    first.blackHole();
    if (random.bool()) second.blackHole();
    await until(
      "it is evicted",
      async () => (await server.monitor(`streaming/clientsz?client=${load.clientIds[0]}`)) === undefined,
      20_000,
    );
    first.heal();
    second.heal();
    load.healed("an eviction");
    await load.recovered();
    await load.ready();
  });
  return load.finish(server);
});

function restarted(store: "memory" | "file", signal: "SIGTERM" | "SIGKILL", binary?: BinaryName): Scenario {
  const old = binary === undefined ? "" : ` ${binaries[binary].version}`;
  return scenario(
    `${store} store${old}, ${signal} and restart`,
    async (random, seconds, cleanup) => {
      const options = binary === undefined ? { store } : { store, binary: binaryPath(binaries[binary]) };
      const { server, load } = await proxied(random, cleanup, options);
      await repeat(seconds, async () => {
        await pause(random.int(300, 1_000));
        await server.down(signal);
        if (store === "memory") load.ledger.storeLost();
        await pause(random.int(0, 1_500));
        await server.restart();
        load.healed("a restart");
        await load.recovered();
        await load.ready();
      });
      return load.finish(server);
    },
    [binary ?? "streaming"],
  );
}

/** Backoff, dead letters and keys, through restarts, cuts and lost sessions. */
function policies(store: "memory" | "file"): Scenario {
  return scenario(`backoff, dead letters and keys, ${store} store restarted`, async (random, seconds, cleanup) => {
    const { server, first, load } = await proxied(random, cleanup, { store }, { policies: true });
    await repeat(seconds, async () => {
      await pause(random.int(300, 1_000));
      const what = random.pick(["SIGKILL", "SIGTERM", "cut", "replaced"]);
      load.log(what);
      if (what === "cut") first.cut();
      else if (what === "replaced") {
        first.blackHole();
        const peer = await Peer.registerSoon(server.port, load.clientIds[0]);
        await peer.leave();
        first.cut();
        first.heal();
      } else {
        await server.down(what);
        if (store === "memory") load.ledger.storeLost();
        await pause(random.int(0, 1_500));
        await server.restart();
      }
      load.healed(what);
      await load.recovered();
      await load.ready();
    });
    return load.finish(server);
  });
}

/** How long a freeze lasts, compared with what passes for life: the client's pings, and the server's heartbeats. */
type Budget = "less" | "more";

function frozenServer(budget: Budget): Scenario {
  const name = `server frozen (SIGSTOP) for ${budget} than the heartbeat budget`;
  return scenario(name, async (random, seconds, cleanup) => {
    const { server, load } = await proxied(random, cleanup, impatient);
    await repeat(seconds, async () => {
      await pause(random.int(100, 500));
      const time = budget === "less" ? random.int(50, 1_500) : random.int(4_000, 8_000);
      load.log(`frozen for ${time} ms`);
      server.pause();
      await pause(time);
      server.resume();
      load.healed("a freeze");
      await load.recovered();
      await load.ready();
    });
    return load.finish(server);
  });
}

function frozenClient(budget: Budget): Scenario {
  const name = `client frozen (SIGSTOP) for ${budget} than the heartbeat budget`;
  return scenario(name, async (random, seconds, cleanup) => {
    const server = cleanup.add(await RealServer.start(impatient));
    const load = cleanup.add(await RemoteLoad.start(random, { servers: [server.url, server.url] }));
    const evicted = async (id: string): Promise<boolean> =>
      (await server.monitor(`streaming/clientsz?client=${id}`)) === undefined;
    await repeat(seconds, async () => {
      await pause(random.int(300, 1_000));
      load.pause();
      if (budget === "less") await pause(random.pick([random.int(20, 1_000), random.int(1_000, 4_000)]));
      else {
        for (const id of load.clientIds) await until(`${id} is evicted`, () => evicted(id), 20_000);
        // Also for so long that what is missing looks missing for good.
        await pause(random.pick([random.int(0, 1_000), random.int(3_000, 6_000)]));
      }
      load.resume();
      await load.recovered();
      await load.ready();
    });
    const result = await load.finish(server);
    // Each of the two clients has registered once, and then once more for each session that was lost.
    const sessions = budget === "less" ? 2 : 2 + 2 * result.outages;
    if (result.statuses["registered"] === sessions) return result;
    return {
      ...result,
      violations: [...result.violations, `${result.statuses["registered"]} registrations instead of ${sessions}`],
    };
  });
}

function raft(what: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "quorum lost"): Scenario {
  const name = `raft cluster, ${what === "quorum lost" ? what : `leader ${what}`}`;
  return scenario(name, async (random, seconds, cleanup) => {
    const group = cleanup.add(await startCluster());
    const urls = group.urls;
    const load = await cleanup.load(random, { servers: [urls, urls], connect: { publishTimeout: 30_000 } });
    await repeat(seconds, async () => {
      await pause(random.int(500, 1_500));
      const leader = await group.leader();
      const down = what === "quorum lost" ? [leader, group.others(leader)[0]!] : [leader];
      load.log(`${what} of the leader on port ${leader.port}`);
      load.ledger.leaderLost();
      if (what === "SIGSTOP") leader.pause();
      else await Promise.all(down.map((server) => server.down(what === "SIGTERM" ? what : "SIGKILL")));
      if (what === "quorum lost") {
        await pause(random.int(1_000, 4_000));
        await Promise.all(down.map((server) => server.restart()));
      }
      await group.leader(what === "quorum lost" ? [] : down);
      load.healed("another leads");
      await load.recovered();
      if (what === "SIGSTOP") leader.resume();
      else if (what !== "quorum lost") await leader.restart();
      await load.ready();
    });
    return load.finish(() => group.leader());
  });
}

const ft = scenario("fault-tolerant pair, takeover", async (random, seconds, cleanup) => {
  const pair = cleanup.add(await startFtPair());
  const load = await cleanup.load(random, { servers: [pair.urls, pair.urls] });
  await repeat(seconds, async () => {
    await pause(random.int(500, 1_500));
    const active = await pair.leader();
    await active.kill();
    await pair.leader([active]);
    load.healed("a takeover");
    await load.recovered();
    await active.restart().catch(() => undefined);
    await load.ready();
  });
  return load.finish(() => pair.leader());
});

const natsBounced = scenario(
  "nats-server bounced under a streaming server",
  async (random, seconds, cleanup) => {
    const [port] = await freePorts(1);
    const nats = cleanup.add(await NatsServer.start({ port: port! }));
    const server = cleanup.add(await RealServer.start({ natsUrl: nats.url }));
    const load = await cleanup.load(random, { servers: [nats.url, nats.url] });
    await repeat(seconds, async () => {
      await pause(random.int(300, 1_000));
      await nats.down(random.pick(["SIGTERM", "SIGKILL"]));
      await pause(random.int(0, 1_000));
      await nats.restart();
      load.healed("a bounce");
      await load.recovered();
    });
    return load.finish(server, nats.port);
  },
  ["streaming", "nats"],
);

function streamingRestarted(store: "memory" | "file"): Scenario {
  return scenario(
    `streaming server with ${store} store restarted behind a live nats-server`,
    async (random, seconds, cleanup) => {
      const nats = cleanup.add(await NatsServer.start());
      const server = cleanup.add(await RealServer.start({ natsUrl: nats.url, store }));
      const load = await cleanup.load(random, { servers: [nats.url, nats.url] });
      await repeat(seconds, async () => {
        await pause(random.int(300, 1_000));
        await server.down(random.pick(["SIGTERM", "SIGKILL"]));
        if (store === "memory") load.ledger.storeLost();
        await pause(random.int(0, 1_500));
        await server.restart();
        load.healed("a restart behind NATS");
        await load.recovered();
        await load.ready();
      });
      return load.finish(server, nats.port);
    },
    ["streaming", "nats"],
  );
}

/**
 * The answers and messages that may be lost, each by itself. The client's subscriptions are asked for anew where that
 * is what is answered.
 */
const edibles: Record<
  string,
  { direction: "up" | "down"; wants: (frame: Frame) => boolean; provoke?: "session" | "link" }
> = {
  "a PubAck": { direction: "down", wants: (frame) => frame.subject.startsWith("_STAN.acks.") },
  "a publish": { direction: "up", wants: (frame) => frame.subject.startsWith("_STAN.pub.") },
  "an ack": {
    direction: "up",
    wants: (frame) => frame.verb === "PUB" && frame.subject.startsWith("_INBOX.") && frame.payload.length > 0,
  },
  "a heartbeat": { direction: "down", wants: isHeartbeat },
  "a heartbeat's answer": {
    direction: "up",
    wants: (frame) => frame.verb === "PUB" && frame.subject.startsWith("_INBOX.") && frame.payload.length === 0,
  },
  "a message": {
    direction: "down",
    wants: (frame) => frame.verb === "MSG" && frame.payload.length > 30 && frame.subject.split(".").length === 2,
  },
  "a ping's answer": { direction: "down", wants: answer, provoke: "link" },
  "a registration's answer": { direction: "down", wants: answer, provoke: "session" },
};

function isHeartbeat(frame: Frame): boolean {
  return frame.verb === "MSG" && frame.reply !== "" && frame.payload.length === 0;
}

function answer(frame: Frame): boolean {
  return frame.verb === "MSG" && frame.subject.startsWith("_INBOX.") && frame.subject.split(".").length === 3;
}

const eaten = scenario("answers eaten", async (random, seconds, cleanup) => {
  const { server, first, load } = await proxied(random, cleanup, impatient);
  const kinds = Object.keys(edibles);
  let round = 0;
  await repeat(seconds, async () => {
    const kind = kinds[round++ % kinds.length]!;
    const { direction, wants, provoke } = edibles[kind]!;
    // Of the answers to a registration and all that follows it, any one may be the one: ping, registration,
    // subscriptions, their ends.
    const skip = provoke === "session" ? random.int(0, 12) : 0;
    load.log(`${kind} is eaten${skip > 0 ? `, after ${skip} others` : ""}`);
    let seen = 0;
    if (provoke === "session") {
      first.blackHole();
      const peer = await Peer.registerSoon(server.port, load.clientIds[0]);
      await peer.leave();
    }
    if (provoke !== undefined) first.heal();
    const done = first.eat((frame) => wants(frame) && seen++ >= skip, direction, 1);
    if (provoke !== undefined) first.cut();
    await Promise.race([done, pause(3_000)]);
    first.heal();
    load.healed(kind);
    await load.recovered();
    await load.ready();
  });
  return load.finish(server);
});

const unsubscribed = scenario("answers to the end of a subscription eaten", async (random, seconds, cleanup) => {
  const { server, first, load } = await proxied(random, cleanup);
  await repeat(seconds, async () => {
    const client = load.clients[0]!;
    const channel = `${load.channel}-other`;
    const before = await client.subscribe(channel, () => undefined, { durable: "other" });
    const eaten = first.eat(answer, "down", 1);
    const left = random.bool() ? before.close() : before.unsubscribe();
    await eaten;
    await left;
    const page = await server.monitor<{ subscriptions?: { is_offline: boolean }[] }>(
      `streaming/channelsz?channel=${channel}&subs=1`,
    );
    if (page?.subscriptions?.some((subscription) => !subscription.is_offline)) {
      load.ledger.violation("a subscription that was left is still online");
    }
    const lost = first.eat(answer, "down", 1);
    const again = client.subscribe(channel, () => undefined, { durable: "other" });
    await lost;
    await (await again).close();
    const options = {
      clusterId: "test-cluster",
      clientId: `${load.channel}-guest`,
      servers: first.url,
      requestTimeout: 1_000,
    };
    const guest = await connect(options);
    void first.eat(answer, "down", 2);
    await bounded("a client has ended whose server does not say goodbye", guest.close(), 8_000, () => load.dump());
    first.heal();
    load.healed("eaten answers");
    await load.recovered();
  });
  return load.finish(server);
});

const lameDuck = scenario(
  "lame duck",
  async (random, seconds, cleanup) => {
    const [one, other, ...routes] = await freePorts(4);
    const config = "lame_duck_duration: 30s\nlame_duck_grace_period: 1s\n";
    const member = (port: number, own: number, peer: number): Promise<NatsServer> =>
      NatsServer.start({
        port,
        config,
        args: [
          "--cluster",
          `nats://127.0.0.1:${own}`,
          "--cluster_name",
          "duck",
          "--routes",
          `nats://127.0.0.1:${peer}`,
        ],
      });
    const pair = [
      cleanup.add(await member(one!, routes[0]!, routes[1]!)),
      cleanup.add(await member(other!, routes[1]!, routes[0]!)),
    ];
    const urls = pair.map((nats) => nats.url);
    const server = cleanup.add(await RealServer.start({ natsUrl: urls.join(",") }));
    const load = await cleanup.load(random, { servers: [urls, urls] });
    let round = 0;
    await repeat(seconds, async () => {
      await pause(random.int(300, 800));
      const duck = pair[round++ % 2]!;
      process.kill(duck.pid, "SIGUSR2");
      load.healed("a lame duck");
      await load.recovered();
      await pause(1_500);
      await duck.restart("SIGKILL");
      await pause(2_500);
      await load.ready();
    });
    return load.finish(server, pair[0]!.port);
  },
  ["streaming", "nats"],
);

const deleted = scenario("channel deleted for inactivity", async (random, seconds, cleanup) => {
  const options = { args: ["-hbi", "1s", "-hbt", "500ms", "-hbf", "1", "-mi", "1s"] };
  const { server, first, second, load } = await proxied(random, cleanup, options);
  await repeat(seconds, async () => {
    await pause(random.int(300, 800));
    first.blackHole();
    second.blackHole();
    await until(
      "the channel is deleted",
      async () => (await server.monitor(`streaming/channelsz?channel=${load.channel}`)) === undefined,
      30_000,
    );
    load.ledger.storeLost();
    first.heal();
    second.heal();
    load.healed("a channel that was deleted");
    await load.recovered();
    await load.ready();
  });
  return load.finish(server);
});

/** As in Docker, or behind NAT: what the servers tell clients of accepts connections, and says nothing. */
const advertised = scenario(
  "links cut, in a cluster that tells of addresses which stay silent",
  async (random, seconds, cleanup) => {
    const silent = await Promise.all([1, 2, 3].map(() => listen()));
    for (const { server } of silent) cleanup.add({ stop: () => Promise.resolve(void server.close()) });
    const [port, ...routes] = await freePorts(4);
    const urls = routes.map((route) => `nats://127.0.0.1:${route}`);
    const members = await Promise.all(
      silent.map((address, i) => {
        const others = urls.filter((_, j) => j !== i).join(",");
        const args = [
          "--cluster",
          urls[i]!,
          "--cluster_name",
          "c",
          "--routes",
          others,
          "--client_advertise",
          `127.0.0.1:${address.port}`,
        ];
        return NatsServer.start({ ...(i === 0 ? { port: port! } : {}), args });
      }),
    );
    for (const member of members) cleanup.add(member);
    const server = cleanup.add(await RealServer.start({ natsUrl: members[0]!.url }));
    const first = cleanup.add(await Proxy.start(port!));
    const second = cleanup.add(await Proxy.start(port!));
    const load = await cleanup.load(random, { servers: [first.url, second.url] });
    await repeat(seconds, async () => {
      await pause(random.int(50, 800));
      const away = random.bool(0.3);
      if (away) first.refuse();
      if (random.bool(0.3)) second.cut();
      first.cut();
      if (away) await pause(random.int(100, 2_000));
      first.accept();
      load.healed("a cut");
      await load.recovered();
    });
    return load.finish(server, port);
  },
  ["streaming", "nats"],
);

/** All of them, in the order in which they are run. */
export const scenarios: readonly Scenario[] = [
  cut,
  advertised,
  slow,
  replaced,
  usurped,
  evicted,
  restarted("memory", "SIGTERM"),
  restarted("memory", "SIGKILL"),
  restarted("file", "SIGTERM"),
  restarted("file", "SIGKILL"),
  policies("memory"),
  policies("file"),
  frozenServer("less"),
  frozenServer("more"),
  frozenClient("less"),
  frozenClient("more"),
  raft("SIGKILL"),
  raft("SIGTERM"),
  raft("SIGSTOP"),
  raft("quorum lost"),
  ft,
  natsBounced,
  streamingRestarted("memory"),
  streamingRestarted("file"),
  eaten,
  unsubscribed,
  lameDuck,
  deleted,
  restarted("memory", "SIGKILL", "oldStreaming"),
  restarted("file", "SIGKILL", "oldStreaming"),
];
