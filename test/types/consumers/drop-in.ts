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
  return [fake, subscription, Listener, Wrapper].length > 0 ? stan : subscription;
}
