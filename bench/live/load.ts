import type { Client, Message } from "../../src/index.ts";

/** What has happened since the start. */
export interface Totals {
  /** Published and stored. */
  pubd: number;
  /** Given to the handler. */
  recvd: number;
  /** Acknowledged to the server. */
  ackd: number;
}

/** Publishes and consumes the same channel without end, and counts. */
export class Load {
  readonly totals: Totals = { pubd: 0, recvd: 0, ackd: 0 };
  readonly #client: Client;
  readonly #channel: string;
  readonly #inFlight: number;
  #ending = false;

  constructor(client: Client, channel: string, inFlight: number) {
    this.#client = client;
    this.#channel = channel;
    this.#inFlight = inFlight;
  }

  /** Resolves after `end`, once all that was published has been acknowledged, or when the client has ended. */
  async run(): Promise<void> {
    const { totals } = this;
    let published = false;
    let complete = (): void => undefined;
    const completed = new Promise<void>((resolve) => (complete = resolve));
    const handle = (message: Message): void => {
      totals.recvd++;
      if (message.ack()) totals.ackd++;
      if (published && totals.ackd >= totals.pubd) complete();
    };
    const subscription = await this.#client.subscribe(this.#channel, handle, { maxInFlight: this.#inFlight, manualAck: true });
    await Promise.all(Array.from({ length: this.#inFlight }, () => this.#publish()));
    published = true;
    if (totals.ackd < totals.pubd) await Promise.race([completed, this.#client.closed]);
    await subscription.close();
  }

  /** No message is published any more. */
  end(): void {
    this.#ending = true;
  }

  async #publish(): Promise<void> {
    const payload = new Uint8Array(128).fill(120);
    while (!this.#ending && this.#client.state !== "closed") {
      try {
        await this.#client.publish(this.#channel, payload);
        this.totals.pubd++;
      } catch {
        // An outage, which the client tells of by itself. Whoever tries again at once would only fill its queue.
        if (!this.#ending) await new Promise<void>((resolve) => setTimeout(resolve, 1_000));
      }
    }
  }
}
