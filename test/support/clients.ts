import { onTestFinished } from "vitest";
import { type Client, connect, type ConnectOptions, type Message, type Status } from "../../src/index.ts";
import { StreamingServer, type StreamingServerOptions } from "../../src/testing/server.ts";
import { Proxy } from "./proxy.ts";
import { until } from "./until.ts";

let names = 0;

/** A name that nothing else in this run has: for client IDs, channels, durables and groups. */
export function fresh(kind: string): string {
  return `${kind}-${process.pid}-${++names}`;
}

/** What a client can connect to: a server, or a proxy in front of one. */
export interface Target {
  readonly url: string;
  /** By default "test-cluster". */
  readonly clusterId?: string;
}

/** The options that connect to a target with a client ID of its own, at once after an outage, and notify nobody. */
export function optionsFor(target: Target, options: Partial<ConnectOptions> = {}): ConnectOptions {
  return {
    clusterId: target.clusterId ?? "test-cluster",
    clientId: fresh("client"),
    servers: target.url,
    reconnectDelay: () => 20,
    onStatus: () => undefined,
    ...options,
  };
}

/** Connects a client, which is closed when the test ends. */
export async function open(target: Target, options: Partial<ConnectOptions> = {}): Promise<Client> {
  const client = await connect(optionsFor(target, options));
  onTestFinished(() => client.close());
  return client;
}

/** A server in this process, which is stopped when the test ends. */
export async function embedded(options?: StreamingServerOptions): Promise<StreamingServer> {
  const server = await StreamingServer.start(options);
  onTestFinished(() => server.stop());
  return server;
}

/** A proxy in front of a server, which is stopped when the test ends. */
export async function proxyTo(server: { readonly port: number }): Promise<Proxy> {
  const proxy = await Proxy.start(server.port);
  onTestFinished(() => proxy.stop());
  return proxy;
}

/** Statuses as they are told, in order. */
export class Statuses {
  readonly all: Status[] = [];
  readonly onStatus = (status: Status): void => void this.all.push(status);

  get types(): string[] {
    return this.all.map((status) => status.type);
  }

  of<T extends Status["type"]>(type: T): Extract<Status, { type: T }>[] {
    return this.all.filter((status): status is Extract<Status, { type: T }> => status.type === type);
  }

  /** Waits until so many of a type have been told. */
  async until<T extends Status["type"]>(type: T, count = 1): Promise<Extract<Status, { type: T }>[]> {
    await until(`${count} times "${type}" is told`, () => this.of(type).length >= count);
    return this.of(type);
  }
}

/** Received messages: a handler that keeps them. */
export class Received {
  readonly all: Message[] = [];
  readonly handler = (message: Message): void => void this.all.push(message);

  get sequences(): number[] {
    return this.all.map((message) => message.sequence);
  }

  get texts(): string[] {
    return this.all.map((message) => message.text());
  }

  /** Waits until there are so many, and returns them all. */
  async until(count: number): Promise<Message[]> {
    await until(`${count} messages are received`, () => this.all.length >= count);
    return this.all;
  }
}

/** Publishes texts one after another, and resolves when all are stored, in this order. */
export async function publishAll(client: Client, channel: string, texts: Iterable<string>): Promise<void> {
  for (const text of texts) await client.publish(channel, text);
}

/** All messages that a channel holds, read by a subscription of their own that leaves nothing behind. */
export async function read(client: Client, channel: string, count: number): Promise<Message[]> {
  const received = new Received();
  const subscription = await client.subscribe(channel, received.handler, { startAt: "first" });
  await received.until(count);
  await subscription.close();
  return received.all;
}

/** The numbers from `first` to `last`. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
