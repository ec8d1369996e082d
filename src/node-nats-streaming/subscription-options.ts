import { now } from "../core-nats/clock.ts";
import type { StartAt, SubscribeOptions } from "../index.ts";
import { StanError } from "./errors.ts";

/** Where a subscription begins if the server does not know it. */
export const StartPosition = {
  NEW_ONLY: 0, LAST_RECEIVED: 1, TIME_DELTA_START: 2, SEQUENCE_START: 3, FIRST: 4,
} as const;
/** One of the values of {@link StartPosition}. */
export type StartPosition = number;

const MAX_IN_FLIGHT = 16_384;
const ACK_WAIT = 30_000;
/** Also of what timers take. */
export const LARGEST_INT32 = 2 ** 31 - 1;
const NANOSECONDS = 1_000_000;

/** Options of a subscription. All setters return the object itself. */
export class SubscriptionOptions {
  /** The durable name. Default none. */ durableName?: string | undefined;
  /** How many messages the server sends ahead of acks. Default 16 384. */
  maxInFlight?: number | undefined = MAX_IN_FLIGHT;
  /** After how many milliseconds an unacknowledged message comes again, rounded up to seconds. Default 30 000. */
  ackWait?: number | undefined = ACK_WAIT;
  /** Where it begins. Default `StartPosition.NEW_ONLY`. */
  startPosition: StartPosition = undefined as unknown as StartPosition;
  /** The first sequence, with `StartPosition.SEQUENCE_START`. */ startSequence?: number | undefined;
  /** How long ago it begins, in nanoseconds, with `StartPosition.TIME_DELTA_START`. */ startTime?: number | undefined;
  /** True: only `message.ack()` acknowledges. Default false: the end of a message's listeners does. */
  manualAcks?: boolean | undefined;

  setMaxInFlight(n: number): SubscriptionOptions { return Object.assign(this, { maxInFlight: n }); }
  setAckWait(millis: number): SubscriptionOptions { return Object.assign(this, { ackWait: millis }); }
  setStartAt(startPosition: StartPosition): SubscriptionOptions { return Object.assign(this, { startPosition }); }
  setStartAtSequence(sequence: number): SubscriptionOptions {
    return Object.assign(this.setStartAt(StartPosition.SEQUENCE_START), { startSequence: sequence });
  }
  setStartTime(date: Date): SubscriptionOptions { return this.setStartAtTimeDelta(now() - date.valueOf()); }
  setStartAtTimeDelta(millis: number): SubscriptionOptions {
    return Object.assign(this.setStartAt(StartPosition.TIME_DELTA_START), { startTime: millis * NANOSECONDS });
  }
  setStartWithLastReceived(): SubscriptionOptions { return this.setStartAt(StartPosition.LAST_RECEIVED); }
  setDeliverAllAvailable(): SubscriptionOptions { return this.setStartAt(StartPosition.FIRST); }
  setManualAckMode(tf: boolean): SubscriptionOptions { return Object.assign(this, { manualAcks: tf }); }
  setDurableName(durableName: string): SubscriptionOptions { return Object.assign(this, { durableName }); }
}

/** Returns options with the defaults, as `stan.subscriptionOptions()` does. */
export function NewSubscriptionOptions(): SubscriptionOptions {
  return new SubscriptionOptions();
}

/**
 * The options as this client's `subscribe` takes them.
 *
 * @throws StanError in the words of the server for what that would refuse
 */
export function subscribeOptionsOf(options: Partial<SubscriptionOptions>, queue: string | undefined): SubscribeOptions {
  const { maxInFlight = MAX_IN_FLIGHT, ackWait = ACK_WAIT, durableName } = options;
  if (!(maxInFlight >= 1)) throw new StanError("stan: invalid MaxInflight, should be >= 1");
  if (queue && durableName?.includes(":")) {
    throw new StanError("stan: durable name of a durable queue subscriber can't contain the character ':'");
  }
  if (!(ackWait > 0)) throw new StanError("stan: invalid ack wait time, should be >= 1s");
  return {
    startAt: startAtOf(options),
    ...(durableName ? { durable: durableName } : {}),
    ...(queue ? { queue } : {}),
    maxInFlight: Math.min(Math.trunc(maxInFlight), LARGEST_INT32),
    // Listeners run as messages come, as in 0.3.2. The server limits them by `maxInFlight`.
    concurrency: LARGEST_INT32,
    ackWait: Math.ceil(ackWait / 1000) * 1000,
    // As in 0.3.2, `manualAcks` may change after the call. So it is looked up for each message.
    manualAck: true,
  };
}

function startAtOf(options: Partial<SubscriptionOptions>): StartAt {
  const { startPosition = StartPosition.NEW_ONLY, startSequence = 1, startTime = 0 } = options;
  const ago = Math.max(0, startTime / NANOSECONDS);
  const all: StartAt[] = ["newOnly", "lastReceived", { ago }, { sequence: Math.max(1, startSequence) }, "first"];
  const startAt = all[startPosition];
  if (startAt === undefined) throw new StanError("stan: invalid start position");
  return startAt;
}
