// Code that people have for node-nats-streaming, with the one line changed.
import nats, {
  connect,
  type AckHandlerCallback,
  Message,
  Stan,
  type StanOptions,
  StartPosition,
  Subscription,
  type SubscriptionOptions,
} from "nats-streaming-client/node-nats-streaming";
import * as all from "nats-streaming-client/node-nats-streaming";
import { EventEmitter } from "node:events";
import type { TlsOptions } from "node:tls";

const options: StanOptions = {
  url: "nats://127.0.0.1:4222",
  waitOnFirstConnect: true,
  tls: false,
  maxReconnectAttempts: -1,
};
const tls: TlsOptions = { ca: "PEM" };

abstract class Listener<T> {
  abstract subject: string;
  abstract onMessage(data: T, message: Message): void;
  protected ackWait = 5 * 1000;

  constructor(protected client: Stan) {}

  subscriptionOptions(): SubscriptionOptions {
    return this.client
      .subscriptionOptions()
      .setDeliverAllAvailable()
      .setManualAckMode(true)
      .setAckWait(this.ackWait)
      .setDurableName("billing");
  }

  listen(): void {
    const subscription: Subscription = this.client.subscribe(this.subject, "billing", this.subscriptionOptions());
    subscription.on("message", (message: Message) => {
      const data = message.getData();
      const parsed = typeof data === "string" ? JSON.parse(data) : JSON.parse(data.toString("utf8"));
      this.onMessage(parsed, message);
    });
  }
}

class Wrapper {
  private stan?: Stan;

  get client(): Stan {
    if (!this.stan) throw new Error("not connected");
    return this.stan;
  }

  connect(clusterId: string, clientId: string, url: string): Promise<void> {
    this.stan = nats.connect(clusterId, clientId, { url });
    return new Promise<void>((resolve, reject) => {
      this.client.on("connect", () => resolve());
      this.client.on("error", (error: Error) => reject(error));
    });
  }
}

/** A fake, by hand, with what 0.3.2 declares. */
const fake: Message = {
  getSubject: () => "orders",
  getSequence: () => 1,
  getRawData: () => Buffer.from("{}"),
  getData: () => "{}",
  getTimestampRaw: () => 0,
  getTimestamp: () => new Date(0),
  isRedelivered: () => false,
  getCrc32: () => 0,
  ack() {},
};

/** Another one, with the types that 0.3.2 declares. */
class FakeMessage implements Message {
  constructor(private data: String | Buffer) {}
  getSubject(): string {
    return "orders";
  }
  getSequence(): number {
    return 1;
  }
  getRawData(): Buffer {
    return Buffer.from(this.data.toString());
  }
  getData(): String | Buffer {
    return this.data;
  }
  getTimestampRaw(): number {
    return 0;
  }
  getTimestamp(): Date {
    return new Date();
  }
  isRedelivered(): boolean {
    return false;
  }
  getCrc32(): number {
    return 0;
  }
  ack(): void {}
}

class FakeStan extends EventEmitter implements Stan {
  close(): void {}
  publish(_subject: string, _data?: Uint8Array | string | Buffer, callback?: AckHandlerCallback): string {
    callback?.(undefined, "guid");
    return "guid";
  }
  subscribe(subject: string, opts?: SubscriptionOptions): Subscription;
  subscribe(subject: string, qGroup: string, opts?: SubscriptionOptions): Subscription;
  subscribe(): Subscription {
    return new FakeSubscription();
  }
  subscriptionOptions(): SubscriptionOptions {
    return all.NewSubscriptionOptions();
  }
}

/** Options of the application, beside those of the client, and what it reads of them. */
interface Settings extends StanOptions {
  pingInterval: number;
  retries: number;
}
const settings: Settings = { pingInterval: 5, retries: 1, name: "billing", noRandomize: true, encoding: "binary" };
const intervals: (number | undefined)[] = [options.pingInterval, options.maxPingOut, options.yieldTime];
const flags: (boolean | undefined)[] = [options.verbose, options.pedantic, options.useOldRequestStyle];

class FakeSubscription extends EventEmitter {
  isClosed(): boolean {
    return false;
  }
  unsubscribe(): void {}
  close(): void {}
}

const callback: AckHandlerCallback = (error, guid) => void (error === undefined ? guid : error.message);

export function main(): EventEmitter {
  const stan = connect("test-cluster", "one", { ...options, tls });
  const guid: string = stan.publish("orders", Buffer.from("one"), callback);
  stan.publish("orders", new Uint8Array(1));
  stan.publish("orders");
  const start: StartPosition = StartPosition.FIRST;
  const subscription: Subscription = new FakeSubscription();
  stan
    .subscribe("orders", all.NewSubscriptionOptions().setStartAt(start).setMaxInFlight(1))
    .once("ready", () => stan.close());
  all.connect("test-cluster", guid, "nats://127.0.0.1:4222");
  all.connect("test-cluster", all.version, 4222);
  const fakes: [Stan, Message[]] = [new FakeStan(), [fake, new FakeMessage("{}")]];
  return [fakes, subscription, Listener, Wrapper, settings, intervals, flags].length > 0 ? stan : subscription;
}
