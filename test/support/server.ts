import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binaries, binaryPath } from "./binaries.ts";
import { Daemon } from "./daemon.ts";
import { freePorts } from "./ports.ts";
import { until } from "./until.ts";

/** What every server can be started with. */
export interface ServerOptions {
  /** The executable. By default nats-streaming-server 0.25.6 or nats-server 2.10.29, as `findBinary` finds them. */
  readonly binary?: string | undefined;
  /** Further command line arguments. */
  readonly args?: readonly string[] | undefined;
  /** The text of a configuration file. Addresses and ports are set on the command line and win. */
  readonly config?: string | undefined;
  /** The client port. By default a free one. */
  readonly port?: number | undefined;
}

/** What a streaming server can be started with. */
export interface RealServerOptions extends ServerOptions {
  /** Where messages are kept: "memory" by default. */
  readonly store?: "memory" | "file" | undefined;
  /** The folder of a file store. By default one of its own, removed by `stop`. */
  readonly dir?: string | undefined;
  /** The URL of a NATS server to use instead of the embedded one. */
  readonly natsUrl?: string | undefined;
  /** By default "test-cluster". */
  readonly clusterId?: string | undefined;
}

/** A server process with its own ports and folder. */
abstract class Server {
  readonly port: number;
  readonly monitorPort: number;
  /** Its own folder, removed by `stop`. */
  readonly folder: string;
  readonly #daemon: Daemon;

  protected constructor(launched: Launched) {
    this.#daemon = launched.daemon;
    this.port = launched.port;
    this.monitorPort = launched.monitorPort;
    this.folder = launched.folder;
  }

  /** The URL for clients. */
  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** The process's id. Throws while it is down. */
  get pid(): number {
    return this.#daemon.pid;
  }

  get running(): boolean {
    return this.#daemon.running;
  }

  /** What it has printed, over all its lives, bounded. */
  log(): string {
    return this.#daemon.log;
  }

  /** Ends it for good and removes its own folder. */
  async stop(signal = "SIGTERM"): Promise<void> {
    await this.#daemon.stop(signal);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Ends its process; ports and store are kept for `restart`. */
  async down(signal = "SIGTERM"): Promise<void> {
    await this.#daemon.stop(signal);
  }

  /** Ends its process at once, as in a crash; ports and store are kept for `restart`. */
  async kill(): Promise<void> {
    await this.#daemon.stop("SIGKILL");
  }

  /** Ends its process, if that runs, and starts it again with the same ports, arguments and store folder. */
  async restart(signal = "SIGTERM"): Promise<void> {
    await this.#daemon.stop(signal);
    await this.#daemon.start();
  }

  /** Freezes its process: links stay open and nothing answers. Blocks until it stands still. */
  pause(): void {
    this.#daemon.signal("SIGSTOP");
    while (!this.#daemon.standsStill);
  }

  /** Lets a paused process go on. */
  resume(): void {
    this.#daemon.signal("SIGCONT");
  }

  /** A monitoring page, such as "streaming/clientsz?subs=1"; undefined when it says 404. The caller claims its type. */
  async monitor<T = unknown>(path: string): Promise<T | undefined> {
    const { status, body } = await fetchText(`http://127.0.0.1:${this.monitorPort}/${path}`);
    if (status === 404) return undefined;
    if (status !== 200) throw new Error(`${path}: status ${status}: ${body.slice(0, 200)}`);
    return JSON.parse(body) as T;
  }
}

/** A nats-streaming-server. */
export class RealServer extends Server {
  readonly clusterId: string;
  readonly #natsUrl: string | undefined;

  private constructor(launched: Launched, options: RealServerOptions) {
    super(launched);
    this.clusterId = options.clusterId ?? defaultClusterId;
    this.#natsUrl = options.natsUrl;
  }

  /** Starts a server on 127.0.0.1 and resolves once it serves clients. */
  static async start(options: RealServerOptions = {}): Promise<RealServer> {
    return new RealServer(await launchStreaming(options, serves), options);
  }

  /** Starts a server that may have to wait for others; resolves once it has said that it is `ready` for its part. */
  static async startMember(options: RealServerOptions, ready: string): Promise<RealServer> {
    return new RealServer(await launchStreaming(options, ready), options);
  }

  override get url(): string {
    return this.#natsUrl ?? super.url;
  }

  /** Whether it has begun to serve clients, at any time in its lives. */
  get hasServed(): boolean {
    return this.log().includes(serves);
  }

  /** Whether it says that it is the one in charge. False also when it does not answer. */
  async leads(): Promise<boolean> {
    if (!this.running) return false;
    const page = await this.monitor<{ state: string; role?: string }>("streaming/serverz").catch(() => undefined);
    return page?.role === "Leader" || page?.state === "FT_ACTIVE" || page?.state === "STANDALONE";
  }
}

/** What a NATS server can be started with. */
export interface NatsServerOptions extends ServerOptions {
  /** True: with JetStream, whose files are in a folder of its own. */
  readonly jetstream?: boolean | undefined;
}

/** A bare nats-server. */
export class NatsServer extends Server {
  private constructor(launched: Launched) {
    super(launched);
  }

  /** Starts a server on 127.0.0.1 and resolves once it serves clients. */
  static async start(options: NatsServerOptions = {}): Promise<NatsServer> {
    const binary = options.binary ?? binaryPath(binaries.nats);
    const launched = await launch(binary, natsServes, options, (location) => [
      ...["-a", "127.0.0.1", "-p", String(location.port), "-m", String(location.monitorPort)],
      ...(options.jetstream === true ? ["-js", "-sd", join(location.folder, "jetstream")] : []),
    ]);
    return new NatsServer(launched);
  }
}

/** Several streaming servers of which one at a time is in charge. Clients may connect to any of them. */
export class StreamingGroup {
  readonly servers: readonly RealServer[];
  readonly clusterId: string;
  readonly #folder: string;

  constructor(servers: readonly RealServer[], folder: string) {
    this.servers = servers;
    this.clusterId = servers[0]!.clusterId;
    this.#folder = folder;
  }

  /** The URLs for clients, one for each server. */
  get urls(): string[] {
    return this.servers.map((server) => server.url);
  }

  /**
   * Waits until one of the running servers says that it is in charge, and is none of `old`. If none does, says of each
   * server how it is, since a cluster that has lost its majority by another fault looks like one that elects nobody.
   */
  async leader(old: readonly RealServer[] = [], timeout = 30_000): Promise<RealServer> {
    const servers = this.servers.filter((server) => !old.includes(server));
    try {
      return await until(old.length === 0 ? "one server leads" : "another leads", async () => {
        const leads = await Promise.all(servers.map((server) => server.leads()));
        return servers.find((_, i) => leads[i]);
      }, timeout);
    } catch (error) {
      const states = this.servers.map((server) => {
        const state = server.running ? "runs" : "does not run";
        const last = server.log().trimEnd().split("\n").slice(-15);
        return `port ${server.port} ${state}, and has said last:\n${last.join("\n")}`;
      });
      throw new Error(`${(error as Error).message}\n${states.join("\n")}`);
    }
  }

  /** The servers other than the given one. */
  others(server: RealServer): RealServer[] {
    return this.servers.filter((other) => other !== server);
  }

  /** Ends all for good and removes their folders. */
  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop("SIGKILL")));
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Starts a raft cluster of three, with election times shorter than the defaults, and waits until its leader serves. */
export async function startCluster(options: RealServerOptions = {}): Promise<StreamingGroup> {
  const names = ["a", "b", "c"];
  return startGroup(names.length, raftRuns, (folder, member) => ({
    ...options,
    store: "file",
    dir: join(folder, names[member]!, "store"),
    config: `${options.config ?? ""}
streaming { cluster {
  raft_heartbeat_timeout: "500ms", raft_election_timeout: "500ms"
  raft_lease_timeout: "300ms", raft_commit_timeout: "50ms"
} }`,
    args: [
      ...["-clustered", "-cluster_node_id", names[member]!, "-cluster_peers", names.join(",")],
      ...["-cluster_log_path", join(folder, names[member]!, "raft")],
      ...(options.args ?? []),
    ],
  }));
}

/** Starts an active server and a standby that share a file store, and waits until the active one serves. */
export async function startFtPair(options: RealServerOptions = {}): Promise<StreamingGroup> {
  return startGroup(2, standsBy, (folder) => ({
    ...options,
    store: "file",
    dir: join(folder, "store"),
    args: ["-ft_group", "ft", ...(options.args ?? [])],
  }));
}

async function startGroup(
  size: number,
  ready: string,
  optionsOf: (folder: string, member: number) => RealServerOptions,
): Promise<StreamingGroup> {
  const folder = ownFolder();
  const routes = (await freePorts(size)).map((port) => `nats://127.0.0.1:${port}`);
  const started = await Promise.allSettled(
    routes.map((route, member) => {
      const options = optionsOf(folder, member);
      const others = routes.filter((other) => other !== route).join(",");
      const args = [...(options.args ?? []), "-cluster", route, "-routes", others];
      return RealServer.startMember({ ...options, args }, ready);
    }),
  );
  const servers = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const failure = started.find((result) => result.status === "rejected");
  if (failure !== undefined) {
    await Promise.all(servers.map((server) => server.stop("SIGKILL")));
    throw failure.reason;
  }
  const group = new StreamingGroup(servers, folder);
  await until("a server of the group serves", () => servers.some((server) => server.hasServed), 30_000);
  return group;
}

/** Three NATS servers with JetStream, which form a cluster. Their names are "a", "b" and "c". */
export class NatsCluster {
  readonly servers: readonly NatsServer[];

  private constructor(servers: readonly NatsServer[]) {
    this.servers = servers;
  }

  /** Starts the cluster, and waits until its JetStream has a leader, which all three follow. */
  static async start(): Promise<NatsCluster> {
    // A port for routes may be taken by another process before the server has it: it then serves alone (seen).
    for (let attempt = 1; ; attempt++) {
      const cluster = await NatsCluster.#launch();
      try {
        await cluster.#formed();
        return cluster;
      } catch (error) {
        await cluster.stop();
        if (attempt === 3) throw error;
      }
    }
  }

  static async #launch(): Promise<NatsCluster> {
    const names = ["a", "b", "c"];
    const ports = await freePorts(names.length);
    const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join();
    const servers = await Promise.all(names.map((name, member) => NatsServer.start({
      jetstream: true,
      args: ["-n", name, "-cluster_name", "c", "-cluster", `nats://127.0.0.1:${ports[member]}`, "-routes", routes],
    })));
    return new NatsCluster(servers);
  }

  async #formed(): Promise<void> {
    interface Page {
      readonly meta_cluster?: { leader?: string; replicas?: { current: boolean }[] };
    }
    await until("JetStream has a leader with followers", async () => {
      const pages = await Promise.all(this.servers.map((server) => server.monitor<Page>("jsz")));
      const replicas = pages.flatMap((page) => page?.meta_cluster?.replicas ?? []);
      const agree = new Set(pages.map((page) => page?.meta_cluster?.leader)).size === 1;
      return agree && replicas.filter(({ current }) => current).length >= 2;
    }, 30_000);
  }

  get urls(): string[] {
    return this.servers.map((server) => server.url);
  }

  /** The server of a name. */
  named(name: string): NatsServer {
    return this.servers["abc".indexOf(name)]!;
  }

  /** Ends all for good and removes their folders. */
  async stop(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.stop("SIGKILL")));
  }
}

const defaultClusterId = "test-cluster";
const serves = "Streaming Server is ready";
const natsServes = "[INF] Server is ready";
// Of a group's member the NATS server's word is not enough: it may end right after that, if its route port is taken
// (seen).
/** The raft node runs. The store is named once that has been started, whoever leads. */
const raftRuns = "STREAM: Message store is";
/** It waits for the store's lock, which it may have at once. */
const standsBy = "STREAM: Starting in standby mode";

/** Where a process runs. */
interface Location {
  readonly port: number;
  readonly monitorPort: number;
  readonly folder: string;
}

interface Launched extends Location {
  readonly daemon: Daemon;
}

function launchStreaming(options: RealServerOptions, ready: string): Promise<Launched> {
  const binary = options.binary ?? binaryPath(binaries.streaming);
  return launch(binary, ready, options, (location) => [
    ...["-cid", options.clusterId ?? defaultClusterId, "-a", "127.0.0.1", "-m", String(location.monitorPort)],
    ...(options.natsUrl === undefined ? ["-p", String(location.port)] : ["-ns", options.natsUrl]),
    ...(options.store === "file" ? ["-st", "FILE", "-dir", options.dir ?? join(location.folder, "store")] : []),
  ]);
}

/** Starts a process on free ports; again on others when one was taken meanwhile. */
async function launch(
  binary: string,
  ready: string,
  options: ServerOptions,
  argsFor: (location: Location) => string[],
): Promise<Launched> {
  for (let attempt = 1; ; attempt++) {
    const [freePort, monitorPort] = await freePorts(2);
    const location = { port: options.port ?? freePort!, monitorPort: monitorPort!, folder: ownFolder() };
    const args = [...argsFor(location), ...(options.args ?? [])];
    if (options.config !== undefined) {
      const file = join(location.folder, "server.conf");
      writeFileSync(file, options.config);
      args.push("-c", file);
    }
    const daemon = new Daemon({ binary, args, ready });
    try {
      await daemon.start();
      return { daemon, ...location };
    } catch (error) {
      rmSync(location.folder, { recursive: true, force: true });
      const taken = String(error).includes("address already in use");
      if (!taken || options.port !== undefined || attempt === 5) throw error;
    }
  }
}

function ownFolder(): string {
  return mkdtempSync(join(tmpdir(), "nats-streaming-client-"));
}

/** One GET on a link of its own, so that nothing stays open. */
function fetchText(url: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: 2_000 }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode, body }));
    });
    request.on("timeout", () => request.destroy(new Error(`${url}: no answer`)));
    request.on("error", reject);
  });
}
