import { peer } from "../peers.ts";
import type { Competitor } from "../task.ts";
import { Core } from "./core.ts";
import type { CoreClient } from "./core.ts";

interface NatsConnection {
  publish(subject: string, payload: Uint8Array): void;
  flush(): Promise<void>;
  subscribe(subject: string, options: { callback: (error: Error | null, message: { data: Uint8Array }) => void }): { unsubscribe(): void };
  close(): Promise<void>;
}

const { connect } = peer<{ connect(options: { servers: string }): Promise<NatsConnection> }>("nats");

/** nats.js. */
class Nats implements CoreClient {
  #connection!: NatsConnection;

  async open(url: string): Promise<void> {
    this.#connection = await connect({ servers: url });
  }

  publish(subject: string, payload: Uint8Array): void {
    this.#connection.publish(subject, payload);
  }

  flush(): Promise<void> {
    return this.#connection.flush();
  }

  async receive(subject: string, received: Parameters<CoreClient["receive"]>[1]): Promise<() => void> {
    const callback = (_: Error | null, { data }: { data: Uint8Array }): void => received({ bytes: data, start: 0, end: data.length });
    const subscription = this.#connection.subscribe(subject, { callback });
    await this.#connection.flush();
    return () => subscription.unsubscribe();
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

/** For the worker. */
export const create = (): Competitor => new Core(new Nats());
