import { onAbort } from "../core-nats/async.ts";
import { elapsed, soon } from "../core-nats/clock.ts";
import type { Connection } from "../core-nats/connection.ts";
import type { Delivery, Receiver } from "../core-nats/delivery.ts";
import type { NatsError } from "../core-nats/errors.ts";
import { nuid } from "../core-nats/nuid.ts";
import { decodeText, encoder, NO_BYTES } from "../core-nats/text.ts";
import type { Message } from "../index.ts";
import { headerOf, REPLY } from "./copied-message.ts";
import { BridgeError } from "./errors.ts";
import { HeaderWriter } from "./header-writer.ts";
import type { Route } from "./stream.ts";
import { API_ERRORS, ApiError } from "./target.ts";
import type { ApiFailure } from "./target.ts";

/** @internal The most messages of a channel that are under way: a power of two. */
export const WINDOW = 2_048;
const MASK = WINDOW - 1;
/** In the mirror, a message whose number has none of these bits asks for an ack, which confirms all before it. */
const ACK_BITS = 63;
/** No ack for this long, in milliseconds: the copy looks what the stream has. */
const SILENCE = 3_000;
/** How long to wait when the target is full, and when a stream has no leader, in milliseconds. */
const FULL_DELAY = 2_000;
const LEADER_DELAY = 250;
/** What the objects of a message take, about, in bytes. */
const OVERHEAD = 256;

/**
 * @internal
 * Why the copy of a channel stops sending, and what it does then.
 *
 * - `again`: looks what the stream has, and sends the rest again
 * - `wait`: the same, once some time has passed; the operator reads why
 * - `level`: the end is reached
 * - `over`: ends with an error
 */
export type Trouble =
  | { readonly kind: "again" | "level" }
  | { readonly kind: "wait"; readonly delay: number; readonly reason: string }
  | { readonly kind: "over"; readonly error: BridgeError };

/** @internal What to do when the target refuses. */
export function troubleOf(channel: string, { passes, message }: ApiError): Trouble {
  if (passes) return { kind: "wait", delay: FULL_DELAY, reason: `the target stores nothing now: ${message}` };
  const remedy = "See what the target's log says; the same command goes on where this one ended.";
  return { kind: "over", error: new BridgeError("REFUSED", channel, `the target refuses: ${message}`, remedy) };
}

/** @internal What is sent: a message of the channel, or a filler in place of one that the channel does not have. */
export type Outgoing = Pick<Message, "sequence" | "timestamp" | "data" | "reply" | "ack">;

/** @internal What it takes of the memory that is allowed, in bytes. */
export function weightOf({ data, reply }: Outgoing): number {
  return data.length + reply.length + OVERHEAD;
}

/** @internal Hears of what becomes of messages. */
export interface SenderEvents {
  /** The stream has the message. */
  stored(message: Outgoing): void;
  /** The sender has stopped. */
  trouble(trouble: Trouble): void;
}

/**
 * @internal
 * The messages of a channel that are under way to its stream, in their order. In the mirror each is sent with the
 * expected last sequence: number n is stored as n or not at all, so an ack for n confirms all up to n. In the merge
 * phase each has its id and its own ack.
 */
export class Sender implements Receiver {
  readonly #route: Route;
  readonly #writers: Readonly<Record<"door" | "hole" | "mergeDoor", HeaderWriter>>;
  readonly #inboxPrefix: string;
  readonly #events: SenderEvents;
  readonly #ring = new Array<Outgoing | undefined>(WINDOW).fill(undefined);
  /** Counts of messages: those that the stream has, those that were sent, those that were added. */
  #head = 0;
  #sent = 0;
  #tail = 0;
  /** The weight of the messages under way. */
  bytes = 0;
  #connection: Connection | undefined;
  #release: () => void = () => {};
  #sid = 0;
  #byId = false;
  #headers: HeaderWriter;
  #subject = "";
  #inbox = "";
  /** The beginning of an HPUB that asks for no ack, and of one that does. */
  #plain: Uint8Array = NO_BYTES;
  #asking: Uint8Array = NO_BYTES;
  /** In the merge phase: numbers that the stream has although it may lack earlier ones. */
  readonly #confirmed = new Set<number>();
  #heardAt = 0;
  #scheduled = false;

  constructor(route: Route, cluster: string, inboxPrefix: string, events: SenderEvents) {
    this.#route = route;
    this.#inboxPrefix = inboxPrefix;
    this.#events = events;
    this.#headers = new HeaderWriter("Nats-Expected-Last-Sequence: ", -1);
    const withId = new HeaderWriter(`Nats-Msg-Id: stan:${cluster}:${route.channel}:`, 0);
    this.#writers = { door: this.#headers, hole: this.#headers, mergeDoor: withId };
  }

  /** How many messages are under way. */
  get count(): number {
    return this.#tail - this.#head;
  }

  /** The message under way with this number, if there is one. */
  find(sequence: number): Outgoing | undefined {
    return this.#ring.find((message) => message?.sequence === sequence);
  }

  /** Takes a message. It is sent when the running code has finished, if the sender is started. */
  add(message: Outgoing): void {
    this.#ring[this.#tail++ & MASK] = message;
    this.bytes += weightOf(message);
    if (this.#scheduled) return;
    this.#scheduled = true;
    soon(this.#turn);
  }

  /** Sends all that it has, and what is added from now on, to one of the route's subjects. */
  start(connection: Connection, to: "door" | "hole" | "mergeDoor"): void {
    this.#byId = to === "mergeDoor";
    this.#headers = this.#writers[to];
    this.#subject = this.#route[to];
    this.#inbox = `${this.#inboxPrefix}.${nuid()}`;
    this.#plain = encoder.encode(`HPUB ${this.#subject} `);
    this.#asking = encoder.encode(`HPUB ${this.#subject} ${this.#inbox} `);
    this.#sent = this.#head;
    this.#confirmed.clear();
    this.#heardAt = elapsed();
    this.#connection = connection;
    this.#release = onAbort(() => this.#stopFor({ kind: "again" }), connection.ended);
    if (connection.ended.aborted) return;
    this.#sid = connection.subscribe(this.#byId ? `${this.#inbox}.*` : this.#inbox, this);
    this.pump();
  }

  /** Sends nothing more, and hears no ack. The messages stay. */
  stop(): void {
    this.#release();
    this.#connection?.unsubscribe(this.#sid);
    this.#connection = undefined;
  }

  /** Removes the messages that the stream has. The sender must be stopped. */
  remove(isStored: (sequence: number) => boolean): void {
    const messages = Array.from({ length: this.count }, (_, i) => this.#ring[(this.#head + i) & MASK]!);
    this.clear();
    for (const message of messages) if (!isStored(message.sequence)) this.add(message);
    for (const message of messages) if (isStored(message.sequence)) this.#events.stored(message);
  }

  /** Forgets all messages: they are read from the channel again. */
  clear(): void {
    this.#head = this.#sent = this.#tail = this.bytes = 0;
    this.#ring.fill(undefined);
  }

  /** Is called about once a second. */
  tick(): void {
    const waits = this.#connection !== undefined && this.#sent > this.#head;
    if (waits && elapsed() - this.#heardAt >= SILENCE) this.#stopFor({ kind: "again" });
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    this.pump();
  };

  /** Sends what may be sent. */
  pump(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    if (this.#sent === this.#head) this.#heardAt = elapsed();
    while (this.#sent < this.#tail && !connection.outbox.full) {
      if (!this.#sendNext(connection)) return;
    }
  }

  #sendNext({ outbox, maxPayload }: Connection): boolean {
    const { sequence, timestamp, data, reply } = this.#ring[this.#sent & MASK]!;
    const block = this.#headers.write(sequence, timestamp);
    const line = reply === "" ? NO_BYTES : encoder.encode(`${REPLY}: ${headerOf(reply)}\r\n`);
    const headerSize = block.length + line.length;
    const size = headerSize + data.length;
    const isFirst = this.#sent === this.#head;
    if (size > maxPayload) {
      this.#stopFor(isFirst ? { kind: "over", error: this.#tooLarge(sequence, size, maxPayload) } : { kind: "again" });
      return false;
    }
    this.#sent++;
    const asks = isFirst || this.#sent === this.#tail || (sequence & ACK_BITS) === 0;
    const head = this.#byId ? this.#headOf(sequence) : asks ? this.#asking : this.#plain;
    const at = outbox.beginWithHeaders(head, headerSize, size);
    const { bytes } = outbox;
    bytes.set(block, at);
    if (line.length > 0) {
      // In place of the empty line, which comes behind it.
      bytes.set(line, at + block.length - 2);
      bytes.set(block.subarray(-2), at + headerSize - 2);
    }
    bytes.set(data, at + headerSize);
    return true;
  }

  #headOf(sequence: number): Uint8Array {
    return encoder.encode(`HPUB ${this.#subject} ${this.#inbox}.${sequence} `);
  }

  deliver(delivery: Delivery): void {
    if (delivery.status !== 0) {
      const reason = `the stream ${this.#route.stream} has no leader now, or does not exist`;
      return this.#stopFor({ kind: "wait", delay: LEADER_DELAY, reason });
    }
    let ack: { readonly seq?: number; readonly error?: ApiFailure };
    try {
      ack = JSON.parse(decodeText(delivery.bytes, delivery.start, delivery.end)) as typeof ack;
    } catch {
      return this.#stopFor({ kind: "again" });
    }
    if (ack.error !== undefined) return this.#refused(ack.error);
    this.#heardAt = elapsed();
    if (this.#byId) this.#confirmed.add(Number(delivery.subject().slice(this.#inbox.length + 1)));
    const last = this.#byId ? 0 : (ack.seq ?? 0);
    while (this.#head < this.#sent) {
      const { sequence } = this.#ring[this.#head & MASK]!;
      if (sequence > last && !this.#confirmed.delete(sequence)) break;
      this.#pop();
    }
  }

  #pop(): void {
    const at = this.#head++ & MASK;
    const message = this.#ring[at]!;
    this.#ring[at] = undefined;
    this.bytes -= weightOf(message);
    this.#events.stored(message);
  }

  #refused(error: ApiFailure): void {
    const isResync = error.err_code === API_ERRORS.wrongLastSequence;
    this.#stopFor(isResync ? { kind: "again" } : troubleOf(this.#route.channel, new ApiError(error)));
  }

  /** The server denied the inbox, or a publish. */
  denied(error: NatsError): void {
    const remedy = "Let the bridge's user publish to it, or subscribe to its inboxes.";
    const denied = new BridgeError("NOT_PERMITTED", this.#route.channel, error.reason, remedy, error);
    this.#stopFor({ kind: "over", error: denied });
  }

  /** The server denied a publish to the subject. Returns false if it is not of this sender. */
  publishDenied(subject: string, error: NatsError): boolean {
    if (this.#connection === undefined || subject !== this.#subject) return false;
    this.denied(error);
    return true;
  }

  #tooLarge(sequence: number, size: number, most: number): BridgeError {
    const what = `message ${sequence} has ${size} bytes with its headers, and the target takes ${most}`;
    const remedy = "Raise max_payload in the target's configuration, and start the same command again.";
    return new BridgeError("TOO_LARGE", this.#route.channel, what, remedy);
  }

  #stopFor(trouble: Trouble): void {
    if (this.#connection === undefined) return;
    this.stop();
    this.#events.trouble(trouble);
  }
}
