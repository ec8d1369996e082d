import { now } from "../../core-nats/clock.ts";
import { StartPosition } from "../../pb/control.ts";
import type { SubscriptionRequest } from "../../pb/control.ts";
import type { StartAt } from "./subscribe-options.ts";

/** The fields of a subscription request that say where the subscription starts. */
export type Start = Pick<SubscriptionRequest, "startPosition" | "startSequence" | "startTimeDelta">;

/** Servers count time in nanoseconds. */
export const NANOSECONDS_PER_MILLISECOND = 1_000_000n;
/** The most milliseconds whose nanoseconds fit into an int64: 292 years. */
const MOST_MILLISECONDS = 9_223_372_036_854;
const START: Start = { startPosition: StartPosition.NewOnly, startSequence: 0n, startTimeDelta: 0n };

/** Starts at the first stored message. */
export const fromFirst: Start = { ...START, startPosition: StartPosition.First };

/** Starts at the last stored message. */
export const fromLast: Start = { ...START, startPosition: StartPosition.LastReceived };

/** Starts at a sequence, or at the first stored message after it. */
export function fromSequence(sequence: number): Start {
  return { ...START, startPosition: StartPosition.SequenceStart, startSequence: BigInt(sequence) };
}

/**
 * The start of a subscription that has received nothing. `elapsed` milliseconds after its first request it starts with
 * the messages stored since then. Without `elapsed` it starts at `startAt`.
 *
 * A server counts back from the time at which it handles the request, which may be `late` milliseconds after it was
 * sent. So the start is that much earlier: an extra message is better than a missing one.
 */
export function fromStart(startAt: StartAt, elapsed: number | undefined, late: number): Start {
  if (startAt === "first") return fromFirst;
  if (typeof startAt === "object" && "sequence" in startAt) return fromSequence(startAt.sequence);
  if (typeof startAt === "object" && "time" in startAt) {
    const past = Math.max(now() - startAt.time.getTime(), elapsed ?? 0);
    return past > 0 ? ago(past + late) : START;
  }
  if (elapsed !== undefined) return ago((typeof startAt === "object" ? startAt.ago : 0) + elapsed + late);
  if (typeof startAt === "object") return ago(startAt.ago);
  return startAt === "lastReceived" ? fromLast : START;
}

function ago(milliseconds: number): Start {
  const whole = Math.min(Math.max(0, Math.ceil(milliseconds)), MOST_MILLISECONDS);
  const startTimeDelta = BigInt(whole) * NANOSECONDS_PER_MILLISECOND;
  return { ...START, startPosition: StartPosition.TimeDeltaStart, startTimeDelta };
}
