import type { Durable } from "./durable.ts";

/** What `move` has found and done. It is plain data. */
export interface MoveReport extends Durable {
  readonly ok: true;
  readonly channel: string;
  readonly stream: string;
  /** The name of the consumer in JetStream. */
  readonly consumer: string;
  readonly back: boolean;
  readonly dryRun: boolean;
  /** False if there was nothing to do. */
  readonly changed: boolean;
  /** All up to this message was handed out before. */
  readonly lastSent: number;
  /** How many of these come again, since nobody has acknowledged them. */
  readonly pending: number;
  /** Their numbers. Undefined if they were not asked for. */
  readonly unacknowledged?: readonly number[] | undefined;
  /** What tells the position: the monitoring page, or a look at what the durable is sent. */
  readonly by: "page" | "look";
  /** In milliseconds. */
  readonly ackWait: number;
  readonly maxInFlight: number;
}
