import type { Competitor, Outcome, Place, Task } from "../task.ts";
import { measured, payloadOf } from "../workloads.ts";

/** Publishes between two turns of the event loop. */
const BATCH = 500;

/** What the workloads need of a client of core NATS. */
export interface CoreClient {
  open(url: string): Promise<void>;
  publish(subject: string, payload: Uint8Array): void;
  flush(): Promise<void>;
  /** Resolves once the server knows of it to the function that ends it. */
  receive(subject: string, received: (data: { readonly bytes: Uint8Array; readonly start: number; readonly end: number }) => void): Promise<() => void>;
  close(): Promise<void>;
}

/** A client of core NATS at work. */
export class Core implements Competitor {
  readonly #client: CoreClient;

  constructor(client: CoreClient) {
    this.#client = client;
  }

  open({ url }: Place): Promise<void> {
    return this.#client.open(url);
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  run(task: Task): Promise<Outcome> {
    switch (task.workload) {
      case "core-publish":
        return measured(task.messages, () => this.#publish(task));
      case "core-publish-and-receive":
        return measured(task.messages, () => this.#publishAndReceive(task));
      default:
        throw new Error(`a client of core NATS has no ${task.workload}`);
    }
  }

  /** A batch at a time, never more than the window ahead of the server. */
  async #publish({ channel, messages, size, window }: Task): Promise<void> {
    const client = this.#client;
    const payload = payloadOf(size);
    const flushes: Promise<void>[] = [];
    for (let sent = 0; sent < messages; ) {
      for (let i = 0; i < BATCH && sent < messages; i++, sent++) client.publish(channel, payload);
      flushes.push(client.flush());
      if (flushes.length >= window / BATCH) await flushes.shift();
    }
    await Promise.all(flushes);
  }

  /** A batch at a time, never more than the window ahead of what has come back; ends when all has. */
  async #publishAndReceive({ channel, messages, size, window }: Task): Promise<void> {
    const client = this.#client;
    const payload = payloadOf(size);
    const low = window - Math.min(BATCH, window / 2);
    let received = 0;
    let sent = 0;
    let seen = 0;
    let goOn: (() => void) | undefined;
    const leave = await client.receive(channel, ({ bytes, start, end }) => {
      // No payload is left alone.
      seen = (seen + bytes[start] + end - start) | 0;
      received++;
      const enough = sent === messages ? received === messages : sent - received < low;
      if (enough) goOn?.();
    });
    while (received < messages) {
      for (let i = 0; i < BATCH && sent < messages && sent - received < window; i++, sent++) client.publish(channel, payload);
      const waiting = sent === messages || sent - received >= low;
      await new Promise<void>((resolve) => (waiting ? (goOn = resolve) : setImmediate(resolve)));
    }
    leave();
    await client.flush();
    if (seen === 0) throw new Error("nothing was received");
  }
}
