import type { Connection } from "../core-nats/connection.ts";
import { readHeader } from "../core-nats/headers.ts";
import type { AbortSignalLike } from "../core-nats/lifetime.ts";
import type { Client } from "../index.ts";
import { rfc3339, SEQUENCE, TIMESTAMP } from "./copied-message.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import { look } from "./look.ts";
import { pull } from "./pull.ts";
import { WINDOW } from "./sender.ts";
import { NANOSECONDS_PER_MILLISECOND, openedOf } from "./stream.ts";
import type { Route } from "./stream.ts";
import type { StoredMessage, StreamInfo, Target } from "./target.ts";

/** How many messages of a stream are looked at first. Ten times as many the next time. */
const FIRST_DEPTH = 1_000;
const PULL_EXPIRES = 2_000;
/** How long the server keeps the consumer if this process dies, in nanoseconds. */
const INACTIVE = 30_000_000_000;
const NONE: ReadonlySet<number> = new Set();

/** What of a copied message tells whether it is the channel's: its number and its time there. */
interface Copied {
  readonly sequence: number;
  readonly time: string | undefined;
}

/** @internal How far a stream has its channel. */
export interface Position {
  /** The highest number that it has, or had. */
  readonly last: number;
  /** Where the copy goes on: the stream has all below it that it will ever get. */
  readonly from: number;
  /** The numbers from there on that it has: in the merge phase there may be some. */
  readonly copied: ReadonlySet<number>;
  /** The newest copied message that it still has. */
  readonly newest: Copied | undefined;
}

/**
 * @internal
 * In the mirror: behind the stream's last message. Removes the fillers of a bridge that ended before it did so itself.
 * @throws BridgeError `FOREIGN_MESSAGE`
 */
export async function mirrorPosition(target: Target, route: Route, { state }: StreamInfo): Promise<Position> {
  const { stream, subject, hole } = route;
  const position = { last: state.last_seq, from: state.last_seq + 1, copied: NONE };
  const last = state.messages === 0 ? undefined : await target.message(stream, { seq: state.last_seq });
  checkOwn(route, last);
  if (last?.subject === hole) await target.purge(stream, { filter: hole });
  if (last?.subject === subject) return { ...position, newest: copiedOf(last) };
  const newest = state.messages === 0 ? undefined : await target.message(stream, { last_by_subj: subject });
  checkOwn(route, newest);
  return { ...position, newest: copiedOf(newest) };
}

/**
 * @internal
 * In the merge phase: finds the newest copied messages among those of producers, by a consumer that reads headers only.
 * A bridge has at most `WINDOW` messages under way: below the newest one minus that, none is missing.
 */
export async function mergePosition(
  { target, ending }: Ends,
  client: Client,
  connection: Connection,
  { channel, stream, hole }: Route,
  { config }: StreamInfo,
): Promise<Position> {
  // What was sent before it, in the mirror and so without an id, is stored before it or never.
  await target.store(hole);
  await target.purge(stream, { filter: hole });
  const opened = openedOf(config);
  const { first_seq, last_seq } = (await target.stream(stream))!.state;
  const first = Math.max(first_seq, opened + 1);
  for (let depth = FIRST_DEPTH; ; depth *= 10) {
    const start = Math.max(first, last_seq - depth + 1);
    const found = await copiesFrom(target, connection, stream, start, last_seq);
    const copied = new Set([...found.keys()].sort((a, b) => a - b));
    const [oldest = Infinity, newest = 0] = [[...copied][0], [...copied].at(-1)];
    const from = Math.max(newest - WINDOW, opened) + 1;
    if (start > first && oldest > from) continue;
    if (newest > 0) return { last: newest, from, copied, newest: { sequence: newest, time: found.get(newest) } };
    const mirrored = copiedOf(await target.message(stream, { seq: opened }));
    const position = { last: opened, from, copied, newest: mirrored };
    const age = (config.max_age ?? 0) / NANOSECONDS_PER_MILLISECOND;
    if (first === opened + 1 || age === 0) return position;
    // Copied messages are gone by their age. Those of the channel that are as old are not copied again.
    const young = await look(client, channel, { ago: age }, ending);
    const before = young === undefined ? await look(client, channel, "lastReceived", ending) : undefined;
    const last = Math.max(opened, before?.sequence ?? (young?.sequence ?? 1) - 1);
    return { ...position, last, from: last + 1 };
  }
}

/** The times of the copied messages that the stream has from a place on, by their numbers in the channel. */
async function copiesFrom(
  target: Target,
  connection: Connection,
  stream: string,
  start: number,
  end: number,
): Promise<Map<number, string | undefined>> {
  const found = new Map<number, string | undefined>();
  if (start > end) return found;
  const { name } = await target.createConsumer(stream, {
    ack_policy: "none",
    deliver_policy: "by_start_sequence",
    opt_start_seq: start,
    headers_only: true,
    mem_storage: true,
    inactive_threshold: INACTIVE,
  });
  const { inboxPrefix } = target;
  const request = target.subject(`CONSUMER.MSG.NEXT.${stream}.${name}`);
  const what = { stream, consumer: name, request, inboxPrefix, batch: FIRST_DEPTH, expires: PULL_EXPIRES };
  for (let more = true; more; ) {
    const count = await pull(connection, what, (message) => {
      const copied = copiedOf(message);
      if (copied !== undefined) found.set(copied.sequence, copied.time);
      more = message.sequence < end && message.pending > 0;
    });
    if (count === 0) more = false;
  }
  await target.deleteConsumer(stream, name);
  return found;
}

/** What the headers of a stored message say. Undefined if it is not copied. */
function copiedOf(stored: Pick<StoredMessage, "headers"> | undefined): Copied | undefined {
  const headers = stored?.headers;
  if (headers === undefined) return undefined;
  const sequence = readHeader(headers, 0, headers.length, SEQUENCE);
  if (sequence === undefined) return undefined;
  return { sequence: Number(sequence), time: readHeader(headers, 0, headers.length, TIMESTAMP) };
}

function checkOwn({ channel, stream }: Route, stored: StoredMessage | undefined): void {
  if (stored === undefined || copiedOf(stored)?.sequence === stored.sequence) return;
  throw new BridgeError(
    "FOREIGN_MESSAGE",
    channel,
    `message ${stored.sequence} of the stream ${stream} is not a copy: somebody else wrote into it`,
    `Find out who publishes to it; delete the stream, or give the channel another one by map, and copy again.`,
  );
}

/**
 * @internal
 * Checks whether the channel is the one that was copied: it must still have the message with the same time, unless that
 * is gone by its age or by a limit.
 * @throws BridgeError `CHANNEL_REPLACED`
 */
export async function checkChannelIsSame(
  client: Client,
  { channel, stream }: Route,
  { sequence, time }: Copied,
  ending: AbortSignalLike,
): Promise<void> {
  const newest = await look(client, channel, "lastReceived", ending);
  // It may be empty, since all messages are gone. If it began anew, its first message tells.
  if (newest === undefined) return;
  const isThere = newest.sequence > sequence;
  const same = isThere ? await look(client, channel, { sequence }, ending) : newest;
  const isOther = same?.sequence === sequence && rfc3339(same.timestamp) !== time;
  if (!isOther && newest.sequence >= sequence) return;
  const what = isOther ? `its message ${sequence} has another time` : `its last number is ${newest.sequence}`;
  throw new BridgeError(
    "CHANNEL_REPLACED",
    channel,
    `the channel has begun anew: ${what}, and ${stream} has its messages up to ${sequence}`,
    `Give the channel a new stream, with another subject, by map: { "${channel}": { stream: "…", subject: "…" } }.`,
  );
}
