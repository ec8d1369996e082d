import type { Connection } from "../core-nats/connection.ts";
import { NatsError } from "../core-nats/errors.ts";
import { nuid } from "../core-nats/nuid.ts";
import { channelsOf } from "./channels.ts";
import { consumerName, durablesOf, findConsumer, isMoved, title } from "./durable.ts";
import type { MonitoredDurable } from "./durable.ts";
import { linkTo, withEnds } from "./ends.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import type { BridgeErrorCode } from "./errors.ts";
import { replaced } from "./mirror-position.ts";
import type { Monitor, MonitoredChannel } from "./monitor.ts";
import { checkBridgeOptions, isName } from "./options.ts";
import type { BridgeOptions } from "./options.ts";
import { deniedSubjects } from "./permissions.ts";
import { phaseOf, routeOf } from "./stream.ts";
import type { Phase, Route } from "./stream.ts";
import { aborted, ApiError } from "./target.ts";
import type { AccountInfo } from "./target.ts";

/** Something that stands in the way of the bridge, or that its operator should know before. */
export interface PlanNote {
  readonly code: BridgeErrorCode;
  /** Undefined: it is about all channels. */
  readonly channel?: string | undefined;
  readonly text: string;
  readonly remedy: string;
}

/** A durable, or a durable queue group, and what it becomes. */
export interface PlannedDurable extends MonitoredDurable {
  /** The name of its consumer in JetStream. */
  readonly consumer: string;
  /** True: it was moved, and its consumer goes on in JetStream. */
  readonly moved: boolean;
}

/** A channel, and what it becomes. What only the monitoring page tells is undefined without it. */
export interface PlannedChannel {
  readonly channel: string;
  readonly stream: string;
  readonly subject: string;
  /** Undefined: it has no stream yet. */
  readonly phase?: Phase | undefined;
  /** The last number of its stream, or 0. */
  readonly copied: number;
  /** The numbers of its first and its last message. */
  readonly first?: number | undefined;
  readonly last?: number | undefined;
  readonly messages?: number | undefined;
  readonly bytes?: number | undefined;
  /** The other streams that capture its subject. */
  readonly capturedBy: readonly string[];
  readonly durables: readonly PlannedDurable[];
  /** How many subscriptions are no durables. They have no position: nothing of them is moved. */
  readonly plain: number;
}

/** What a bridge would do, and what stands in its way. It is plain data. Sizes are in bytes. */
export interface Plan {
  /** False if there are obstacles. */
  readonly ok: boolean;
  readonly source: {
    readonly clusterId: string;
    readonly version?: string | undefined;
    readonly maxPayload?: number | undefined;
  };
  readonly target: {
    readonly version?: string | undefined;
    readonly maxPayload?: number | undefined;
    /** What the account's streams take, and may take: -1 is no limit. */
    readonly storage?: number | undefined;
    readonly maxStorage?: number | undefined;
  };
  readonly channels: readonly PlannedChannel[];
  readonly obstacles: readonly PlanNote[];
  readonly warnings: readonly PlanNote[];
}

/** How long JetStream is asked for while nobody answers, in milliseconds. */
const PATIENCE_FOR_JETSTREAM = 3_000;
/** How many channels are looked at side by side. */
const SIDE_BY_SIDE = 8;
/** More than the headers of a message, in bytes. */
const PAYLOAD_MARGIN = 512;
/** What a stored message takes beside its payload: its headers, and its place in the file. */
const OVERHEAD = 200;
/** From here on a cluster has much to do for streams alone. */
const MANY_STREAMS = 500;

/**
 * Looks at both ends and says what a bridge would do, and what stands in its way: versions, limits, permissions, names
 * that collide, subjects that another stream captures. It changes nothing on either side, and may be called at any
 * time, also while a copy runs.
 *
 * Resolves with the plan, whose {@link Plan.ok} is false if something stands in the way. Rejects with a `TypeError` if
 * an option is wrong, and with the {@link BridgeError} `ABORTED`.
 *
 * @example
 * ```ts
 * const { channels, obstacles } = await plan({
 *   from: { clusterId: "test-cluster", servers: "nats://127.0.0.1:4222", monitor: "http://127.0.0.1:8222" },
 *   to: { servers: "nats://127.0.0.1:4333" },
 * });
 * for (const { channel, stream, messages } of channels) console.log(channel, stream, messages);
 * for (const { code, text, remedy } of obstacles) console.log(code, text, remedy);
 * ```
 */
export async function plan(options: BridgeOptions): Promise<Plan> {
  const settings = checkBridgeOptions("plan", options);
  return await withEnds(settings, (ends) => new Planning(ends).run());
}

class Planning {
  readonly #ends: Ends;
  readonly #obstacles: PlanNote[] = [];
  readonly #warnings: PlanNote[] = [];
  /** True once JetStream has answered. */
  #jetStream = false;

  constructor(ends: Ends) {
    this.#ends = ends;
  }

  async run(): Promise<Plan> {
    const { settings } = this.#ends;
    const [source, connection, names = []] = await Promise.all([
      this.#source(),
      this.#try(() => this.#ends.target.connection()),
      this.#try(() => channelsOf(this.#ends)),
    ]);
    const routes = names.map((channel) => routeOf(channel, settings));
    const account = connection && (await this.#target(connection, source.maxPayload, routes));
    const channels: PlannedChannel[] = [];
    for (let i = 0; i < routes.length; i += SIDE_BY_SIDE) {
      const some = routes.slice(i, i + SIDE_BY_SIDE);
      channels.push(...(await Promise.all(some.map((route) => this.#channel(route)))));
    }
    this.#checkNames(channels);
    if (account !== undefined) this.#checkRoom(channels, account);
    const [obstacles, warnings] = [this.#obstacles, this.#warnings];
    const { version } = connection?.info ?? {};
    const { storage, limits } = account ?? {};
    const target = { version, maxPayload: connection?.maxPayload, storage, maxStorage: limits?.max_storage };
    return { ok: obstacles.length === 0, source, target, channels, obstacles, warnings };
  }

  async #source(): Promise<Plan["source"]> {
    const { settings, monitor, ending } = this.#ends;
    const { clusterId } = settings.from;
    const name = `bridge-plan-${nuid()}`;
    const client = await this.#try(() => this.#ends.client(name));
    const link = linkTo(settings.from, name);
    // What the client's NATS server says of itself, only a connection tells.
    const maxPayload = client && (await this.#try(() => link.connection(ending)))?.maxPayload;
    link.close();
    if (monitor === undefined) {
      const text = "without the monitoring page nothing tells what the channels have, and who reads them";
      this.#warn("NO_MONITOR", undefined, text, "Give the streaming server's monitoring port as from.monitor.");
      return { clusterId, maxPayload };
    }
    const server = await this.#try(() => monitor.server());
    const remedy = "Give the monitoring port of the server that leads this cluster as from.monitor.";
    if (server !== undefined && server.cluster_id !== clusterId) {
      this.#stop("NO_MONITOR", undefined, `the monitoring page is that of the cluster ${server.cluster_id}`, remedy);
    } else if (server?.state === "FT_STANDBY" || server?.role === "Follower") {
      this.#stop("NO_MONITOR", undefined, "the monitoring page is that of a server that does not lead", remedy);
    }
    return { clusterId, version: server?.version, maxPayload };
  }

  async #target(connection: Connection, most: number | undefined, routes: Route[]): Promise<AccountInfo | undefined> {
    const { target, settings } = this.#ends;
    const { version, cluster } = connection.info;
    const problem = problemOf(version);
    if (problem !== undefined) {
      const remedy = "Use nats-server 2.10.28 or later, or 2.11.2 or later.";
      this.#stop("VERSION", undefined, `nats-server ${version} ${problem}`, remedy);
    }
    const replicas = routes.map(({ channel }) => settings.map[channel]?.replicas ?? settings.replicas);
    if (cluster === undefined && Math.max(...replicas) > 1) {
      this.#stop("REFUSED", undefined, "one server keeps no replicas", "Set replicas to 1, or use a cluster.");
    }
    const least = connection.maxPayload - PAYLOAD_MARGIN;
    if (most !== undefined && most > least) {
      const text = `a message of more than about ${least} bytes does not fit with its headers, and the source takes ${most}`;
      this.#warn("TOO_LARGE", undefined, text, "Raise max_payload in the target's configuration, if there are any.");
    }
    const account = await this.#try(() => target.account(PATIENCE_FOR_JETSTREAM));
    this.#jetStream = account !== undefined;
    if (account === undefined) return undefined;
    const sound = routes.filter(({ stream }) => isName(stream));
    for (const [channel, subjects] of await deniedSubjects(connection, target, sound)) {
      const text = `the bridge may not publish to ${subjects.join(", ")}`;
      this.#stop("NOT_PERMITTED", channel, text, "Let the bridge's user do it: docs/leaving.md lists all that it needs.");
    }
    return account;
  }
  async #channel(route: Route): Promise<PlannedChannel> {
    const { monitor } = this.#ends;
    const { channel, stream, subject } = route;
    const page = monitor && (await this.#try(() => pageOf(monitor, channel)));
    const isThere = this.#jetStream && isName(stream);
    const copy = (isThere && (await this.#try(() => this.#stream(route, page)))) || { copied: 0, capturedBy: [] };
    const { first_seq: first, last_seq: last, msgs: messages, bytes, subscriptions = [] } = page ?? {};
    const plain = subscriptions.filter(({ is_durable }) => is_durable !== true).length;
    const all = page === undefined ? [] : durablesOf(page);
    const durables = await Promise.all(all.map((who) => this.#durable(route, who, all, copy.phase !== undefined)));
    return { channel, stream, subject, ...copy, first, last, messages, bytes, durables, plain };
  }

  async #stream(
    route: Route,
    page: MonitoredChannel | undefined,
  ): Promise<Pick<PlannedChannel, "phase" | "copied" | "capturedBy">> {
    const { target, settings } = this.#ends;
    const { channel, stream, subject, door, mergeDoor, hole } = route;
    const info = await target.stream(stream);
    const phase = info && phaseOf(info.config, route, settings);
    const copied = info?.state.last_seq ?? 0;
    if (phase === "mirror" && page !== undefined && page.last_seq < copied) {
      throw replaced(route, `its last number is ${page.last_seq}`, copied);
    }
    const names = await Promise.all([subject, door, mergeDoor, hole].map((each) => target.streamNames(each)));
    const [capturedBy, ...others] = names.map((each) => each.filter((name) => name !== stream));
    const taken = [...new Set([...capturedBy!, ...others.flat()])];
    if (taken.length > 0 && phase !== "done") {
      const text = `${taken.join(", ")} captures ${capturedBy!.length > 0 ? subject : "the bridge's own subjects"}`;
      const remedy = `Give the channel another subject by map: { "${channel}": { subject: "…" } }, or change that stream.`;
      this.#stop("NAME_TAKEN", channel, text, remedy);
    }
    return { phase, copied, capturedBy: capturedBy! };
  }

  async #durable(
    { channel, stream }: Route,
    who: MonitoredDurable,
    all: readonly MonitoredDurable[],
    hasStream: boolean,
  ): Promise<PlannedDurable> {
    const { target, settings } = this.#ends;
    const place = { channel, stream, cluster: settings.from.clusterId, who };
    const own = hasStream ? await this.#try(() => findConsumer(target, place)) : undefined;
    const consumer = own?.name ?? consumerName(who, all);
    if (!isName(consumer)) {
      this.#stop("REFUSED", channel, `${title(who)} is too long for a consumer's name`, "Rename it in the source.");
    } else if (hasStream && own === undefined && (await this.#try(() => target.consumer(stream, consumer)))) {
      const text = `the stream ${stream} has a consumer ${consumer} that the bridge did not make`;
      this.#stop("NAME_TAKEN", channel, text, "Delete that consumer, or rename the durable in the source.");
    }
    return { ...who, consumer, moved: own !== undefined && isMoved(own) };
  }

  #checkNames(channels: readonly PlannedChannel[]): void {
    for (const { channel, stream, subject, durables } of channels) {
      const remedy = (field: string): string => `Give it another one by map: { "${channel}": { ${field}: "…" } }.`;
      const others = channels.filter((other) => other.channel !== channel);
      const same = others.filter((other) => other.stream === stream || other.subject === subject);
      for (const other of same) {
        const field = other.stream === stream ? "stream" : "subject";
        this.#stop("NAME_TAKEN", channel, `it has the same ${field} as ${other.channel}: ${other[field]}`, remedy(field));
      }
      if (!isName(stream)) this.#stop("REFUSED", channel, "its name is too long for a stream's", remedy("stream"));
      for (const { consumer, ...who } of durables) {
        if (durables.filter((other) => other.consumer === consumer).length === 1) continue;
        const text = `the consumer of ${title(who)} has the same name as another one: ${consumer}`;
        this.#stop("NAME_TAKEN", channel, text, "Rename one of both in the source before you move it.");
      }
    }
    if (channels.length > MANY_STREAMS) {
      const text = `${channels.length} streams, each with its replicas, are much work for a cluster`;
      this.#warn("REFUSED", undefined, text, "Try the target with as many, or move fewer channels.");
    }
  }

  #checkRoom(channels: readonly PlannedChannel[], { storage, streams, limits }: AccountInfo): void {
    const { map, replicas } = this.#ends.settings;
    const added = channels.filter(({ phase }) => phase === undefined);
    const sizes = added.map(({ channel, bytes = 0, messages = 0 }) => {
      return (bytes + messages * OVERHEAD) * (map[channel]?.replicas ?? replicas);
    });
    const needed = sizes.reduce((sum, size) => sum + size, 0);
    // With limits for each number of replicas those of all are 0.
    if (limits.max_storage > 0 && storage + needed > limits.max_storage) {
      const text = `the account's streams may take ${limits.max_storage} bytes, take ${storage}, and need ${needed} more`;
      this.#stop("REFUSED", undefined, text, "Raise the account's limit of storage.");
    }
    if (limits.max_streams > 0 && streams + added.length > limits.max_streams) {
      const text = `the account may have ${limits.max_streams} streams, has ${streams}, and needs ${added.length} more`;
      this.#stop("REFUSED", undefined, text, "Raise the account's limit of streams.");
    }
  }

  /** Undefined, with an obstacle, for an error of either end. */
  async #try<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      const { ending } = this.#ends;
      if (ending.aborted) throw aborted(ending.reason);
      if (error instanceof BridgeError) this.#stop(error.code, error.channel, error.message, error.remedy);
      else if (!(error instanceof ApiError || error instanceof NatsError)) throw error;
      else this.#stop("REFUSED", undefined, error.message, "See what the server's log says.");
      return undefined;
    }
  }

  /** Once for each reason. */
  #stop(code: BridgeErrorCode, channel: string | undefined, text: string, remedy: string): void {
    const known = this.#obstacles.some((other) => other.channel === channel && other.text === text);
    if (!known) this.#obstacles.push({ code, channel, text, remedy });
  }

  #warn(code: BridgeErrorCode, channel: string | undefined, text: string, remedy: string): void {
    this.#warnings.push({ code, channel, text, remedy });
  }
}

async function pageOf(monitor: Monitor, channel: string): Promise<MonitoredChannel> {
  const page = await monitor.channel(channel);
  if (page !== undefined) return page;
  const remedy = "Check its name; the bridge copies channels that exist.";
  throw new BridgeError("UNKNOWN_CHANNEL", channel, "the streaming server has no such channel", remedy);
}

/** What a nats-server of a version does wrong, or undefined. */
function problemOf(version = "of an unknown version"): string | undefined {
  const [, major, minor, patch] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version)?.map(Number) ?? [];
  if (major === undefined || minor === undefined || patch === undefined) return "cannot be judged";
  if (major > 2 || (major === 2 && minor > 11)) return undefined;
  if (major < 2 || minor < 10) return "cannot keep others from writing into a copy (no subject transforms)";
  return patch < (minor === 10 ? 28 : 2) ? "can lose the messages of a stream when it is restarted" : undefined;
}
