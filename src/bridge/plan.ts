import type { Connection } from "../core-nats/connection.ts";
import { nuid } from "../core-nats/nuid.ts";
import type { MonitoredChannel } from "../monitoring/monitor.ts";
import { channelsOf } from "./channels.ts";
import { consumerName, durablesOf, findConsumer, isMoved, title } from "./durable.ts";
import type { MonitoredDurable } from "./durable.ts";
import { pageOf } from "./durable-position.ts";
import { bridgeError, linkTo, withEnds } from "./ends.ts";
import type { Ends } from "./ends.ts";
import type { BridgeErrorCode } from "./errors.ts";
import { checkBridgeOptions, isName } from "./options.ts";
import type { BridgeOptions } from "./options.ts";
import { deniedSubjects } from "./permissions.ts";
import { phaseOf, routeOf } from "./stream.ts";
import type { Phase, Route } from "./stream.ts";
import type { AccountInfo } from "./target.ts";

/** Something that stands in the way of the bridge, or that its operator should know before. */
export interface PlanNote {
  readonly code: BridgeErrorCode;
  /** Undefined: it is about all channels. */
  readonly channel?: string | undefined;
  readonly text: string;
  readonly remedy: string;
}

/** A durable, or a durable queue group, and the consumer that it becomes. `moved`: that is there, and goes on. */
export interface PlannedDurable extends MonitoredDurable {
  readonly consumer: string;
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
  readonly source: { readonly clusterId: string; readonly version: string | undefined };
  /** `storage` is what the account's streams take, `maxStorage` what they may: -1 is no limit. */
  readonly target: {
    readonly version: string | undefined;
    readonly storage: number | undefined;
    readonly maxStorage: number | undefined;
  };
  readonly channels: readonly PlannedChannel[];
  readonly obstacles: readonly PlanNote[];
  readonly warnings: readonly PlanNote[];
}

type Copy = Pick<PlannedChannel, "phase" | "copied" | "capturedBy">;

/** How long JetStream is asked for while nobody answers, in milliseconds. */
const PATIENCE_FOR_JETSTREAM = 3_000;
/** How many channels are looked at side by side. */
const SIDE_BY_SIDE = 8;
/** More than the headers of a message, in bytes. */
const PAYLOAD_MARGIN = 512;
/** What a stored message takes beside its payload: its headers, and its place in the file. */
const PLACE_IN_FILE = 200;
/** The most subjects that one note names. */
const MOST_SHOWN = 40;
/** From here on a cluster has much to do for streams alone. */
const MANY_STREAMS = 500;

/**
 * Looks at both ends and says what a bridge would do, and what stands in its way: versions, limits, permissions, names
 * that collide, subjects that another stream captures. It changes nothing on either side, and may be called at any
 * time, also while a copy runs.
 *
 * Resolves with the plan, whose {@link Plan.ok} is false if something stands in the way. Rejects with a `TypeError` if
 * an option is wrong, and with the `BridgeError` `ABORTED`.
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
  /** The largest payload there. */
  #mostOfSource = 0;

  constructor(ends: Ends) {
    this.#ends = ends;
  }

  async run(): Promise<Plan> {
    const { settings, target } = this.#ends;
    const source = await this.#source();
    const names = (await this.#try(() => channelsOf(this.#ends))) ?? [];
    const routes = names.map((channel) => routeOf(channel, settings));
    const connection = await this.#try(() => target.connection());
    if (connection !== undefined) this.#checkServer(connection, routes);
    const account = connection && (await this.#try(() => target.account(PATIENCE_FOR_JETSTREAM)));
    if (account !== undefined) await this.#try(() => this.#checkPermissions(connection!, routes));
    const channels: PlannedChannel[] = [];
    for (let i = 0; i < routes.length; i += SIDE_BY_SIDE) {
      const some = routes.slice(i, i + SIDE_BY_SIDE).map((route) => this.#channel(route, account !== undefined));
      channels.push(...(await Promise.all(some)));
    }
    this.#checkNames(channels);
    if (account !== undefined) this.#checkRoom(channels, account);
    const obstacles = this.#obstacles;
    const { storage, limits } = account ?? {};
    const about = { version: connection?.info.version, storage, maxStorage: limits?.max_storage };
    return { ok: obstacles.length === 0, source, target: about, channels, obstacles, warnings: this.#warnings };
  }

  async #source(): Promise<Plan["source"]> {
    const { settings, monitor, ending } = this.#ends;
    const { clusterId } = settings.from;
    const name = `bridge-plan-${nuid()}`;
    const client = await this.#try(() => this.#ends.client(name));
    // Only a connection tells what the client's NATS server says of itself.
    const link = linkTo(settings.from, name);
    if (client !== undefined) this.#mostOfSource = (await this.#try(() => link.connection(ending)))?.maxPayload ?? 0;
    link.close();
    if (monitor === undefined) {
      const what = "without the monitoring page nothing tells what channels have, and who reads them";
      this.#warn("NO_MONITOR", what, "Give the streaming server's monitoring port as from.monitor.");
    }
    const page = monitor && (await this.#try(() => monitor.server()));
    const isOther = page !== undefined && page.cluster_id !== clusterId;
    if (isOther || page?.state === "FT_STANDBY" || page?.role === "Follower") {
      const whose = isOther ? `the cluster ${page.cluster_id}` : "a server that does not lead";
      const remedy = "Give the monitoring port of the server that leads the cluster as from.monitor.";
      this.#stop("NO_MONITOR", undefined, `the monitoring page is that of ${whose}`, remedy);
    }
    return { clusterId, version: page?.version };
  }

  #checkServer({ info, maxPayload }: Connection, routes: readonly Route[]): void {
    const { settings } = this.#ends;
    const problem = problemOf(info.version);
    if (problem !== undefined) {
      const remedy = "Use nats-server 2.10.28 or later, or 2.11.2 or later.";
      this.#stop("VERSION", undefined, `nats-server ${info.version} ${problem}`, remedy);
    }
    const replicas = routes.map(({ channel }) => settings.map[channel]?.replicas ?? settings.replicas);
    if (info.cluster === undefined && Math.max(...replicas) > 1) {
      this.#stop("REFUSED", undefined, "a single server keeps no replicas", "Set replicas to 1, or use a cluster.");
    }
    const most = maxPayload - PAYLOAD_MARGIN;
    if (this.#mostOfSource > most) {
      const what = `the source takes ${this.#mostOfSource} bytes, the target with headers only about ${most}`;
      this.#warn("TOO_LARGE", what, "If there are such messages, raise max_payload in the target's configuration.");
    }
  }

  async #checkPermissions(connection: Connection, routes: readonly Route[]): Promise<void> {
    const sound = routes.filter(({ stream }) => isName(stream));
    const denied = await deniedSubjects(connection, this.#ends.target, sound);
    if (denied.length === 0) return;
    const shown = denied.slice(0, MOST_SHOWN).join(", ") + (denied.length > MOST_SHOWN ? ", …" : "");
    const remedy = "Let the bridge's user publish to them: docs/leaving.md lists all that it needs.";
    this.#stop("NOT_PERMITTED", undefined, `the target denies ${denied.length} subjects: ${shown}`, remedy);
  }

  async #channel(route: Route, isReady: boolean): Promise<PlannedChannel> {
    const { monitor, target, settings } = this.#ends;
    const { channel, stream, subject } = route;
    const page = monitor && (await this.#try(() => pageOf(this.#ends, channel)));
    const canAsk = isReady && isName(stream);
    const copy = (canAsk && (await this.#try(() => this.#stream(route, page)))) || { copied: 0, capturedBy: [] };
    const { first_seq: first, last_seq: last, msgs: messages, bytes, subscriptions = [] } = page ?? {};
    const plain = subscriptions.filter(({ is_durable }) => is_durable !== true).length;
    const all = page === undefined ? [] : durablesOf(page);
    const cluster = settings.from.clusterId;
    const durables = all.map(async (who): Promise<PlannedDurable> => {
      const own = copy.phase && (await this.#try(() => findConsumer(target, { route, cluster, who })));
      return { ...who, consumer: own?.name ?? consumerName(who, all), moved: own !== undefined && isMoved(own) };
    });
    const counts = { first, last, messages, bytes, plain };
    return { channel, stream, subject, ...copy, ...counts, durables: await Promise.all(durables) };
  }

  async #stream(route: Route, page: MonitoredChannel | undefined): Promise<Copy> {
    const { target, settings } = this.#ends;
    const { channel, stream, subject } = route;
    const info = await target.stream(stream);
    const phase = info && phaseOf(info.config, route, settings);
    const copied = info?.state.last_seq ?? 0;
    if (phase === "mirror" && page !== undefined && page.last_seq < copied) {
      const remedy = `Give it a new stream, and a new subject, by map: { "${channel}": { … } }.`;
      const what = `the channel has begun anew: its last number is ${page.last_seq}, the copy's ${copied}`;
      this.#stop("CHANNEL_REPLACED", channel, what, remedy);
    }
    const capturedBy = (await target.streamNames(subject)).filter((name) => name !== stream);
    if (capturedBy.length > 0) {
      const remedy = `Give it another subject by map: { "${channel}": { subject: "…" } }, or change that stream.`;
      this.#stop("NAME_TAKEN", channel, `${capturedBy.join(", ")} captures the subject ${subject}`, remedy);
    }
    return { phase, copied, capturedBy };
  }

  #checkNames(channels: readonly PlannedChannel[]): void {
    for (const { channel, stream, subject, durables } of channels) {
      const remedy = `Give it others by map: { "${channel}": { stream: "…", subject: "…" } }.`;
      const same = channels.filter((other) => other.stream === stream || other.subject === subject);
      if (same.length > 1) {
        const others = same.flatMap((other) => (other.channel === channel ? [] : [other.channel]));
        this.#stop("NAME_TAKEN", channel, `it has the same stream or subject as ${others.join(", ")}`, remedy);
      }
      if (!isName(stream)) this.#stop("REFUSED", channel, "its name is too long for a stream", remedy);
      for (const who of durables) {
        if (durables.every((other) => other === who || other.consumer !== who.consumer)) continue;
        const what = `${title(who)} and another one become the same consumer, ${who.consumer}`;
        this.#stop("NAME_TAKEN", channel, what, "Rename one of both in the source before you move it.");
      }
    }
    if (channels.length > MANY_STREAMS) {
      const what = `${channels.length} streams, with replicas, are much work for a cluster`;
      this.#warn("REFUSED", what, "Try the target with as many, or move fewer channels.");
    }
  }

  #checkRoom(channels: readonly PlannedChannel[], { storage, streams, limits }: AccountInfo): void {
    const { map, replicas } = this.#ends.settings;
    const added = channels.filter(({ phase }) => phase === undefined);
    let needed = storage;
    for (const { channel, bytes = 0, messages = 0 } of added) {
      needed += (bytes + messages * PLACE_IN_FILE) * (map[channel]?.replicas ?? replicas);
    }
    const check = (what: string, most: number, all: number): void => {
      // With limits for each number of replicas the limit for all is 0.
      if (most <= 0 || all <= most) return;
      this.#stop("REFUSED", undefined, `the account needs ${all} ${what} and may have ${most}`, "Raise its limit.");
    };
    check("bytes of storage", limits.max_storage, needed);
    check("streams", limits.max_streams, streams + added.length);
  }

  /** Undefined, with an obstacle, for what one of the ends does not do. */
  async #try<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#ends.check();
      const { code, channel, message, remedy } = bridgeError(error);
      this.#stop(code, channel, channel === undefined ? message : message.slice(`${channel}: `.length), remedy);
      return undefined;
    }
  }

  /** Once for each reason. */
  #stop(code: BridgeErrorCode, channel: string | undefined, text: string, remedy: string): void {
    const known = this.#obstacles.some((other) => other.channel === channel && other.text === text);
    if (!known) this.#obstacles.push({ code, ...(channel === undefined ? {} : { channel }), text, remedy });
  }

  #warn(code: BridgeErrorCode, text: string, remedy: string): void {
    this.#warnings.push({ code, text, remedy });
  }
}

/** What a nats-server of a version does wrong, or undefined. */
function problemOf(version = ""): string | undefined {
  const [, major = 0, minor = 0, patch = 0] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version)?.map(Number) ?? [];
  if (major > 2 || (major === 2 && minor > 11)) return undefined;
  if (major < 2 || minor < 10) return "has no subject transforms: anybody could write into a copy";
  return patch < (minor === 10 ? 28 : 2) ? "can lose the messages of a stream when it starts again" : undefined;
}
