import { expect } from "vitest";
import type { Delivery } from "../../src/core-nats/delivery.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import { Parser } from "../../src/core-nats/parser.ts";
import type { Operations } from "../../src/core-nats/parser.ts";
import { latin1 } from "./bytes.ts";

/** What a delivery says. */
export interface Received {
  sid: number;
  subject: string;
  reply: string;
  status: number;
  headers: string;
  /** The header named "Key". */
  key?: string | undefined;
  payload: string;
}

/** One call of `Operations`, with what it was told. */
export type Operation = ["info" | "error", string] | ["message", Received] | ["ping" | "pong" | "ok" | "failed"];

/** How it is parsed. */
export interface ParserOptions {
  maxPayload?: number;
}

/** Bytes of text of which each character is one byte. */
export function binary(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Operations that note what they are told. */
export function collector(into: Operation[]): Operations {
  return {
    info: (json) => into.push(["info", json]),
    message: (delivery) => into.push(["message", received(delivery)]),
    ping: () => into.push(["ping"]),
    pong: () => into.push(["pong"]),
    ok: () => into.push(["ok"]),
    error: (text) => into.push(["error", text]),
  };
}

function received(delivery: Delivery): Received {
  return {
    sid: delivery.sid,
    subject: delivery.subject(),
    reply: delivery.reply(),
    status: delivery.status,
    headers: latin1(delivery.bytes.subarray(delivery.headerStart, delivery.start)),
    key: delivery.header("Key"),
    payload: latin1(delivery.bytes.subarray(delivery.start, delivery.end)),
  };
}

/** What came of parsing. */
export interface Outcome {
  operations: Operation[];
  /** The reason of the NatsError that ended it. */
  failure: string | undefined;
}

/** Parses pieces that end at the given places. Each is overwritten once parsed, so none may be needed any more. */
export function outcome(stream: Uint8Array, ends: Iterable<number>, options: ParserOptions = {}): Outcome {
  const operations: Operation[] = [];
  const parser = new Parser(collector(operations));
  if (options.maxPayload !== undefined) parser.maxPayload = options.maxPayload;
  let start = 0;
  try {
    for (const end of [...ends, stream.length]) {
      const chunk = stream.slice(start, end);
      const parsed = parser.parse(chunk);
      if (parsed !== chunk.length) throw new Error(`${parsed} of ${chunk.length} bytes parsed`);
      chunk.fill(0x21);
      start = end;
    }
  } catch (error) {
    if (!(error instanceof NatsError) || error.code !== "PROTOCOL") throw error;
    return { operations, failure: error.reason };
  }
  return { operations, failure: undefined };
}

/** The operations in text that makes sense. */
export function operationsIn(text: string, options: ParserOptions = {}): Operation[] {
  const { operations, failure } = outcome(binary(text), [], options);
  expect(failure).toBeUndefined();
  return operations;
}

/** Why text makes no sense. It is the same, byte by byte. */
export function failureIn(text: string, options: ParserOptions = {}): string {
  const whole = outcome(binary(text), [], options);
  const byteByByte = outcome(binary(text), everyByte(text.length), options);
  expect(byteByByte).toEqual(whole);
  return whole.failure ?? "none";
}

/** Ends of pieces of one byte. */
export function* everyByte(length: number): Generator<number> {
  for (let end = 1; end < length; end++) yield end;
}

/** Ends of pieces of one size. */
export function* every(size: number, length: number): Generator<number> {
  for (let end = size; end < length; end += size) yield end;
}

/** A message as an operation. */
export const message = (subject: string, sid: number, payload: string, more: Partial<Received> = {}): Operation => [
  "message",
  { sid, subject, reply: "", status: 0, headers: "", key: undefined, payload, ...more },
];
