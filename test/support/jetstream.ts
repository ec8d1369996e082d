import { onTestFinished } from "vitest";
import { Connection } from "../../src/core-nats/connection.ts";
import type { Delivery } from "../../src/core-nats/delivery.ts";
import { Lifetime } from "../../src/core-nats/lifetime.ts";
import { nuid } from "../../src/core-nats/nuid.ts";
import { Servers } from "../../src/core-nats/servers.ts";
import type { Client, Message } from "../../src/index.ts";
import { Received } from "./clients.ts";

// What JetStream has, read without the bridge's code.

/** A stream's state, as JetStream tells it. */
export interface StreamState {
  readonly messages: number;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly num_deleted?: number;
}

/** A message of a stream. */
export interface StreamMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  /** In base64. */
  readonly data: string;
}

/** A message that a consumer handed out. */
export interface Fetched {
  readonly sequence: number;
  readonly deliveries: number;
}

/** A connection to a JetStream, by which tests ask it, and do to streams what no bridge does. */
export class JetStream {
  readonly connection: Connection;

  private constructor(connection: Connection) {
    this.connection = connection;
  }

  /** Connects. The connection ends with the test. */
  static async open(url: string): Promise<JetStream> {
    const [server] = new Servers(url, false).round();
    const options = {
      name: "a-test",
      credentials: server!.credentials,
      tls: undefined,
      timeout: 10_000,
      pingInterval: 60_000,
      pingMaxOut: 2,
      inboxPrefix: "_INBOX",
      largestAnswer: 96 * 1024 * 1024,
      problem: () => {},
      informed: () => {},
    };
    const connection = await Connection.open(server!, options, new Lifetime());
    onTestFinished(() => connection.close());
    return new JetStream(connection);
  }

  /** The answer of the API, or of anything else that answers in JSON. An error is an answer, too. */
  async ask<T>(subject: string, body?: object): Promise<T> {
    const payload = new TextEncoder().encode(body === undefined ? "" : JSON.stringify(body));
    return this.connection.request(subject, payload, 10_000, (bytes, start, end) => {
      return JSON.parse(new TextDecoder().decode(bytes.subarray(start, end))) as T;
    });
  }

  /** Stores a message, and resolves once the stream has it. */
  async store(subject: string, headers: Uint8Array, data: Uint8Array): Promise<void> {
    const { connection } = this;
    const inbox = `_INBOX.${nuid()}`;
    await new Promise<void>((resolve, reject) => {
      const sid = connection.subscribe(inbox, {
        deliver: ({ bytes, start, end }) => {
          connection.unsubscribe(sid);
          const text = new TextDecoder().decode(bytes.subarray(start, end));
          if (text.includes('"seq"') && !text.includes('"error"')) resolve();
          else reject(new Error(`${subject}: ${text}`));
        },
        denied: reject,
      });
      connection.publishWithHeaders(subject, headers, data, inbox);
    });
  }

  async state(stream: string): Promise<StreamState> {
    return (await this.ask<{ state: StreamState }>(`$JS.API.STREAM.INFO.${stream}`)).state;
  }

  async config(stream: string): Promise<Record<string, unknown>> {
    return (await this.ask<{ config: Record<string, unknown> }>(`$JS.API.STREAM.INFO.${stream}`)).config;
  }

  /** The message of a number, or undefined. */
  async message(stream: string, seq: number): Promise<StreamMessage | undefined> {
    interface Answer {
      readonly message?: { subject: string; seq: number; hdrs?: string; data?: string };
      readonly error?: { err_code: number };
    }
    const { message, error } = await this.ask<Answer>(`$JS.API.STREAM.MSG.GET.${stream}`, { seq });
    if (message === undefined) {
      if (error?.err_code === 10_037) return undefined;
      throw new Error(`${stream} ${seq}: ${JSON.stringify(error)}`);
    }
    const block = Uint8Array.from(atob(message.hdrs ?? ""), (character) => character.charCodeAt(0));
    const lines = new TextDecoder().decode(block).split("\r\n").slice(1, -2);
    const headers = lines.map((line) => /^([^:]*): (.*)$/.exec(line)!.slice(1));
    const { subject, seq: sequence, data = "" } = message;
    return { sequence, subject, headers: Object.fromEntries(headers) as Record<string, string>, data };
  }

  /** What a consumer hands out now. It stays unacknowledged, but for what `acks` says. */
  async fetch(
    stream: string,
    consumer: string,
    batch = 5_000,
    acks = (_: Fetched): boolean => false,
  ): Promise<Fetched[]> {
    const { connection } = this;
    const inbox = `_INBOX.${nuid()}`;
    const found: Fetched[] = [];
    await new Promise<void>((resolve, reject) => {
      const deliver = (delivery: Delivery): void => {
        if (delivery.status !== 0) return resolve();
        const reply = delivery.reply();
        const tokens = reply.split(".");
        const one = { sequence: Number(tokens[5]), deliveries: Number(tokens[4]) };
        found.push(one);
        if (acks(one)) connection.publish(reply, new TextEncoder().encode("+ACK"));
        if (found.length === batch) resolve();
      };
      const sid = connection.subscribe(inbox, { deliver, denied: reject });
      const ask = new TextEncoder().encode(JSON.stringify({ batch, no_wait: true }));
      connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, ask, inbox);
      onTestFinished(() => connection.unsubscribe(sid));
    });
    await connection.flush();
    return found;
  }

  /** All messages of a stream that it has from a number on. */
  async messages(stream: string, from = 1): Promise<StreamMessage[]> {
    const { first_seq, last_seq } = await this.state(stream);
    const found: StreamMessage[] = [];
    for (let start = Math.max(first_seq, from); start <= last_seq; start += 500) {
      const length = Math.min(500, last_seq - start + 1);
      const page = await Promise.all(Array.from({ length }, (_, i) => this.message(stream, start + i)));
      found.push(...page.filter((message) => message !== undefined));
    }
    return found;
  }
}

/** A message of a channel as its copy in a stream must be, but for the header of the expected sequence. */
export function copyOf({ sequence, subject, timestamp, reply, data }: Message): StreamMessage {
  const time = new Date(Number(timestamp / 1_000_000n)).toISOString().slice(0, -1);
  const headers = {
    "Nats-Streaming-Sequence": String(sequence),
    "Nats-Streaming-Timestamp": `${time}${String(timestamp % 1_000_000n).padStart(6, "0")}Z`,
    ...(reply === "" ? {} : { "Nats-Streaming-Reply": reply }),
  };
  return { sequence, subject, headers, data: Buffer.from(data).toString("base64") };
}

/** Messages of a stream without the headers that say how they were stored. */
export function asCopies(messages: readonly StreamMessage[]): StreamMessage[] {
  return messages.map(({ headers, ...message }) => {
    const rest = Object.entries(headers).filter(([name]) => name.startsWith("Nats-Streaming-"));
    return { ...message, headers: Object.fromEntries(rest) };
  });
}

/** All that a channel has, as copies must be, read until the message with the last number. */
export async function copiesOf(client: Client, channel: string, last: number): Promise<StreamMessage[]> {
  const received = new Received();
  const end = new Promise<void>((resolve) => {
    void client.subscribe(
      channel,
      (message) => {
        received.handler(message);
        if (message.sequence >= last) resolve();
      },
      { startAt: "first", maxInFlight: 10_000 },
    );
  });
  await end;
  return received.all.map(copyOf);
}
