import type { Connection } from "../core-nats/connection.ts";
import { readHeader } from "../core-nats/headers.ts";
import { SEQUENCE } from "./copied-message.ts";
import { pull } from "./pull.ts";
import { WINDOW } from "./sender.ts";
import type { Route } from "./stream.ts";
import type { StreamInfo, Target } from "./target.ts";

/** How many messages of the stream are looked at first. Ten times as many the next time. */
const FIRST_DEPTH = 1_000;
const PULL_BATCH = 1_000;
const PULL_EXPIRES = 2_000;
/** How long the server keeps the consumer if this process dies, in nanoseconds. */
const INACTIVE = 30_000_000_000;

/** @internal Where the copy of a channel goes on in the merge phase. */
export interface MergePosition {
  /** The stream has all numbers below it that it will ever get. */
  readonly from: number;
  /** The numbers from `from` on that it has. */
  readonly copied: ReadonlySet<number>;
}

/**
 * @internal
 * Finds the newest copied messages among those of producers, by a consumer that reads headers only. A bridge has at
 * most `WINDOW` messages under way: below the newest one minus that, none is missing.
 */
export async function mergePosition(
  target: Target,
  connection: Connection,
  route: Route,
  info: StreamInfo,
): Promise<MergePosition> {
  const { first_seq, last_seq } = info.state;
  for (let depth = FIRST_DEPTH; ; depth *= 10) {
    const start = Math.max(1, first_seq, last_seq - depth + 1);
    const copied = await numbersFrom(target, connection, route, start, last_seq);
    let newest = 0;
    let oldest = Infinity;
    for (const n of copied) {
      newest = Math.max(newest, n);
      oldest = Math.min(oldest, n);
    }
    const from = Math.max(newest - WINDOW, 0) + 1;
    if (start > Math.max(1, first_seq) && (newest === 0 || oldest > from)) continue;
    if (newest > 0) return { from, copied };
    // All copied messages are gone, by their age. What was opened is known.
    return { from: Number(info.config.metadata?.["stan.opened"] ?? 0) + 1, copied };
  }
}

/** The channel's numbers that the stream has from `start` on. */
async function numbersFrom(
  target: Target,
  connection: Connection,
  { stream }: Route,
  start: number,
  end: number,
): Promise<Set<number>> {
  const numbers = new Set<number>();
  if (start > end) return numbers;
  const { name } = await target.createConsumer(stream, {
    ack_policy: "none",
    deliver_policy: "by_start_sequence",
    opt_start_seq: start,
    headers_only: true,
    mem_storage: true,
    inactive_threshold: INACTIVE,
  });
  const request = target.subject(`CONSUMER.MSG.NEXT.${stream}.${name}`);
  const { inboxPrefix } = target;
  const what = { stream, consumer: name, request, inboxPrefix, batch: PULL_BATCH, expires: PULL_EXPIRES };
  let more = true;
  while (more) {
    const count = await pull(connection, what, ({ headers, sequence, pending }) => {
      const number = headers === undefined ? undefined : readHeader(headers, 0, headers.length, SEQUENCE);
      if (number !== undefined) numbers.add(Number(number));
      if (sequence >= end || pending === 0) more = false;
    });
    if (count === 0) more = false;
  }
  await target.deleteConsumer(stream, name);
  return numbers;
}
