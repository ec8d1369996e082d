import { CR, LF } from "../core-nats/text.ts";
import { textOf } from "../pb/wire.ts";

/** The most bytes of arguments in one line: the default of nats-server. */
const LONGEST_ARGUMENTS = 4096;

/** Ends a connection because of what the client sent. The message is the text of -ERR; "" sends none. */
export class Violation extends Error {}

/** Takes one operation: its verb in upper case, the rest of the line, and the payload, valid during the call only. */
export type Perform = (verb: string, rest: string, payload: Uint8Array) => void;

/**
 * Performs all operations that are whole, of the bytes that a NATS client sends. Returns how many bytes they took.
 * Throws a `Violation` at bytes for which the server ends the connection.
 */
export function parse(bytes: Uint8Array, maxPayload: number, perform: Perform): number {
  for (let start = 0; ; ) {
    const newline = bytes.indexOf(LF, start);
    const length = (newline < 0 ? bytes.length : newline) - start;
    if (length > 2 * LONGEST_ARGUMENTS) throw new Violation("maximum control line exceeded");
    if (newline < 0) return start;
    const line = textOf(bytes, start, newline).trimEnd();
    const verb = /^[A-Za-z+-]*/.exec(line)![0].toUpperCase();
    const rest = line.slice(verb.length);
    if (rest.length > LONGEST_ARGUMENTS + 1) throw new Violation("maximum control line exceeded");
    const size = verb === "PUB" ? digits(words(rest, 2, 3).at(-1)!) : 0;
    if (size > maxPayload) throw new Violation("Maximum Payload Violation");
    const end = newline + 1 + size;
    const next = verb === "PUB" ? end + 2 : end;
    if (next > bytes.length) return start;
    if (verb === "PUB" && (bytes[end] !== CR || bytes[end + 1] !== LF)) {
      throw new Violation("Unknown Protocol Operation");
    }
    perform(verb, rest, bytes.subarray(newline + 1, end));
    start = next;
  }
}

/** Returns the words of the rest of a line. */
export function words(rest: string, least: number, most: number): string[] {
  const [before, ...all] = rest.split(/[ \t]+/);
  if (before !== "" || all.length === 0) throw new Violation("Unknown Protocol Operation");
  if (all.length < least || all.length > most) throw new Violation("");
  return all;
}

/** Reads a number in a line. */
export function digits(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Violation("");
  return Number(text);
}

/** Reads the fields of CONNECT. */
export function json(rest: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(rest)) as Record<string, unknown>;
  } catch {
    throw new Violation("");
  }
}
