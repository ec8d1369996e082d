import { readHeader } from "../core-nats/headers.ts";
import type { Client } from "../index.ts";
import { rfc3339, SEQUENCE, TIMESTAMP } from "./copied-message.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import { look } from "./look.ts";
import { readStream } from "./read-stream.ts";
import { WINDOW } from "./sender.ts";
import { NANOSECONDS_PER_MILLISECOND, openedOf } from "./stream.ts";
import type { Route } from "./stream.ts";
import type { StoredMessage, StreamInfo } from "./target.ts";

/** How many messages of a stream are looked at first. Ten times as many the next time. */
const FIRST_DEPTH = 1_000;

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
  readonly copied?: ReadonlySet<number>;
  /** The newest copied message that it still has. */
  readonly newest: Copied | undefined;
}

/**
 * @internal
 * In the mirror: behind the stream's last message. Removes the fillers of a bridge that ended before it did so itself.
 * @throws BridgeError `FOREIGN_MESSAGE`
 */
export async function mirrorPosition({ target }: Ends, route: Route, { state }: StreamInfo): Promise<Position> {
  const { stream, subject, hole } = route;
  const isEmpty = state.messages === 0;
  let newest = isEmpty ? undefined : await target.message(stream, { seq: state.last_seq });
  checkOwn(route, newest);
  if (newest?.subject === hole) await target.purge(stream, { filter: hole });
  if (!isEmpty && newest?.subject !== subject) newest = await target.message(stream, { last_by_subj: subject });
  checkOwn(route, newest);
  return { last: state.last_seq, from: state.last_seq + 1, newest: copiedOf(newest) };
}

/**
 * @internal
 * In the merge phase: finds the newest copied messages among those of producers, by a consumer that reads headers only.
 * A bridge has at most `WINDOW` messages under way: below the newest one minus that, none is missing.
 */
export async function mergePosition(ends: Ends, client: Client, route: Route, info: StreamInfo): Promise<Position> {
  const { target, ending } = ends;
  const { channel, stream, subject, hole } = route;
  // What was sent before it, in the mirror and so without an id, is stored before it or never.
  await target.store(hole);
  await target.purge(stream, { filter: hole });
  const opened = openedOf(info.config);
  const { first_seq, last_seq: to } = (await target.stream(stream))!.state;
  const first = Math.max(first_seq, opened + 1);
  for (let depth = FIRST_DEPTH; ; depth *= 10) {
    const start = Math.max(first, to - depth + 1);
    const found = new Map<number, Copied>();
    for await (const batch of readStream(ends, { stream, subject, from: start, to, headersOnly: true })) {
      for (const copied of batch.map(copiedOf)) if (copied !== undefined) found.set(copied.sequence, copied);
    }
    const numbers = [...found.keys()].sort((a, b) => a - b);
    const last = numbers.at(-1) ?? opened;
    const from = Math.max(last - WINDOW, opened) + 1;
    if (start > first && (numbers[0] ?? Infinity) > from) continue;
    const copied = new Set(numbers);
    if (last > opened) return { last, from, copied, newest: found.get(last) };
    const position = { last, from, copied, newest: copiedOf(await target.message(stream, { seq: opened })) };
    const age = (info.config.max_age ?? 0) / NANOSECONDS_PER_MILLISECOND;
    if (first === opened + 1 || age === 0) return position;
    // Copied messages are gone by their age. Those of the channel that are as old are not copied again.
    const young = await look(client, channel, { ago: age }, ending);
    const before = young === undefined ? await look(client, channel, "lastReceived", ending) : undefined;
    const past = Math.max(opened, before?.sequence ?? (young?.sequence ?? 1) - 1);
    return { ...position, last: past, from: past + 1 };
  }
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
  const what = `message ${stored.sequence} of the stream ${stream} is not a copy: somebody else wrote into it`;
  const remedy = "Find out who publishes to it. Delete the stream, or give the channel another one by map.";
  throw new BridgeError("FOREIGN_MESSAGE", channel, what, remedy);
}

/**
 * @internal
 * Checks whether the channel is the one that was copied: it must still have the newest message with the same time,
 * unless that is gone by its age or by a limit.
 * @throws BridgeError `CHANNEL_REPLACED`
 */
export async function checkChannelIsSame(
  { ending }: Ends,
  client: Client,
  { channel, stream }: Route,
  { sequence, time }: Copied,
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
