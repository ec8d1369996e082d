/** What a client does in one round. */
export interface Task {
  readonly workload: Workload;
  readonly channel: string;
  /** Published or, where it consumes, received. */
  readonly messages: number;
  /** Of each payload, in bytes. */
  readonly size: number;
  /** Published and not acknowledged, or delivered and not acknowledged: at most so many. */
  readonly window: number;
  /** The handler acknowledges, not the client. */
  readonly manualAcks?: boolean;
  /** Publish one at a time each. 1 by default. */
  readonly publishers?: number;
  /** Each gets every message. 1 by default. */
  readonly subscriptions?: number;
}

export type Workload =
  /** The window is always full: each ack sends the next. */
  | "publish"
  /** All that an async generator yields. */
  | "publish-many"
  /** Each publisher waits for the ack of its last message before it sends the next. */
  | "publish-serially"
  /** What is stored already, from the first message on. */
  | "consume"
  /** Publishes with a full window, and consumes the same. */
  | "publish-and-consume"
  /** Serial publishers, and a subscription that consumes what they publish. */
  | "serial-publishers"
  /** Publishes to a channel with many subscriptions; what counts is deliveries. */
  | "fan-out";

/** What one round came to. */
export interface Outcome {
  readonly messages: number;
  /** From the first publish to the last ack; where it consumes what is stored, from the first delivery to the last. */
  readonly seconds: number;
  /** CPU time of the client's process during the round, user and system, all its threads. Microseconds. */
  readonly cpu: number;
  /** Of single messages, in milliseconds: from publish to ack or, where it consumes, from publish to handler. */
  readonly latency?: { readonly p50: number; readonly p99: number };
}

/** Memory of a client's process, in bytes. */
export interface Memory {
  /** The most that it has had. */
  readonly peak: number;
  /** When it had connected, before the first round; absent where it lives for one round only. */
  readonly before?: number;
}

/** Where the server is, and what may be under way to it. */
export interface Place {
  readonly url: string;
  readonly clusterId: string;
  readonly window: number;
}

/** One client in a process of its own. */
export interface Competitor {
  open(place: Place): Promise<void>;
  run(task: Task): Promise<Outcome>;
  close(): Promise<void>;
}
