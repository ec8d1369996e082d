import { join } from "node:path";
import type { Client, Message, SubscribeOptions } from "../../src/index.ts";
import type { ConsumeOptions, StreamingClient } from "../streaming-client.ts";
import type { ClientOptions, TaskRunner } from "../task.ts";
import { runnerOf } from "../workloads.ts";

/** The client as it is published. */
const { connect } = require(join(process.cwd(), "dist", "index.js")) as typeof import("../../src/index.ts");

/** Uses this client by its public API. */
class Ours implements StreamingClient {
  readonly #clientId: string;
  readonly #options: SubscribeOptions;
  #client!: Client;

  /** Subscribes with these options. */
  constructor(clientId: string, options: SubscribeOptions) {
    this.#clientId = clientId;
    this.#options = options;
  }

  async open({ url, clusterId, window }: ClientOptions): Promise<void> {
    this.#client = await connect({ clusterId, clientId: this.#clientId, servers: url, maxPubAcksInFlight: window });
  }

  publisher(channel: string, stored: () => void, failed: (error: unknown) => void): (payload: Uint8Array) => void {
    const client = this.#client;
    return (payload) => void client.publish(channel, payload).then(stored, failed);
  }

  async publishMany(channel: string, source: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#client.publishMany(channel, source);
  }

  async consume(
    channel: string,
    options: ConsumeOptions,
    handle: (data: Uint8Array) => void,
  ): Promise<() => Promise<void>> {
    const { stored, maxInFlight, manualAcks } = options;
    const acknowledging = (message: Message): void => {
      handle(message.data);
      message.ack();
    };
    const plain = (message: Message): void => handle(message.data);
    const subscription = await this.#client.subscribe(channel, manualAcks ? acknowledging : plain, {
      startAt: stored ? "first" : "newOnly",
      maxInFlight,
      manualAck: manualAcks,
      ...this.#options,
    });
    return () => subscription.close();
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}

/** For the measurement of an idle client. */
export const createClient = (clientId = "ours", options: SubscribeOptions = {}): StreamingClient =>
  new Ours(clientId, options);

/** For the worker. */
export const create = (): TaskRunner => runnerOf(createClient());
