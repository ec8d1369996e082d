import { deferred, settledWithin } from "../core-nats/async.ts";
import { elapsed } from "../core-nats/clock.ts";
import { readHeader } from "../core-nats/headers.ts";
import { Lifetime } from "../core-nats/lifetime.ts";
import type { Client, Message } from "../index.ts";
import type { MonitoredChannel } from "../monitoring/monitor.ts";
import { headerOf, parseRfc3339, REPLY, rfc3339, SEQUENCE, TIMESTAMP } from "./copied-message.ts";
import { pageOf } from "./durable-position.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import { look } from "./look.ts";
import type { Pulled } from "./pull.ts";
import { readStream } from "./read-stream.ts";
import { copyIn, openedOf } from "./stream.ts";
import type { Phase, Route } from "./stream.ts";
import type { StreamInfo } from "./target.ts";

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
  /** How many numbers the channel has behind those that are copied. Known at the end. */
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

type Changing<T> = { -readonly [Field in keyof T]: T[Field] };
type Finding = Changing<Omit<Compared, "list">> & { readonly list: Changing<Difference>[] };

/** @internal Compares a channel with its stream, by reading both in order, side by side. */
export class Comparison {
  readonly found: Finding;
  readonly #ends: Ends;
  readonly #client: Client;
  readonly #route: Route;
  readonly #from: number;
  /** The mirror's last number. */
  #opened = Infinity;
  /** What was read of the stream, from `at` on, and what follows. */
  #batch: readonly Pulled[] = [];
  #at = 0;
  #batches: AsyncGenerator<readonly Pulled[], void> | undefined;
  /** The first and the last number of which the stream has a message. */
  #firstCopied = Infinity;
  #lastCopied: number;
  /** True while a message of the channel is compared. */
  #busy = false;
  /** The oldest numbers that both had when that was asked. */
  #oldest = { channel: 0, stream: 0 };
  #asked = -Infinity;

  constructor(ends: Ends, client: Client, route: Route, from: number) {
    const { channel, stream } = route;
    const gone = { goneFromChannel: 0, goneFromStream: 0 };
    const counts = { compared: 0, bytes: 0, notCopied: 0, ...gone, direct: 0, differences: 0 };
    this.found = { channel, stream, last: from - 1, end: 0, ...counts, list: [] };
    this.#ends = ends;
    this.#client = client;
    this.#route = route;
    this.#from = from;
    this.#lastCopied = from - 1;
  }

  /** Resolves when all is compared. Rejects with a `BridgeError`, or with the error of one side. */
  async run(onProgress: ((progress: Compared) => void) | undefined): Promise<void> {
    const { ending } = this.#ends;
    const { stream, subject, channel } = this.#route;
    const { phase, info } = await this.#copy();
    if (phase !== "mirror") this.#opened = openedOf(info.config);
    const to = info.state.last_seq;
    const from = Math.min(this.#from, this.#opened + 1);
    this.#batches = readStream(this.#ends, { stream, subject, from, to });
    // Only now: all that the stream has the channel must have had.
    const page = await this.#page();
    const last = page?.last_seq ?? (await look(this.#client, channel, "lastReceived", ending))?.sequence ?? 0;
    Object.assign(this.found, { phase, end: last });
    const end = phase === "mirror" ? Math.min(last, to) : last;
    const size = page === undefined ? 0 : page.bytes / Math.max(1, page.msgs);
    const maxInFlight = Math.ceil(Math.min(MOST_WAITING, MOST_WAITING_BYTES / Math.max(1, size)));
    if (end >= this.#from) await this.#compareUpTo(end, maxInFlight, onProgress);
    await this.#passTo(Infinity);
    this.found.notCopied = Math.max(0, last - Math.max(this.#lastCopied, phase === "mirror" ? to : 0));
  }

  /** Compares each message of the channel up to `end`, or to where it has no more: they may be gone by its limits. */
  async #compareUpTo(end: number, maxInFlight: number, onProgress = (_: Compared): void => {}): Promise<void> {
    const { found } = this;
    const over = deferred();
    const life = new Lifetime();
    const unacknowledged: Message[] = [];
    const handler = async (message: Message): Promise<void> => {
      if (life.aborted) return;
      // Many acks at once are one write.
      if (unacknowledged.push(message) >= maxInFlight / 4) for (const each of unacknowledged.splice(0)) each.ack();
      this.#busy = true;
      const goesOn = message.sequence <= end && (await this.#compare(message)) && message.sequence < end;
      this.#busy = false;
      if (goesOn) return;
      life.abort();
      over.resolve();
    };
    // In order, with a search of the channel for what seems to be missing.
    const options = { startAt: { sequence: this.#from }, manualAck: true, maxInFlight, concurrency: 1 };
    const take = (message: Message): Promise<void> => handler(message).catch(over.reject);
    const subscription = await this.#client.subscribe(this.#route.channel, take, options);
    void subscription.closed.then(over.reject);
    for (let seen = -1; !(await settledWithin(CALM, over.promise, this.#ends.ending)); seen = found.last) {
      this.#ends.check();
      onProgress({ ...found });
      const isIdle = (): boolean => !this.#busy && seen === found.last;
      if (isIdle() && (await this.#isEmptyBehind(seen).catch(() => false)) && isIdle()) over.resolve();
    }
    life.abort();
    await subscription.close();
    await over.promise;
  }

  /** Whether the channel has no message behind a number. */
  async #isEmptyBehind(sequence: number): Promise<boolean> {
    const page = await this.#page();
    if (page !== undefined) return page.msgs === 0 || page.last_seq <= sequence;
    return (await look(this.#client, this.#route.channel, { sequence: sequence + 1 }, this.#ends.ending)) === undefined;
  }

  /** Resolves with false if the stream has no more, and need not have. */
  async #compare(message: Message): Promise<boolean> {
    const { found } = this;
    const { sequence } = message;
    if (sequence <= found.last) {
      const remedy = "Compare it once more; if it has begun anew, the numbers of the stream are those of the old one.";
      throw new BridgeError("CHANNEL_REPLACED", found.channel, "the channel begins anew", remedy);
    }
    const stored = await this.#passTo(sequence);
    if (stored !== undefined && this.#numberOf(stored) === sequence) this.#compareBoth(message, stored);
    else if (stored === undefined && found.phase !== "mirror") return false;
    else if (await this.#isGone(sequence, "stream")) found.goneFromStream++;
    else this.#differs("missing", sequence);
    found.last = sequence;
    return true;
  }

  /** Passes what only the stream has, up to a number. Resolves with what comes then. */
  async #passTo(sequence: number): Promise<Pulled | undefined> {
    const { found } = this;
    for (;;) {
      const stored = this.#batch[this.#at];
      if (stored === undefined) {
        const { value } = await this.#batches!.next();
        if (value === undefined) return undefined;
        this.#batch = value;
        this.#at = 0;
        continue;
      }
      const number = this.#numberOf(stored);
      if (number !== undefined && number >= sequence) return stored;
      this.#at++;
      if (number === undefined) found.direct++;
      else if (number >= this.#from && number <= this.#lastCopied) this.#differs("again", number);
      else if (number >= this.#from) {
        if (await this.#isGone(number, "channel")) found.goneFromChannel++;
        else this.#differs("extra", number);
        this.#copied(number);
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
    this.found.compared++;
    this.found.bytes += data.length;
    this.#copied(sequence);
    this.#at++;
  }

  #copied(number: number): void {
    this.#firstCopied = Math.min(this.#firstCopied, number);
    this.#lastCopied = number;
  }

  #differs(what: Difference["what"], number: number): void {
    const { list } = this.found;
    this.found.differences++;
    const latest = list.at(-1);
    if (latest?.what === what && latest.last === number - 1) latest.last = number;
    else if (list.length < MOST_NAMED) list.push({ what, first: number, last: number });
  }

  /** Whether a limit has removed it. The oldest numbers move, so they are asked for again now and then. */
  async #isGone(number: number, from: "channel" | "stream"): Promise<boolean> {
    if (number >= this.#oldest[from] && elapsed() - this.#asked > CALM) {
      this.#oldest = { channel: await this.#oldestOfChannel(), stream: await this.#oldestOfStream() };
      this.#asked = elapsed();
    }
    return number < this.#oldest[from];
  }

  async #oldestOfChannel(): Promise<number> {
    const page = await this.#page();
    if (page !== undefined) return page.msgs === 0 ? page.last_seq + 1 : page.first_seq;
    return (await look(this.#client, this.#route.channel, "first", this.#ends.ending))?.sequence ?? Infinity;
  }

  async #oldestOfStream(): Promise<number> {
    const { config, state } = (await this.#copy()).info;
    if (!config.max_age) return 0;
    return state.first_seq <= this.#opened ? state.first_seq : this.#firstCopied;
  }

  #copy(): Promise<{ phase: Phase; info: StreamInfo }> {
    return copyIn(this.#ends, this.#route, ["mirror", "merge", "done"]);
  }

  async #page(): Promise<MonitoredChannel | undefined> {
    return this.#ends.monitor && (await pageOf(this.#ends, this.#route.channel));
  }
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}
