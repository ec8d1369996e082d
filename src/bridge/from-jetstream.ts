import { decodeText } from "../core-nats/text.ts";
import type { Message } from "../index.ts";
import { parseRfc3339, REPLY, SEQUENCE, TIMESTAMP } from "./copied-message.ts";

/** What {@link fromJetStream} needs of a message: the `JsMsg` of the package `@nats-io/jetstream` has it. */
export interface JetStreamMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly seq: number;
  readonly timestampNanos: bigint;
  readonly redelivered: boolean;
  readonly info: { readonly deliveryCount: number };
  readonly headers: { get(name: string): string } | undefined;
  ack(): void;
  nak(milliseconds?: number): void;
  term(reason?: string): void;
}

/**
 * A message of either server, for handlers that take both. A {@link Message} of this client is one; of a message from
 * JetStream the `sequence`, the `timestamp` and the `reply` are those that it had in the channel. If a producer has
 * published it to JetStream itself, they are those of the stream, and `reply` is "".
 */
export type BridgedMessage = Pick<
  Message,
  | "subject" | "data" | "reply" | "sequence" | "timestamp" | "time" | "redelivered" | "redeliveryCount"
  | "text" | "json" | "ack" | "nak" | "term"
>;

/**
 * Makes a message of this client's shape of one from JetStream, so that handlers stay as they are. `ack`, `nak` and
 * `term` do what JetStream's do, and return true: nothing says whether they arrive.
 *
 * @example
 * ```ts
 * for await (const message of await consumer.consume()) {
 *   await handle(fromJetStream(message));
 *   message.ack();
 * }
 * ```
 */
export function fromJetStream(message: JetStreamMessage): BridgedMessage {
  const { subject, data, seq, headers, redelivered, info } = message;
  const timestamp = parseRfc3339(headers?.get(TIMESTAMP) ?? "") ?? message.timestampNanos;
  const text = (): string => decodeText(data, 0, data.length);
  return {
    ...{ subject, data, redelivered, redeliveryCount: info.deliveryCount - 1 },
    ...{ sequence: Number(headers?.get(SEQUENCE)) || seq, reply: headers?.get(REPLY) ?? "" },
    ...{ timestamp, time: new Date(Number(timestamp / 1_000_000n)) },
    text,
    json: <T>() => JSON.parse(text()) as T,
    ack: () => (message.ack(), true),
    nak: (delay) => (message.nak(delay), true),
    term: (reason) => (message.term(reason), true),
  };
}
