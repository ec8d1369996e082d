import { VERSION } from "../core-nats/connect-fields.ts";
import { BridgeError } from "./errors.ts";
import type { Settings } from "./options.ts";
import type { StreamConfig } from "./target.ts";

const NANOSECONDS_PER_MILLISECOND = 1_000_000;
/** How long JetStream remembers the ids of messages, in milliseconds: ten minutes. Merging needs it. */
const DUPLICATE_WINDOW = 10 * 60 * 1_000;

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
  /** The subject of what stands for messages that the channel does not have. */
  readonly hole: string;
}

/** @internal The route of a channel. */
export function routeOf(channel: string, settings: Settings): Route {
  const { stream = nameOf(channel), subject = channel } = settings.map[channel] ?? {};
  return { channel, stream, subject, door: `_stan.in.${stream}`, hole: `_stan.hole.${stream}` };
}

/** @internal A name that JetStream takes, with _ for each character that it does not. */
export function nameOf(text: string): string {
  return text.replace(/[\s.*>/\\\p{Cc}\p{Z}\p{Cs}]/gu, "_");
}

/**
 * @internal
 * The stream of a channel in its phase. While the phase is `mirror`, nobody but the bridge can write into it, since
 * only its own subjects lead there; and it has no limits but `maxAge`: another one would push out messages that are
 * not read yet.
 */
export function configOf(route: Route, phase: Phase, settings: Settings): StreamConfig {
  const { channel, stream, subject, door, hole } = route;
  const { replicas, maxAge, maxMessages, maxBytes } = settings.map[channel] ?? {};
  const limits = phase === "done" ? { max_msgs: maxMessages ?? -1, max_bytes: maxBytes ?? -1 } : {};
  const subjects = { mirror: [door, hole], merge: [door, hole, subject], done: [subject] };
  return {
    name: stream,
    subjects: subjects[phase],
    storage: settings.storage,
    retention: "limits",
    discard: "old",
    num_replicas: replicas ?? settings.replicas,
    max_age: (maxAge ?? settings.maxAge) * NANOSECONDS_PER_MILLISECOND,
    duplicate_window: windowOf(maxAge ?? settings.maxAge),
    allow_direct: true,
    metadata: {
      "stan.cluster": settings.from.clusterId,
      "stan.channel": channel,
      "stan.phase": phase,
      "stan.tool": `nats-streaming-client ${VERSION}`,
    },
    ...limits,
    ...(phase === "done" ? {} : { subject_transform: { src: door, dest: subject } }),
  };
}

/** JetStream refuses a window that is longer than the age. */
function windowOf(maxAge: number): number {
  return Math.min(DUPLICATE_WINDOW, maxAge === 0 ? DUPLICATE_WINDOW : maxAge) * NANOSECONDS_PER_MILLISECOND;
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
  throw new BridgeError(
    "NAME_TAKEN",
    route.channel,
    `the target has a stream ${route.stream} that ${whose}`,
    `Give the channel another stream by map: { "${route.channel}": { stream: "…" } }.`,
  );
}
