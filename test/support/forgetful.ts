import { type Client, connect, type Message, type SubscribeOptions } from "../../src/index.ts";
import { StartPosition, type SubscriptionRequest } from "../../src/pb/control.ts";
import { Ack } from "../../src/testing/messages.ts";
import { optionsFor, Received, Statuses } from "./clients.ts";
import { type Ask, FakeStreaming, type Held, msgProto } from "./fake-streaming.ts";
import { until } from "./until.ts";

/** A message counts as missing after five seconds: twice `ackWait`, and three pings. */
const soon = { pingInterval: 1_000, pingMaxOut: 2 };
const ackWait = 1_000;

/** A server with a channel of which it may show more than it delivers, a client, and a subscription. */
export class Forgetful {
  readonly statuses = new Statuses();
  readonly received = new Received();
  readonly stored = new Set<number>();
  /** The requests of peeks. */
  readonly peeks: SubscriptionRequest[] = [];
  /** The requests for the subscription. */
  readonly asks: SubscriptionRequest[] = [];
  readonly fake: FakeStreaming;
  client!: Client;
  main!: Held;
  #subscribed = "";

  private constructor(fake: FakeStreaming) {
    this.fake = fake;
  }

  /** Runs a test against it. */
  static async run(
    options: SubscribeOptions,
    body: (server: Forgetful) => Promise<void>,
    handler?: (message: Message) => unknown,
  ): Promise<void> {
    const server = new Forgetful(await FakeStreaming.start());
    try {
      server.fake.onSubscribe = (ask) => server.#answer(ask);
      server.client = await connect(optionsFor(server.fake, { ...soon, onStatus: server.statuses.onStatus }));
      const run = (message: Message): unknown => {
        server.received.handler(message);
        return handler?.(message);
      };
      server.#subscribed = "main";
      await server.client.subscribe("fake", run, { startAt: "first", ackWait, ...options });
      await body(server);
    } finally {
      await server.client?.close();
      await server.fake.stop();
    }
  }

  /** The sequences that were acknowledged by the subscription's ack inbox. */
  get acked(): number[] {
    const acks = this.fake.others.filter(({ subject }) => subject === this.main.ackInbox);
    return acks.map(({ payload }) => Number(Ack.read(payload).sequence)).filter((sequence) => sequence > 0);
  }

  /** Delivers to the subscription, and stores. */
  deliver(...sequences: number[]): void {
    for (const sequence of sequences) {
      this.stored.add(sequence);
      this.fake.deliver(msgProto({ sequence: BigInt(sequence) }), this.main);
    }
  }

  /** The link is cut, and the session lives. */
  async cut(): Promise<void> {
    const before = this.fake.links.length;
    this.fake.link.destroy();
    await until("the client is back", () => this.fake.links.length > before && this.client.ready);
    this.main = { ...this.main, link: this.fake.link };
  }

  /** Accepts a request. The subscription is the one with `ackWait`. A peek is shown the stored messages. */
  #answer(ask: Ask<SubscriptionRequest>): void {
    const { message } = ask;
    if (message.ackWaitInSecs * 1000 === ackWait || this.#subscribed === "") {
      this.asks.push(message);
      this.main = this.fake.accept(ask);
      return;
    }
    this.peeks.push(message);
    const all = [...this.stored].sort((a, b) => a - b);
    const from = message.startPosition === StartPosition.LastReceived ? all.at(-1) : Number(message.startSequence);
    const shown = all.filter((sequence) => from !== undefined && sequence >= from).slice(0, message.maxInFlight);
    this.fake.accept(ask, ...shown.map((sequence) => msgProto({ sequence: BigInt(sequence) })));
  }
}
