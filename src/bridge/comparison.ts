import { clearTimeout, elapsed, setTimeout } from "../core-nats/clock.ts";
import { readHeader } from "../core-nats/headers.ts";
import type { Client, Message, Messages } from "../index.ts";
import type { MonitoredChannel } from "../monitoring/monitor.ts";
import { headerOf, parseRfc3339, REPLY, rfc3339, SEQUENCE, TIMESTAMP } from "./copied-message.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import { look } from "./look.ts";
import type { Pulled } from "./pull.ts";
import { StreamReader } from "./stream-reader.ts";
import { openedOf, phaseOf } from "./stream.ts";
import type { Phase, Route } from "./stream.ts";

/** How many messages of the channel wait for those of the stream, and about how many bytes. */
const MOST_WAITING = 2_048;
const MOST_WAITING_BYTES = 16 * 1024 * 1024;
/** The time between two reports of progress, and between two questions for the same, in milliseconds. */
const CALM = 1_000;
/** How many differences are named. All are counted. */
const MOST_NAMED = 1_000;

/**
 * A difference between a channel and its stream, in the messages of the channel's numbers `first` to `last`.
 *
 * - `data`, `time`, `reply`: both have the message, with other bytes, another time or another reply
 * - `missing`: only the channel has it
 * - `extra`: only the stream has it, although the channel has older ones
 * - `again`: the stream has it a second time
 * - `foreign`: the stream's message of the number is no copy, although only the bridge may write
 */
export interface Difference {
  readonly what: "data" | "time" | "reply" | "missing" | "extra" | "again" | "foreign";
  readonly first: number;
  readonly last: number;
}

/** How far the comparison of a channel is, and what it has found. */
export interface Compared {
  readonly channel: string;
  readonly stream: string;
  readonly phase?: Phase | undefined;
  /** How many messages both sides have, and the bytes of their payloads. */
  readonly compared: number;
  readonly bytes: number;
  /** All up to this number was compared. `end` was the channel's last number at the beginning. */
  readonly last: number;
  readonly end: number;
  /** How many numbers the channel has behind those that are copied. */
  readonly notCopied: number;
  /** How many messages only the stream has, since the channel's limits have removed them. */
  readonly goneFromChannel: number;
  /** How many messages only the channel has, since the stream's `maxAge` has removed them. */
  readonly goneFromStream: number;
  /** How many messages of the stream are producers' own. */
  readonly direct: number;
  /** How many messages differ. The first ones are in `list`. */
  readonly differences: number;
  readonly list: readonly Difference[];
}

/** @internal Compares a channel with its stream, by reading both in order, side by side. */
export class Comparison {
  readonly #ends: Ends;
  readonly #client: Client;
  readonly #route: Route;
  readonly #from: number;
  readonly #onProgress: ((progress: Compared) => void) | undefined;
  #phase: Phase | undefined;
  /** The last number of the mirror. */
  #opened = Infinity;
  #end = 0;
  /** The last number that was compared, and the first and last one that the stream had. */
  #last: number;
  #firstCopied = Infinity;
  #lastCopied: number;
  readonly #counts = { compared: 0, bytes: 0, goneFromChannel: 0, goneFromStream: 0, direct: 0, differences: 0 };
  readonly #list: { what: Difference["what"]; first: number; last: number }[] = [];
  /** The oldest numbers that both have, as they were some time ago. */
  #kept = { channel: 0, stream: 0, at: -Infinity };

  constructor(ends: Ends, client: Client, route: Route, from: number, onProgress?: (progress: Compared) => void) {
    this.#ends = ends;
    this.#client = client;
    this.#route = route;
    this.#from = from;
    this.#last = this.#lastCopied = from - 1;
    this.#onProgress = onProgress;
  }

  found(): Compared {
    const { channel, stream } = this.#route;
    const list = this.#list.map((each) => ({ ...each }));
    const notCopied = Math.max(0, this.#end - Math.max(this.#lastCopied, this.#from - 1));
    return { channel, stream, phase: this.#phase, last: this.#last, end: this.#end, notCopied, ...this.#counts, list };
  }

  /** Resolves when all is compared. Rejects with a `BridgeError`, or with the error of one side. */
  async run(): Promise<void> {
    const { target, ending, settings } = this.#ends;
    const { channel, stream, subject } = this.#route;
    const info = await target.stream(stream);
    if (info === undefined) {
      throw new BridgeError("NOT_LEVEL", channel, `there is no stream ${stream}`, "Copy the channel first.");
    }
    this.#phase = phaseOf(info.config, this.#route, settings);
    const isMirror = this.#phase === "mirror";
    if (!isMirror) this.#opened = openedOf(info.config);
    const to = info.state.last_seq;
    const range = { stream, subject, from: Math.min(this.#from, this.#opened + 1), to };
    const reader = new StreamReader(target, range, ending);
    // Only now: all that the stream has the channel must have had.
    const page = await this.#page();
    this.#end = page?.last_seq ?? (await look(this.#client, channel, "lastReceived", ending))?.sequence ?? 0;
    const end = isMirror ? Math.min(this.#end, to) : this.#end;
    if (end >= this.#from) {
      const size = page === undefined ? 0 : page.bytes / Math.max(1, page.msgs);
      const maxInFlight = Math.ceil(Math.min(MOST_WAITING, MOST_WAITING_BYTES / Math.max(1, size)));
      const messages = await this.#client.messages(channel, { startAt: { sequence: this.#from }, maxInFlight });
      const stop = this.#watch(messages);
      for await (const message of messages) {
        if (message.sequence > end || !(await this.#compare(message, reader)) || message.sequence === end) break;
      }
      stop();
    }
    await this.#passTo(Infinity, reader);
    if (isMirror) this.#lastCopied = Math.max(this.#lastCopied, to);
  }

  /** Tells of the progress, and ends the messages when the channel has no more: they may be gone by its limits. */
  #watch(messages: Messages): () => void {
    let seen = -1;
    let timer: Timer | undefined;
    const tick = async (): Promise<void> => {
      this.#onProgress?.(this.found());
      if (seen === this.#last && (await this.#isOver())) void messages.return();
      seen = this.#last;
      if (timer !== undefined) timer = setTimeout(tick, CALM);
    };
    timer = setTimeout(tick, CALM);
    return () => {
      clearTimeout(timer);
      timer = undefined;
    };
  }

  async #isOver(): Promise<boolean> {
    const { monitor, ending } = this.#ends;
    const { channel } = this.#route;
    try {
      const page = await monitor?.channel(channel);
      if (page !== undefined) return page.msgs === 0 || page.last_seq <= this.#last;
      return (await look(this.#client, channel, { sequence: this.#last + 1 }, ending)) === undefined;
    } catch {
      // Nobody knows. It is asked again.
      return false;
    }
  }

  /** Resolves with false if the stream has no more, and need not have. */
  async #compare(message: Message, reader: StreamReader): Promise<boolean> {
    const { sequence } = message;
    if (sequence <= this.#last) {
      const remedy = "Compare it once more; if it has begun anew, the numbers of the stream are those of the old one.";
      throw new BridgeError("CHANNEL_REPLACED", message.subject, "the channel begins anew", remedy);
    }
    const stored = await this.#passTo(sequence, reader);
    if (stored !== undefined && this.#numberOf(stored) === sequence) {
      this.#compareBoth(message, stored);
      reader.shift();
    } else if (stored === undefined && this.#phase !== "mirror") return false;
    else if (await this.#isGone(sequence, "stream")) this.#counts.goneFromStream++;
    else this.#differs("missing", sequence);
    this.#last = sequence;
    return true;
  }

  /** Passes what only the stream has, up to a number. Resolves with what comes then. */
  async #passTo(sequence: number, reader: StreamReader): Promise<Pulled | undefined> {
    for (;;) {
      const stored = reader.head ?? (await reader.read());
      if (stored === undefined) return undefined;
      const number = this.#numberOf(stored);
      if (number !== undefined && number >= sequence) return stored;
      reader.shift();
      if (number === undefined) this.#counts.direct++;
      else if (number <= this.#lastCopied) this.#differs("again", number);
      else if (number >= this.#from) {
        if (await this.#isGone(number, "channel")) this.#counts.goneFromChannel++;
        else this.#differs("extra", number);
        this.#has(number);
      }
    }
  }

  /** The number in the channel of what the stream has, or undefined if it is no copy. */
  #numberOf({ sequence, headers }: Pulled): number | undefined {
    if (sequence <= this.#opened) return sequence;
    const header = headers && readHeader(headers, 0, headers.length, SEQUENCE);
    return header === undefined ? undefined : Number(header);
  }

  #compareBoth({ sequence, data, timestamp, reply }: Message, { headers, data: copy }: Pulled): void {
    const header = (name: string): string => (headers && readHeader(headers, 0, headers.length, name)) ?? "";
    const time = header(TIMESTAMP);
    if (header(SEQUENCE) !== String(sequence)) this.#differs("foreign", sequence);
    else if (!isEqual(data, copy)) this.#differs("data", sequence);
    else if (time !== rfc3339(timestamp) && parseRfc3339(time) !== timestamp) this.#differs("time", sequence);
    else if (header(REPLY) !== headerOf(reply)) this.#differs("reply", sequence);
    this.#counts.compared++;
    this.#counts.bytes += data.length;
    this.#has(sequence);
  }

  #has(number: number): void {
    this.#firstCopied = Math.min(this.#firstCopied, number);
    this.#lastCopied = number;
  }

  #differs(what: Difference["what"], number: number): void {
    this.#counts.differences++;
    const latest = this.#list.at(-1);
    if (latest?.what === what && latest.last === number - 1) latest.last = number;
    else if (this.#list.length < MOST_NAMED) this.#list.push({ what, first: number, last: number });
  }

  /** Whether a limit has removed it. The oldest numbers are asked for again now and then: they move. */
  async #isGone(number: number, side: "channel" | "stream"): Promise<boolean> {
    if (number >= this.#kept[side] && elapsed() - this.#kept.at > CALM) {
      this.#kept = { channel: await this.#oldestOfChannel(), stream: await this.#oldestOfStream(), at: elapsed() };
    }
    return number < this.#kept[side];
  }

  async #oldestOfChannel(): Promise<number> {
    const page = await this.#page();
    if (page !== undefined) return page.msgs === 0 ? page.last_seq + 1 : page.first_seq;
    return (await look(this.#client, this.#route.channel, "first", this.#ends.ending))?.sequence ?? Infinity;
  }

  async #oldestOfStream(): Promise<number> {
    const info = await this.#ends.target.stream(this.#route.stream);
    const { max_age = 0 } = info?.config ?? {};
    const first = info?.state.first_seq ?? 0;
    return max_age === 0 ? 0 : first <= this.#opened ? first : this.#firstCopied;
  }

  async #page(): Promise<MonitoredChannel | undefined> {
    const { monitor } = this.#ends;
    const { channel } = this.#route;
    const page = await monitor?.channel(channel);
    if (page !== undefined || monitor === undefined) return page;
    throw new BridgeError("UNKNOWN_CHANNEL", channel, "the streaming server has no such channel", "Check its name.");
  }
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}
