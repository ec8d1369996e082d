import { VERSION } from "../core-nats/connect-fields.ts";
import { BridgeError } from "./errors.ts";
import type { Ends } from "./ends.ts";
import type { Settings } from "./options.ts";
import type { StreamConfig, StreamInfo } from "./target.ts";

/** @internal JetStream counts durations in nanoseconds. */
export const NANOSECONDS_PER_MILLISECOND = 1_000_000;
/** How long JetStream remembers the ids of messages, in milliseconds: ten minutes. Merging needs it. */
const DUPLICATE_WINDOW = 10 * 60 * 1_000;

/** @internal The key of the metadata that says at which number the mirror ended, and the merge phase began. */
export const OPENED = "stan.opened";

/**
 * Where a channel is on its way.
 *
 * - `mirror`: the bridge alone writes into the stream, and the numbers are the channel's
 * - `merge`: producers write into the stream, too; the numbers go apart from the first such message on
 * - `done`: the stream is on its own
 */
export type Phase = "mirror" | "merge" | "done";

/** @internal Where a channel goes: the stream's name and its subjects. */
export interface Route {
  readonly channel: string;
  readonly stream: string;
  /** The subject that the messages have in the stream. */
  readonly subject: string;
  /** The subject that the bridge publishes to. The stream turns it into `subject`: nobody writes by mistake. */
  readonly door: string;
  /**
   * In the merge phase it publishes to this one: what a bridge that does not know of the new phase still has under way
   * to the other door is not stored.
   */
  readonly mergeDoor: string;
  /** The subject of what stands for messages that the channel does not have. */
  readonly hole: string;
}

/** @internal The route of a channel. */
export function routeOf(channel: string, settings: Settings): Route {
  const { stream = nameOf(channel), subject = channel } = settings.map[channel] ?? {};
  const [door, mergeDoor, hole] = ["in", "merge", "hole"].map((name) => `_stan.${name}.${stream}`);
  return { channel, stream, subject, door, mergeDoor, hole };
}

/** @internal A name that JetStream takes, with _ for each character that it does not. */
export function nameOf(text: string): string {
  return text.replace(/[\s.*>/\\\p{Cc}\p{Z}\p{Cs}]/gu, "_");
}

/** @internal The stream that a copy begins with. It has no limits but `maxAge`: others push out what nobody read. */
export function configOf(route: Route, settings: Settings): StreamConfig {
  const { channel, stream } = route;
  const { replicas = settings.replicas, maxAge = settings.maxAge } = settings.map[channel] ?? {};
  const metadata = {
    "stan.cluster": settings.from.clusterId,
    "stan.channel": channel,
    "stan.tool": `nats-streaming-client ${VERSION}`,
  };
  const fixed = { retention: "limits", discard: "old", allow_direct: true, subjects: [], metadata };
  const { storage } = settings;
  return inPhase({ name: stream, storage, num_replicas: replicas, ...agesOf(maxAge), ...fixed }, route, "mirror");
}

/** @internal The stream in another phase. In `mirror` only the bridge's own subjects lead there. */
export function inPhase({ subject_transform: _, ...config }: StreamConfig, route: Route, phase: Phase): StreamConfig {
  const { subject, door, mergeDoor, hole } = route;
  const subjects = { mirror: [door, hole], merge: [mergeDoor, hole, subject], done: [subject] }[phase];
  const transform = { subject_transform: { src: phase === "mirror" ? door : mergeDoor, dest: subject } };
  const metadata = { ...config.metadata, "stan.phase": phase };
  return { ...config, subjects, metadata, ...(phase === "done" ? {} : transform) };
}

/** @internal The limits that the stream has from the end of the copy on. */
export function withLimits(config: StreamConfig, { channel }: Route, settings: Settings): StreamConfig {
  const { maxAge = settings.maxAge, maxMessages = -1, maxBytes = -1 } = settings.map[channel] ?? {};
  return { ...config, max_msgs: maxMessages, max_bytes: maxBytes, ...(maxAge === 0 ? {} : agesOf(maxAge)) };
}

function agesOf(maxAge: number): Pick<StreamConfig, "max_age" | "duplicate_window"> {
  // JetStream refuses a window that is longer than the age.
  const window = maxAge === 0 ? DUPLICATE_WINDOW : Math.min(DUPLICATE_WINDOW, maxAge);
  return { max_age: maxAge * NANOSECONDS_PER_MILLISECOND, duplicate_window: window * NANOSECONDS_PER_MILLISECOND };
}

/** @internal The last number of the mirror, which `open` leaves in the stream's metadata. */
export function openedOf({ metadata }: StreamConfig): number {
  return Number(metadata?.[OPENED] ?? 0);
}

/**
 * @internal The phase of the stream that a channel's copy is in.
 * @throws BridgeError `NAME_TAKEN` if it is not the copy of this channel
 */
export function phaseOf(config: StreamConfig, route: Route, settings: Settings): Phase {
  const { metadata = {} } = config;
  const phase = metadata["stan.phase"];
  const own = metadata["stan.cluster"] === settings.from.clusterId && metadata["stan.channel"] === route.channel;
  if (own && (phase === "mirror" || phase === "merge" || phase === "done")) return phase;
  const other = metadata["stan.channel"];
  const whose = other === undefined ? "is not a copy" : `is the copy of ${other} of ${metadata["stan.cluster"]}`;
  const what = `the target has a stream ${route.stream} that ${whose}`;
  const remedy = `Give the channel another stream by map: { "${route.channel}": { stream: "…" } }.`;
  throw new BridgeError("NAME_TAKEN", route.channel, what, remedy);
}

/**
 * @internal The stream of a channel that is in one of these phases.
 * @throws BridgeError `NOT_LEVEL` without a copy, or `WRONG_PHASE`
 */
export async function copyIn(
  { target, settings }: Ends,
  route: Route,
  phases: readonly Phase[],
): Promise<{ readonly phase: Phase; readonly info: StreamInfo }> {
  const { channel, stream } = route;
  const info = await target.stream(stream);
  if (info === undefined) throw new BridgeError("NOT_LEVEL", channel, "it has no copy", "Call copy first.");
  const phase = phaseOf(info.config, route, settings);
  if (phases.includes(phase)) return { phase, info };
  const what = `its copy is in the phase ${phase}, and this needs ${phases.join(" or ")}`;
  throw new BridgeError("WRONG_PHASE", channel, what, "docs/leaving.md has the order of the steps.");
}
