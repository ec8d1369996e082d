import { checkChannel } from "../streaming/checks.ts";
import { title, unmovedOf } from "./durable.ts";
import { withEnds } from "./ends.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import { checkBridgeOptions } from "./options.ts";
import type { BridgeOptions } from "./options.ts";
import { pageOf } from "./durable-position.ts";
import { configOf, copyIn, isOpening, routeOf } from "./stream.ts";
import type { Route } from "./stream.ts";

/** What says in a stream's metadata up to where its numbers are the channel's. */
const OPENED = "stan.opened";

/** Options of {@link open}. */
export interface OpenOptions extends Omit<BridgeOptions, "channels"> {
  channel: string;
}

/** What {@link open} has found and done. It is plain data. */
export interface OpenReport {
  readonly ok: true;
  readonly channel: string;
  readonly stream: string;
  /** The subject that producers may publish to now. */
  readonly subject: string;
  /** False if it was open before. */
  readonly changed: boolean;
  /** Up to this message the numbers of channel and stream are the same. */
  readonly last: number;
}

/**
 * Opens the copy of a channel for producers: from now on they may publish to its subject in JetStream, one after the
 * other, while the rest still publishes to the channel. The copy goes on, and merges: each message of the channel is
 * stored once, in the order of the channel, but under numbers of its own. There is no way back.
 *
 * All durables of the channel must be moved: their positions are numbers. This needs {@link Source.monitor}. After an
 * error, or an end at any moment, the same call goes on.
 *
 * Rejects with a `TypeError` if an option is wrong, before anything is sent, or with a {@link BridgeError}, among others
 * `NOT_LEVEL` if a durable is not moved, `NO_MONITOR`, and `WRONG_PHASE` if the copy is finished.
 */
export async function open(options: OpenOptions): Promise<OpenReport> {
  const settings = checkBridgeOptions("open", options, ["channel"]);
  const { channel } = options;
  checkChannel(channel, "channel");
  return await withEnds(settings, async (ends) => await opened(ends, routeOf(channel, settings)), channel);
}

async function opened(ends: Ends, route: Route): Promise<OpenReport> {
  const { target, settings } = ends;
  const { channel, stream, subject, hole } = route;
  const { phase, info } = await copyIn(ends, route, ["mirror", "merge"]);
  const report = { ok: true, channel, stream, subject } as const;
  if (phase === "merge" && !isOpening(info, route)) {
    return { ...report, changed: false, last: Number(info.config.metadata?.[OPENED] ?? 0) };
  }
  if (phase === "mirror") {
    const [unmoved] = await unmovedOf(ends, await pageOf(ends, channel), route);
    if (unmoved !== undefined) {
      const what = `${title(unmoved)} is not moved, and its position would get lost`;
      throw new BridgeError("NOT_LEVEL", channel, what, "Move it, or unsubscribe it in the streaming server.");
    }
  }
  const config = configOf(route, "merge", settings);
  // First all doors are closed. Then a message tells when all that was under way is stored: it is the last in line. Only
  // then does the copy look what the stream has, and send on.
  const known = phase === "mirror" ? info.state.last_seq : Number(info.config.metadata?.[OPENED]);
  const { subject_transform: _, ...closed } = { ...config, subjects: [hole], metadata: { ...config.metadata, [OPENED]: String(known) } };
  await target.updateStream(closed);
  await target.store(hole);
  await target.purge(stream, { filter: hole });
  const newest = await target.message(stream, { last_by_subj: subject });
  const last = Math.max(known, newest?.sequence ?? 0);
  await target.updateStream({ ...config, metadata: { ...config.metadata, [OPENED]: String(last) } });
  return { ...report, changed: true, last };
}
