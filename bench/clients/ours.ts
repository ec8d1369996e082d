import { join } from "node:path";
import type { Client, Message } from "../../src/index.ts";
import type { Competitor, Place } from "../task.ts";
import { Streaming } from "../workloads.ts";
import type { ConsumeOptions, StreamingClient } from "../workloads.ts";

/** As it is published. */
const { connect } = require(join(process.cwd(), "dist", "index.js")) as typeof import("../../src/index.ts");

/** This client, by its public API. */
class Ours implements StreamingClient {
  #client!: Client;

  async open({ url, clusterId, window }: Place): Promise<void> {
    this.#client = await connect({ clusterId, clientId: "ours", servers: url, maxPubAcksInFlight: window });
  }

  publisher(channel: string, stored: () => void, failed: (error: unknown) => void): (payload: Uint8Array) => void {
    const client = this.#client;
    return (payload) => void client.publish(channel, payload).then(stored, failed);
  }

  async publishMany(channel: string, source: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#client.publishMany(channel, source);
  }

  async consume(channel: string, options: ConsumeOptions, handle: (data: Uint8Array) => void): Promise<() => Promise<void>> {
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
    });
    return () => subscription.close();
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}

export const createClient = (): StreamingClient => new Ours();

/** For the worker. */
export const create = (): Competitor => new Streaming(createClient());
