import type { ClientOptions } from "./task.ts";

/** What the workloads need of a streaming client, so that all clients run the very same code around it. */
export interface StreamingClient {
  open(options: ClientOptions): Promise<void>;
  /** Returns the function that publishes. `stored` is called for each ack. */
  publisher(channel: string, stored: () => void, failed: (error: unknown) => void): (payload: Uint8Array) => void;
  /** Absent where a client has nothing of the kind. The workload then keeps the window itself. */
  publishMany?(channel: string, source: AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * Resolves, once subscribed, to the function that closes the subscription. `handle` gets the data only where the
   * options want it.
   */
  consume(channel: string, options: ConsumeOptions, handle: (data: Uint8Array) => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

export interface ConsumeOptions {
  /** True: from the first stored message on. False: what is published from now on. */
  readonly stored: boolean;
  readonly maxInFlight: number;
  readonly manualAcks: boolean;
  readonly data: boolean;
}
