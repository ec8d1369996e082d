import { Connection } from "../../src/core-nats/connection.ts";
import { Lifetime } from "../../src/core-nats/lifetime.ts";
import { Servers } from "../../src/core-nats/servers.ts";
import type { Competitor } from "../task.ts";
import { Core } from "./core.ts";
import type { CoreClient } from "./core.ts";

/** The core of this client, which is not a part of its public API. */
class Ours implements CoreClient {
  #connection!: Connection;

  async open(url: string): Promise<void> {
    const [server] = new Servers(url, false).round();
    const options = {
      name: "bench",
      credentials: undefined,
      tls: undefined,
      timeout: 5_000,
      pingInterval: 60_000,
      pingMaxOut: 2,
      inboxPrefix: "_INBOX",
      problem: complain,
      informed: () => undefined,
    };
    this.#connection = await Connection.open(server!, options, new Lifetime());
  }

  publish(subject: string, payload: Uint8Array): void {
    this.#connection.publish(subject, payload);
  }

  flush(): Promise<void> {
    return this.#connection.flush();
  }

  async receive(subject: string, received: Parameters<CoreClient["receive"]>[1]): Promise<() => void> {
    const connection = this.#connection;
    const sid = connection.subscribe(subject, { deliver: received, denied: complain });
    await connection.flush();
    return () => connection.unsubscribe(sid);
  }

  async close(): Promise<void> {
    this.#connection.close();
  }
}

function complain(error: Error): void {
  process.stderr.write(`${error.message}\n`);
}

/** For the worker. */
export const create = (): Competitor => new Core(new Ours());
