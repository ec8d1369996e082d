import { now } from "../../core-nats/clock.ts";
import { StartPosition } from "../../pb/control.ts";
import type { SubscriptionRequest } from "../../pb/control.ts";
import type { StartAt } from "./subscribe-options.ts";

/** Where a subscription begins, as it is asked for. */
export type Start = Pick<SubscriptionRequest, "startPosition" | "startSequence" | "startTimeDelta">;

/** Servers count time in nanoseconds. */
export const NANOSECONDS_PER_MILLISECOND = 1_000_000n;
/** An int64 holds no more of them: 292 years. */
const MOST_MILLISECONDS = 9_223_372_036_854;
const START: Start = { startPosition: StartPosition.NewOnly, startSequence: 0n, startTimeDelta: 0n };

/** The first message that is stored. */
export const fromFirst: Start = { ...START, startPosition: StartPosition.First };

/** The last message that is stored, and those that come. */
export const fromLast: Start = { ...START, startPosition: StartPosition.LastReceived };

/** The message of that sequence, or the first that is stored after it. */
export function fromSequence(sequence: number): Start {
  return { ...START, startPosition: StartPosition.SequenceStart, startSequence: BigInt(sequence) };
}

/**
 * Where a subscription begins that has received nothing: as was asked for, or, `elapsed` milliseconds after it was
 * made, with what was stored since.
 *
 * A server counts back from when it gets to the request, which may be `late` milliseconds after it was sent: better a
 * message too many than one too few.
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
  return { ...START, startPosition: StartPosition.TimeDeltaStart, startTimeDelta: BigInt(whole) * NANOSECONDS_PER_MILLISECOND };
}
