import { checkChannel } from "../streaming/checks.ts";
import { checkMoved } from "./durable.ts";
import { pageOf } from "./durable-position.ts";
import { withEnds } from "./ends.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import { checkBridgeOptions } from "./options.ts";
import type { BridgeOptions } from "./options.ts";
import { copyIn, inPhase, routeOf, withLimits } from "./stream.ts";
import type { Route } from "./stream.ts";
import { verify } from "./verify.ts";
import type { VerifiedChannel } from "./verify.ts";

/** Options of {@link finish}. */
export interface FinishOptions extends Omit<BridgeOptions, "channels"> {
  channel: string;
}

/** What {@link finish} has found and done. It is plain data. */
export interface FinishReport {
  readonly ok: true;
  readonly channel: string;
  readonly stream: string;
  readonly subject: string;
  /** False if it was finished before. */
  readonly changed: boolean;
  /** The channel's last message, or undefined if it was finished before. */
  readonly last?: number | undefined;
  /** The last comparison, or undefined if it was finished before. */
  readonly verified?: VerifiedChannel | undefined;
}

/**
 * Ends the copy of a channel for good, once nobody publishes to the channel any more: compares both sides for the
 * last time, and gives the stream its subject and its limits. The bridge's doors are closed, and a copy that follows
 * the channel ends. From now on the stream is one like any other. There is no way back.
 *
 * All durables of the channel must be moved. This needs {@link Source.monitor}. After an error nothing is changed, and
 * after an end at any moment the same call goes on.
 *
 * Rejects with a `TypeError` if an option is wrong, before anything is sent, or with a {@link BridgeError}, among
 * others `NOT_LEVEL` if a message is not copied, if one differs, if a durable is not moved, or if somebody still
 * publishes to the channel, and `NO_MONITOR`.
 */
export async function finish(options: FinishOptions): Promise<FinishReport> {
  const settings = checkBridgeOptions("finish", options, ["channel"]);
  const { channel, ...rest } = options;
  checkChannel(channel, "channel");
  const compare = async (): Promise<VerifiedChannel> => (await verify({ ...rest, channels: channel })).channels[0]!;
  return await withEnds(settings, async (ends) => await finished(ends, routeOf(channel, settings), compare), channel);
}

async function finished(ends: Ends, route: Route, compare: () => Promise<VerifiedChannel>): Promise<FinishReport> {
  const { target, settings } = ends;
  const { channel, stream, subject } = route;
  const { phase, info } = await copyIn(ends, route, ["mirror", "merge", "done"]);
  const report = { ok: true, channel, stream, subject } as const;
  if (phase === "done") return { ...report, changed: false };
  await checkMoved(ends, await pageOf(ends, channel), route);
  const verified = await compare();
  const { error, differences, notCopied } = verified;
  if (error !== undefined) throw new BridgeError(error.code, channel, error.message, error.remedy);
  if (differences > 0 || notCopied > 0) {
    const what = `${notCopied} messages are not copied, and ${differences} differ`;
    throw new BridgeError("NOT_LEVEL", channel, what, "Let copy come to the end; verify names each difference.");
  }
  await target.purge(stream, { filter: route.hole });
  await target.updateStream(withLimits(inPhase(info.config, route, "done"), route, settings));
  const last = (await pageOf(ends, channel)).last_seq;
  if (last === verified.end) return { ...report, changed: true, last, verified };
  // It is not copied, and must be.
  await target.updateStream(info.config);
  const what = `somebody published to it meanwhile: its last message was ${verified.end}, and is ${last} now`;
  throw new BridgeError("NOT_LEVEL", channel, what, "Let the last producers move, and start the same call again.");
}
