import type { Message } from "../index.ts";
import type { BridgeError, BridgeErrorCode } from "./errors.ts";
import type { Phase, Route } from "./stream.ts";

/** How far the copy of a channel is. */
export interface ChannelProgress {
  readonly channel: string;
  readonly stream: string;
  readonly phase: Phase;
  /** The number of the last message that the stream has. */
  readonly last: number;
  /** The number of the channel's last message, as far as known. */
  readonly end: number;
  /** How many messages this call has copied, and their bytes, without headers. */
  readonly copied: number;
  readonly bytes: number;
  /** The number that this call began with. */
  readonly from: number;
  /** How many holes this call has found in the channel, and how many numbers are missing in them together. */
  readonly holes: number;
  readonly missing: number;
  /** How often the copy had to look what the stream has, and to go on behind it. */
  readonly resyncs: number;
  /**
   * - `copying`: messages are under way
   * - `level`: the stream has all that the channel is known to have
   * - `waiting`: nothing can be stored now, and `waiting` says why. The copy tries again and again
   * - `ended`: the copy of this channel is over, because its end is reached or because of `error`
   */
  readonly state: "copying" | "level" | "waiting" | "ended";
  readonly waiting?: string;
  readonly error?: { readonly code: BridgeErrorCode; readonly message: string; readonly remedy: string };
}

/** @internal Counts what the copy of a channel does. */
export class ChannelFigures {
  readonly #route: Route;
  phase: Phase = "mirror";
  from = 0;
  last = 0;
  end = 0;
  resyncs = 0;
  #copied = 0;
  #bytes = 0;
  #holes = 0;
  #missing = 0;
  #waiting: string | undefined;
  #ended = false;
  #error: BridgeError | undefined;

  constructor(route: Route) {
    this.#route = route;
  }

  stored({ sequence, data }: Message): void {
    if (sequence > this.last) this.last = sequence;
    this.#copied++;
    this.#bytes += data.length;
    this.#waiting = undefined;
  }

  hole(from: number, to: number): void {
    this.#holes++;
    this.#missing += to - from + 1;
    this.last = Math.max(this.last, to);
  }

  wait(reason: string): void {
    this.#waiting = reason;
  }

  ended(error?: BridgeError): void {
    this.#ended = true;
    this.#error = error;
  }

  progress(): ChannelProgress {
    const { channel, stream } = this.#route;
    const { phase, from, last, resyncs } = this;
    const end = Math.max(this.end, last);
    const error = this.#error;
    const moving = this.#waiting !== undefined ? "waiting" : last >= end ? "level" : "copying";
    return {
      channel,
      stream,
      phase,
      last,
      end,
      copied: this.#copied,
      bytes: this.#bytes,
      from,
      holes: this.#holes,
      missing: this.#missing,
      resyncs,
      state: this.#ended ? "ended" : moving,
      ...(this.#waiting === undefined ? {} : { waiting: this.#waiting }),
      ...(error === undefined ? {} : { error: { code: error.code, message: error.message, remedy: error.remedy } }),
    };
  }
}
