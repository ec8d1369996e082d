import type { Connection } from "../../src/core-nats/connection.ts";
import type { Delivery } from "../../src/core-nats/delivery.ts";
import { Link } from "../../src/core-nats/link.ts";
import { nuid } from "../../src/core-nats/nuid.ts";
import { type Client, connect } from "../../src/index.ts";
import { until } from "../support/until.ts";

// Reads both sides without the bridge's code, and compares them.

/** A message of either side, as far as both must agree. */
export interface Original {
  readonly sequence: number;
  /** Nanoseconds since 1970. */
  readonly time: bigint;
  readonly reply: string;
  readonly data: Uint8Array;
}

/** A message of a stream. */
export interface Stored {
  readonly sequence: number;
  readonly subject: string;
  /** What its headers say of the original, or undefined if it has none: it is a producer's own. */
  readonly original: Original | undefined;
  readonly data: Uint8Array;
}

/** How a stream differs from its channel, and how many messages were on both sides. */
export interface Comparison {
  readonly messages: number;
  readonly differences: readonly string[];
}

/** All messages that a channel has. */
export async function readChannel(servers: string | readonly string[], channel: string): Promise<Original[]> {
  const client = await connect({
    ...{
      clusterId: "test-cluster",
      clientId: `oracle-${nuid()}`,
      servers,
      onStatus: () => undefined,
      waitOnFirstConnect: true,
    },
  });
  try {
    const last = await lastOf(client, channel);
    const found: Original[] = [];
    const subscription = await client.subscribe(
      channel,
      ({ sequence, timestamp, reply, data }) => {
        if (sequence === (found.at(-1)?.sequence ?? 0) + 1 || found.length === 0 || sequence > found.at(-1)!.sequence) {
          found.push({ sequence, time: timestamp, reply, data });
        }
      },
      { startAt: "first", maxInFlight: 16_384 },
    );
    await until(`${channel} is read`, () => last === 0 || (found.at(-1)?.sequence ?? 0) >= last, 60_000);
    await subscription.close();
    return found;
  } finally {
    await client.close();
  }
}

async function lastOf(client: Client, channel: string): Promise<number> {
  let last = 0;
  const options = { startAt: "lastReceived", maxInFlight: 1 } as const;
  const subscription = await client.subscribe(channel, (message) => void (last = message.sequence), options);
  await until("the last message came", () => last > 0, 5_000).catch(() => undefined);
  await subscription.close();
  return last;
}

/** The JetStream of a target, by plain requests. */
export class Target {
  readonly #link: Link;

  constructor(servers: string | readonly string[]) {
    this.#link = new Link({
      ...{ servers, auth: undefined, tls: undefined, inboxPrefix: "_INBOX", name: "oracle" },
      ...{ connectTimeout: 2_000, pingInterval: 2_000, pingMaxOut: 2 },
    });
  }

  connection(): Promise<Connection> {
    return this.#link.connection();
  }

  /** The answer of a request, which is made again while nobody answers. */
  async ask<T>(subject: string, body?: object): Promise<T> {
    const payload = new TextEncoder().encode(body === undefined ? "" : JSON.stringify(body));
    return await until(
      `${subject} is answered`,
      async () => {
        try {
          const connection = await this.connection();
          const answer = await connection.request(subject, payload, 2_000, (bytes, start, end) => {
            return JSON.parse(new TextDecoder().decode(bytes.subarray(start, end))) as T & { error?: { code: number } };
          });
          return answer.error?.code === 503 ? undefined : answer;
        } catch {
          return undefined;
        }
      },
      60_000,
    );
  }

  /** Undefined while there is no such stream. */
  async state(stream: string): Promise<{ first_seq: number; last_seq: number; messages: number } | undefined> {
    interface Answer {
      readonly state?: { first_seq: number; last_seq: number; messages: number };
    }
    return (await this.ask<Answer>(`$JS.API.STREAM.INFO.${stream}`)).state;
  }

  /** The member of the cluster that leads a stream, by its name. */
  async leader(stream: string): Promise<string | undefined> {
    return (await this.ask<{ cluster?: { leader?: string } }>(`$JS.API.STREAM.INFO.${stream}`)).cluster?.leader;
  }

  /** All messages that a stream has. */
  async read(stream: string): Promise<Stored[]> {
    const state = await this.state(stream);
    const found: Stored[] = [];
    if (state === undefined || state.messages === 0) return found;
    const connection = await this.connection();
    const config = { ack_policy: "none", deliver_policy: "all", mem_storage: true, inactive_threshold: 60_000_000_000 };
    const { name } = await this.ask<{ name: string }>(`$JS.API.CONSUMER.CREATE.${stream}`, {
      stream_name: stream,
      config,
    });
    while (found.length < state.messages) {
      const before = found.length;
      await this.#fetch(connection, `$JS.API.CONSUMER.MSG.NEXT.${stream}.${name}`, found);
      if (found.length === before) throw new Error(`${stream}: ${before} of ${state.messages} messages come`);
    }
    return found;
  }

  #fetch(connection: Connection, subject: string, found: Stored[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const inbox = `_INBOX.${nuid()}`;
      let count = 0;
      const finish = (error?: unknown): void => {
        connection.unsubscribe(sid);
        clearTimeout(timer);
        if (error === undefined) resolve();
        else reject(error);
      };
      const timer = setTimeout(finish, 10_000);
      const sid = connection.subscribe(inbox, {
        deliver: (delivery) => {
          if (delivery.status !== 0) return finish();
          found.push(storedOf(delivery));
          if (++count === 1_000) finish();
        },
        denied: finish,
      });
      connection.publish(subject, new TextEncoder().encode(JSON.stringify({ batch: 1_000, expires: 2e9 })), inbox);
    });
  }

  close(): void {
    this.#link.close();
  }
}

function storedOf(delivery: Delivery): Stored {
  const { bytes, headerStart, start, end } = delivery;
  const lines = new TextDecoder().decode(bytes.subarray(headerStart, start)).split("\r\n");
  const header = (name: string): string | undefined => {
    return lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  };
  const data = bytes.slice(start, end);
  const tokens = delivery.reply().split(".");
  const number = header("Nats-Streaming-Sequence");
  const time = header("Nats-Streaming-Timestamp") ?? "";
  const [seconds, fraction] = time.replace("Z", "").split(".");
  const original =
    number === undefined
      ? undefined
      : {
          ...{ sequence: Number(number), reply: header("Nats-Streaming-Reply") ?? "", data },
          time: BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt((fraction ?? "").padEnd(9, "0")),
        };
  return { sequence: Number(tokens[5]), subject: delivery.subject(), original, data };
}

/** Compares a channel with its mirror. What the channel has lost since must be before all that it still has. */
export function compareMirror(channel: string, have: readonly Original[], stored: readonly Stored[]): Comparison {
  const differences: string[] = [];
  const copies = new Map(stored.map((one) => [one.sequence, one]));
  if (copies.size < stored.length) differences.push(`${channel}: a number is there twice`);
  for (const original of have) {
    const copy = copies.get(original.sequence);
    copies.delete(original.sequence);
    if (copy === undefined) differences.push(`${channel} ${original.sequence}: missing`);
    else if (copy.subject !== channel) differences.push(`${channel} ${original.sequence}: as ${copy.subject}`);
    else if (!isCopy(original, copy.original)) differences.push(`${channel} ${original.sequence}: not the same`);
  }
  const first = have[0]?.sequence ?? Infinity;
  for (const [sequence, { original }] of copies) {
    if (sequence >= first) differences.push(`${channel} ${sequence}: the channel has no such message`);
    else if (original?.sequence !== sequence) differences.push(`${channel} ${sequence}: no copy`);
  }
  return { messages: have.length, differences };
}

/** Compares a channel with a stream into which producers have written `direct`, too. */
export function compareMerged(
  channel: string,
  have: readonly Original[],
  stored: readonly Stored[],
  direct: { readonly acknowledged: ReadonlySet<string>; readonly sent: ReadonlySet<string> },
): Comparison {
  const copied = stored.flatMap(({ original }) => (original === undefined ? [] : [original]));
  const differences: string[] = [];
  for (let i = 0; i < Math.max(have.length, copied.length) && differences.length < 20; i++) {
    if (have[i] === undefined || !isCopy(have[i]!, copied[i])) {
      differences.push(`${channel}: copy ${i + 1} is ${copied[i]?.sequence}, and the channel has ${have[i]?.sequence}`);
      break;
    }
  }
  const decoder = new TextDecoder();
  const own = stored.filter(({ original }) => original === undefined).map(({ data }) => decoder.decode(data));
  if (new Set(own).size < own.length) differences.push(`${channel}: a producer's message is there twice`);
  for (const id of own) if (!direct.sent.has(id)) differences.push(`${channel}: nobody published ${id}`);
  const there = new Set(own);
  for (const id of direct.acknowledged) if (!there.has(id)) differences.push(`${channel}: ${id} is lost`);
  return { messages: have.length + own.length, differences };
}

function isCopy(one: Original, copy: Original | undefined): boolean {
  if (copy === undefined || copy.sequence !== one.sequence || copy.time !== one.time) return false;
  if (copy.reply !== one.reply || copy.data.length !== one.data.length) return false;
  for (let i = 0; i < one.data.length; i++) if (copy.data[i] !== one.data[i]) return false;
  return true;
}
