import type { BridgeFailure } from "./errors.ts";
import type { Phase } from "./stream.ts";

/** How far the copy of a channel is. */
export interface ChannelProgress {
  readonly channel: string;
  readonly stream: string;
  readonly phase: Phase;
  /** The number of the last message that the stream has. */
  readonly last: number;
  /** The number of the channel's last message, as far as known. */
  readonly end: number;
  /** How many messages this call has copied, and about how many bytes, without headers. */
  readonly copied: number;
  readonly bytes: number;
  /** The number that this call began with. */
  readonly from: number;
  /** How many holes this call has found in the channel, and how many numbers are missing in them together. */
  readonly holes: number;
  readonly missing: number;
  /** How often something went wrong, and the copy looked what the stream has, and went on behind it. */
  readonly resyncs: number;
  /**
   * - `copying`: messages are under way
   * - `level`: the stream has all that the channel is known to have
   * - `waiting`: nothing can be stored now, and `waiting` says why. The copy tries again and again
   * - `ended`: the copy of this channel is over, because its end is reached or because of `error`
   */
  readonly state: "copying" | "level" | "waiting" | "ended";
  readonly waiting?: string;
  readonly error?: BridgeFailure;
}

/** How far a copy is. */
export interface CopyProgress {
  readonly channels: readonly ChannelProgress[];
}

/** What a copy has done. It is plain data. */
export interface CopyReport extends CopyProgress {
  /** False if a channel has ended with an error. */
  readonly ok: boolean;
}
