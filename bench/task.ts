/** What a client does in one round. */
export interface Task {
  readonly workload: Workload;
  readonly channel: string;
  /** Published or, where it consumes, received. */
  readonly messages: number;
  /** Of each payload, in bytes. */
  readonly size: number;
  /** The most messages that are published, or delivered, and not yet acknowledged. */
  readonly window: number;
  /** True: the handler acknowledges, not the client. */
  readonly manualAcks?: boolean;
  /** Each publishes one message at a time. Default 1. */
  readonly publishers?: number;
  /** Each gets every message. Default 1. */
  readonly subscriptions?: number;
}

export type Workload =
  /** Keeps the window full: each ack sends the next message. */
  | "publish"
  /** Publishes all that an async generator yields. */
  | "publish-many"
  /** Each publisher waits for the ack of its last message before it sends the next. */
  | "publish-serially"
  /** Consumes what is stored already, from the first message on. */
  | "consume"
  /** Publishes with a full window, and consumes the same. */
  | "publish-and-consume"
  /** Publishes by several serial publishers, and consumes the same. */
  | "serial-publishers"
  /** Publishes to a channel with many subscriptions. Deliveries count. */
  | "fan-out";

/** The result of one round. */
export interface Outcome {
  readonly messages: number;
  /** From the first publish to the last ack; where it consumes what is stored, from the first delivery to the last. */
  readonly seconds: number;
  /** CPU time of the client's process during the round: user and system, all threads. Microseconds. */
  readonly cpu: number;
  /** Of single messages: from publish to ack or, where the task consumes, from publish to handler. Milliseconds. */
  readonly latency?: { readonly p50: number; readonly p99: number };
}

/** Memory of a client's process, in bytes. */
export interface Memory {
  /** The most memory that it had. */
  readonly peak: number;
  /** Its memory after it connected, before the first round. Absent where the process lives for one round only. */
  readonly before?: number;
}

/** What a client connects with. */
export interface ClientOptions {
  readonly url: string;
  readonly clusterId: string;
  /** The most publishes without an ack. */
  readonly window: number;
}

/** A client that runs tasks, in a process of its own. */
export interface TaskRunner {
  open(options: ClientOptions): Promise<void>;
  run(task: Task): Promise<Outcome>;
  close(): Promise<void>;
}

/** A payload of so many bytes. They have no meaning, as in the benchmarks of other clients. */
export function payloadOf(size: number): Uint8Array {
  return new Uint8Array(size).fill(120);
}
