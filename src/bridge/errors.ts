/**
 * Why the bridge did not do what it was asked to.
 *
 * | code | meaning |
 * |---|---|
 * | `SOURCE_UNREACHABLE` | no streaming server answers, or it refuses the bridge |
 * | `TARGET_UNREACHABLE` | no NATS server answers, or it refuses the bridge |
 * | `NO_JETSTREAM` | the target has no JetStream, or the account may not use it |
 * | `VERSION` | the target's version loses messages, or lacks what the bridge needs |
 * | `NOT_PERMITTED` | the target, the source or its monitoring page denied something that the bridge needs |
 * | `NO_MONITOR` | what was asked needs the monitoring page of the streaming server, and it does not answer |
 * | `UNKNOWN_CHANNEL` | the streaming server has no such channel |
 * | `UNKNOWN_DURABLE` | the channel has no such durable or durable queue group |
 * | `NAME_TAKEN` | the target has a stream, a consumer or a subject of this name that is not the bridge's |
 * | `WRONG_PHASE` | the channel's copy is in another phase than this needs |
 * | `BRIDGE_RUNS` | another bridge copies: it holds the client ID, or it writes into the stream |
 * | `CHANNEL_REPLACED` | the channel began anew: its numbers are not those of the copy |
 * | `FOREIGN_MESSAGE` | somebody else wrote into the stream |
 * | `TOO_LARGE` | a message with its headers is over the target's `max_payload` |
 * | `CONSUMER_CONNECTED` | the durable's consumer is still connected |
 * | `NOT_LEVEL` | the copy does not have yet what this needs |
 * | `REFUSED` | the target refused for a reason that has no code of its own: the message has its words |
 * | `ABORTED` | the caller's signal was aborted |
 *
 * After each of them all that was copied is there, and the same call goes on from it.
 */
export type BridgeErrorCode =
  | "SOURCE_UNREACHABLE" | "TARGET_UNREACHABLE" | "NO_JETSTREAM" | "VERSION" | "NOT_PERMITTED" | "NO_MONITOR"
  | "UNKNOWN_CHANNEL" | "UNKNOWN_DURABLE" | "NAME_TAKEN" | "WRONG_PHASE" | "BRIDGE_RUNS" | "CHANNEL_REPLACED"
  | "FOREIGN_MESSAGE" | "TOO_LARGE" | "CONSUMER_CONNECTED" | "NOT_LEVEL" | "REFUSED" | "ABORTED";

/** What the functions of the bridge reject with, unless an argument is wrong: that is a `TypeError`. */
export class BridgeError extends Error {
  /** What happened. See {@link BridgeErrorCode}. */
  readonly code: BridgeErrorCode;
  /** The channel that it is about, or undefined if it is about all of them. */
  readonly channel: string | undefined;
  /** What to do about it: one or two sentences. */
  readonly remedy: string;

  /** @internal `what` says what happened, without the channel. */
  constructor(code: BridgeErrorCode, channel: string | undefined, what: string, remedy: string, cause?: unknown) {
    super(channel === undefined ? what : `${channel}: ${what}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.channel = channel;
    this.remedy = remedy;
  }

  override get name(): string {
    return "BridgeError";
  }
}

/** A {@link BridgeError} in a report. */
export type BridgeFailure = Pick<BridgeError, "code" | "message" | "remedy">;

/** @internal */
export function failureOf({ code, message, remedy }: BridgeError): BridgeFailure {
  return { code, message, remedy };
}
