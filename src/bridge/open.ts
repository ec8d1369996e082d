import { checkChannel } from "../streaming/checks.ts";
import { checkMoved } from "./durable.ts";
import { withEnds } from "./ends.ts";
import type { Ends } from "./ends.ts";
import { checkBridgeOptions } from "./options.ts";
import type { BridgeOptions } from "./options.ts";
import { pageOf } from "./durable-position.ts";
import { copyIn, inPhase, OPENED, openedOf, routeOf } from "./stream.ts";
import type { Route } from "./stream.ts";

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
  /** The numbers of channel and stream are the same up to this message, at least. */
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
 * Rejects with a `TypeError` if an option is wrong, before anything is sent, or with a {@link BridgeError}, among
 * others `NOT_LEVEL` if a durable is not moved, `NO_MONITOR`, and `WRONG_PHASE` if the copy is finished.
 */
export async function open(options: OpenOptions): Promise<OpenReport> {
  const settings = checkBridgeOptions("open", options, ["channel"]);
  const { channel } = options;
  checkChannel(channel, "channel");
  return await withEnds(settings, async (ends) => await opened(ends, routeOf(channel, settings)), channel);
}

async function opened(ends: Ends, route: Route): Promise<OpenReport> {
  const { channel, stream, subject } = route;
  const { phase, info } = await copyIn(ends, route, ["mirror", "merge"]);
  const report = { ok: true, channel, stream, subject } as const;
  if (phase === "merge") return { ...report, changed: false, last: openedOf(info.config) };
  await checkMoved(ends, await pageOf(ends, channel), route);
  const last = info.state.last_seq;
  const opened = { ...info.config, metadata: { ...info.config.metadata, [OPENED]: String(last) } };
  await ends.target.updateStream(inPhase(opened, route, "merge"));
  return { ...report, changed: true, last };
}
