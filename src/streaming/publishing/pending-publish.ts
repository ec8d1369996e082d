import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { StreamingError } from "../errors.ts";
import type { PublishSession } from "./publish-registration.ts";
import type { PublishTemplate } from "./publish-template.ts";
import type { Slab, Slabs } from "./slab.ts";

/** The stages of a publish. */
export const Stage = {
  accepted: 0,
  /** The publish waits for its turn. */
  queued: 1,
  sent: 2,
  /** The answer was a 503 although the session is alive. The publish is sent again later, and stays in flight. */
  noResponders: 3,
  /** The answer was "invalid publish request": the message is bad, or the session is gone. A ping tells which. */
  suspect: 4,
  /** As `suspect`, and the client pings the session now: the publish fails if the session is alive. */
  verifying: 5,
  settled: 6,
} as const;
export type Stage = (typeof Stage)[keyof typeof Stage];

/** One call of `publish` that has not been settled. */
export class PendingPublish {
  readonly template: PublishTemplate;
  readonly reply: string;
  /** The number of the call. A publish that is sent again goes before the publishes of later calls. */
  readonly order: number;
  /** On the monotonic clock, in whole milliseconds: a fraction would cost each publish an allocation. */
  readonly deadline: number;
  /** The slab that holds the data, from `start` to `end`. */
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
  readonly resolve: () => void;
  readonly reject: (error: StreamingError) => void;
  stage: Stage = Stage.accepted;
  /** The number in the guid of the last attempt. */
  number = 0;
  /** The session of the last attempt. */
  session: PublishSession | undefined;
  /** The bytes that the publish counts for, in flight or in the queue. */
  size = 0;
  /** The publish is sent again, and an earlier attempt may have been stored. */
  perhapsStored = false;
  /** The publish before and the publish behind this one in the queue. */
  previous: PendingPublish | undefined;
  next: PendingPublish | undefined;
  /** The signal of the caller. */
  signal: AbortSignalLike | undefined;

  /** Takes the data of the last call of `slabs.hold`. */
  constructor(
    template: PublishTemplate,
    reply: string,
    order: number,
    deadline: number,
    slabs: Slabs,
    resolve: () => void,
    reject: (error: StreamingError) => void,
  ) {
    this.template = template;
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
