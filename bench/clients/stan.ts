import type { ConsumeOptions, StreamingClient } from "../streaming-client.ts";
import type { ClientOptions } from "../task.ts";

interface Stan {
  publish(channel: string, data: Uint8Array, acknowledged: (error: Error | undefined) => void): string;
  subscriptionOptions(): SubscriptionOptions;
  subscribe(channel: string, options: SubscriptionOptions): StanSubscription;
  on(event: "connect", listener: () => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  on(event: "close", listener: () => void): void;
  close(): void;
}

interface SubscriptionOptions {
  setDeliverAllAvailable(): this;
  setMaxInFlight(messages: number): this;
  setManualAckMode(on: boolean): this;
}

interface StanSubscription {
  on(event: "ready" | "closed", listener: () => void): void;
  on(event: "error" | "timeout", listener: (error: Error) => void): void;
  on(event: "message", listener: (message: { getRawData(): Uint8Array; ack(): void }) => void): void;
  close(): void;
}

/** What node-nats-streaming exports, and the layer that takes its place. */
export interface StanLibrary {
  connect(cluster: string, client: string, options: object): Stan;
}

const NO_DATA = new Uint8Array(0);

/** Uses node-nats-streaming as its README shows it. */
export class NodeNatsStreaming implements StreamingClient {
  readonly #library: StanLibrary;
  readonly #clientId: string;
  #stan!: Stan;

  constructor(library: StanLibrary, clientId: string) {
    this.#library = library;
    this.#clientId = clientId;
  }

  open({ url, clusterId, window }: ClientOptions): Promise<void> {
    this.#stan = this.#library.connect(clusterId, this.#clientId, { url, maxPubAcksInflight: window });
    return new Promise((resolve, reject) => {
      this.#stan.on("connect", resolve);
      this.#stan.on("error", reject);
    });
  }

  publisher(channel: string, stored: () => void, failed: (error: unknown) => void): (payload: Uint8Array) => void {
    const stan = this.#stan;
    const acknowledged = (error: Error | undefined): void => (error ? failed(error) : stored());
    return (payload) => void stan.publish(channel, payload, acknowledged);
  }

  consume(channel: string, options: ConsumeOptions, handle: (data: Uint8Array) => void): Promise<() => Promise<void>> {
    const { stored, maxInFlight, manualAcks, data } = options;
    const wanted = this.#stan.subscriptionOptions().setMaxInFlight(maxInFlight).setManualAckMode(manualAcks);
    const subscription = this.#stan.subscribe(channel, stored ? wanted.setDeliverAllAvailable() : wanted);
    subscription.on("message", (message) => {
      handle(data ? message.getRawData() : NO_DATA);
      if (manualAcks) message.ack();
    });
    return new Promise((resolve, reject) => {
      subscription.on("error", reject);
      subscription.on("timeout", reject);
      subscription.on("ready", () => resolve(close));
    });

    function close(): Promise<void> {
      return new Promise((resolve) => {
        subscription.on("closed", resolve);
        subscription.close();
      });
    }
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#stan.on("close", resolve);
      this.#stan.close();
    });
  }
}
