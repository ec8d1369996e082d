import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { StreamingError } from "../errors.ts";
import type { Session } from "../session/session.ts";
import type { PublishTemplate } from "./publish-template.ts";
import type { Slab, Slabs } from "./slab.ts";

/** How far a publish has come. */
export const Stage = {
  accepted: 0,
  /** In a queue. */
  queued: 1,
  sent: 2,
  /** Answered with a 503 although the session is alive: to be sent again after a while. Keeps its place among those in flight. */
  noResponders: 3,
  /** Answered with "invalid publish request": either the message is bad, or the session is gone; a ping will tell. */
  suspect: 4,
  /** The same, and the session has been in question from the answer on: what the ping says is about it. */
  verifying: 5,
  settled: 6,
} as const;
export type Stage = (typeof Stage)[keyof typeof Stage];

/** One call of `publish` that has not been settled. */
export class PendingPublish {
  readonly channel: PublishTemplate;
  readonly reply: string;
  /** Counts the calls: whoever is sent again goes before those that were called for later. */
  readonly order: number;
  /** On the monotonic clock, in whole milliseconds: a fraction would cost each publish an allocation. */
  readonly deadline: number;
  /** Where the data is. */
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
  readonly resolve: () => void;
  readonly reject: (error: StreamingError) => void;
  stage: Stage = Stage.accepted;
  /** Of its last sending: the number in the guid, the session, and in bytes the size of the PubMsg. */
  number = 0;
  session: Session | undefined;
  size = 0;
  /** It was sent on a connection that was lost, and is sent again: that one may have been stored. */
  perhapsStored = false;
  /** Its neighbours among those that are not settled. */
  previous: PendingPublish | undefined;
  next: PendingPublish | undefined;
  /** The caller's. */
  signal: AbortSignalLike | undefined;

  /** The data is what `slabs` was given last. */
  constructor(
    channel: PublishTemplate,
    reply: string,
    order: number,
    deadline: number,
    slabs: Slabs,
    resolve: () => void,
    reject: (error: StreamingError) => void,
  ) {
    this.channel = channel;
    this.reply = reply;
    this.order = order;
    this.deadline = deadline;
    this.slab = slabs.slab;
    this.start = slabs.start;
    this.end = slabs.end;
    this.resolve = resolve;
    this.reject = reject;
  }
}
