import { noop, onAbort } from "../core-nats/async.ts";
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
/** @internal What the objects of a message take, about, in bytes. */
export const OVERHEAD = 256;

/**
 * @internal Why a copy stops sending: an error ends it. Otherwise it looks what the stream has and goes on behind it,
 * after a delay in milliseconds, whose reason the operator reads.
 */
export type Trouble = BridgeError | { readonly delay: number; readonly reason?: string };
/** @internal Goes on at once. */
export const AGAIN: Trouble = { delay: 0 };

/** @internal What to do when the target refuses. */
export function troubleOf(channel: string, { passes, message }: ApiError): Trouble {
  if (passes) return { delay: FULL_DELAY, reason: `the target stores nothing now: ${message}` };
  const remedy = "See what the target's log says; the same command goes on where this one ended.";
  return new BridgeError("REFUSED", channel, `the target refuses: ${message}`, remedy);
}

/** @internal What is sent: a message of the channel, or a filler in place of one that the channel does not have. */
export type Outgoing = Pick<Message, "sequence" | "timestamp" | "data" | "reply" | "ack">;

/** @internal What it takes of the memory that is allowed, in bytes. */
export function weightOf({ data, reply }: Outgoing): number {
  return data.length + reply.length + OVERHEAD;
}

/** @internal Hears that the stream has a message, and once that the sender has stopped. */
export interface SenderEvents {
  stored(message: Outgoing): void;
  stopped(trouble: Trouble): void;
}

/**
 * @internal
 * The messages of a channel that are under way to its stream by one connection, in their order. In the mirror each is
 * sent with the expected last sequence: number n is stored as n or not at all, so an ack for n confirms all up to n. In
 * the merge phase each has its id and its own ack.
 */
export class Sender implements Receiver {
  readonly #connection: Connection;
  readonly #route: Route;
  readonly #subject: string;
  readonly #byId: boolean;
  readonly #headers: HeaderWriter;
  readonly #inbox: string;
  /** The beginning of an HPUB that asks for no ack, and of one that does. */
  readonly #plain: Uint8Array;
  readonly #asking: Uint8Array;
  readonly #events: SenderEvents;
  #sid = 0;
  #release: () => void = noop;
  readonly #ring = new Array<Outgoing | undefined>(WINDOW).fill(undefined);
  /** Counts of messages: those that the stream has, those that were sent, those that were added. */
  #head = 0;
  #sent = 0;
  #tail = 0;
  /** The weight of the messages under way. */
  bytes = 0;
  /** In the merge phase: numbers that the stream has although it may lack earlier ones. */
  readonly #confirmed = new Set<number>();
  #heardAt = elapsed();
  #scheduled = false;
  #stopped = false;

  /** Sends to one of the subjects of the route. */
  constructor(
    connection: Connection,
    route: Route,
    to: "door" | "hole" | "mergeDoor",
    cluster: string,
    inboxPrefix: string,
    events: SenderEvents,
  ) {
    this.#connection = connection;
    this.#route = route;
    this.#subject = route[to];
    this.#byId = to === "mergeDoor";
    const id = `Nats-Msg-Id: stan:${cluster}:${route.channel}:`;
    this.#headers = this.#byId ? new HeaderWriter(id, 0) : new HeaderWriter("Nats-Expected-Last-Sequence: ", -1);
    this.#inbox = `${inboxPrefix}.${nuid()}`;
    this.#plain = encoder.encode(`HPUB ${this.#subject} `);
    this.#asking = encoder.encode(`HPUB ${this.#subject} ${this.#inbox} `);
    this.#events = events;
    const lost = { delay: 0, reason: "the connection to the target is lost" };
    this.#release = onAbort(() => this.#stopFor(lost), connection.ended);
    if (this.#stopped) return;
    this.#sid = connection.subscribe(this.#byId ? `${this.#inbox}.*` : this.#inbox, this);
  }

  /** How many messages are under way. */
  get count(): number {
    return this.#tail - this.#head;
  }

  /** Takes a message. It is sent when the running code has finished. */
  add(message: Outgoing): void {
    this.#ring[this.#tail++ & MASK] = message;
    this.bytes += weightOf(message);
    if (this.#scheduled) return;
    this.#scheduled = true;
    soon(this.#turn);
  }

  /** Sends nothing more, and hears no ack. */
  close(): void {
    this.#stopped = true;
    this.#release();
    this.#connection.unsubscribe(this.#sid);
  }

  /** Is called about once a second. */
  tick(): void {
    if (this.#sent === this.#head || elapsed() - this.#heardAt < SILENCE) return;
    this.#stopFor({ delay: 0, reason: "the target does not answer" });
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    this.pump();
  };

  /** Sends what may be sent. */
  pump(): void {
    if (this.#sent === this.#head) this.#heardAt = elapsed();
    const { outbox } = this.#connection;
    while (this.#sent < this.#tail && !outbox.full && !this.#stopped) this.#sendNext(this.#connection);
  }

  #sendNext({ outbox, maxPayload }: Connection): void {
    const { sequence, timestamp, data, reply } = this.#ring[this.#sent & MASK]!;
    const block = this.#headers.write(sequence, timestamp);
    const line = reply === "" ? NO_BYTES : encoder.encode(`${REPLY}: ${headerOf(reply)}\r\n`);
    const headerSize = block.length + line.length;
    const size = headerSize + data.length;
    const isFirst = this.#sent === this.#head;
    // What is before it is to be stored first: then it is the first one.
    if (size > maxPayload) return this.#stopFor(isFirst ? this.#tooLarge(sequence, size, maxPayload) : AGAIN);
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
  }

  #headOf(sequence: number): Uint8Array {
    return encoder.encode(`HPUB ${this.#subject} ${this.#inbox}.${sequence} `);
  }

  deliver(delivery: Delivery): void {
    if (delivery.status !== 0) {
      const reason = `the stream ${this.#route.stream} has no leader now, or does not exist`;
      return this.#stopFor({ delay: LEADER_DELAY, reason });
    }
    let ack: { readonly seq?: number; readonly error?: ApiFailure };
    try {
      ack = JSON.parse(decodeText(delivery.bytes, delivery.start, delivery.end)) as typeof ack;
    } catch {
      return this.#stopFor(AGAIN);
    }
    if (ack.error !== undefined) {
      const isWrongLast = ack.error.err_code === API_ERRORS.wrongLastSequence;
      return this.#stopFor(isWrongLast ? AGAIN : troubleOf(this.#route.channel, new ApiError(ack.error)));
    }
    this.#heardAt = elapsed();
    if (this.#byId) this.#confirmed.add(Number(delivery.subject().slice(this.#inbox.length + 1)));
    const last = this.#byId ? 0 : (ack.seq ?? 0);
    while (this.#head < this.#sent) {
      const at = this.#head & MASK;
      const message = this.#ring[at]!;
      if (message.sequence > last && !this.#confirmed.delete(message.sequence)) break;
      this.#ring[at] = undefined;
      this.#head++;
      this.bytes -= weightOf(message);
      this.#events.stored(message);
    }
  }

  /** The server denied the inbox, or a publish. */
  denied(error: NatsError): void {
    const remedy = "Let the bridge's user publish to it, or subscribe to its inboxes.";
    this.#stopFor(new BridgeError("NOT_PERMITTED", this.#route.channel, error.reason, remedy, error));
  }

  /** The server denied a publish to the subject. Returns false if it is not of this sender. */
  publishDenied(subject: string, error: NatsError): boolean {
    if (this.#stopped || subject !== this.#subject) return false;
    this.denied(error);
    return true;
  }

  #tooLarge(sequence: number, size: number, most: number): BridgeError {
    const what = `message ${sequence} has ${size} bytes with its headers, and the target takes ${most}`;
    const remedy = "Raise max_payload in the target's configuration, and start the same command again.";
    return new BridgeError("TOO_LARGE", this.#route.channel, what, remedy);
  }

  #stopFor(trouble: Trouble): void {
    if (this.#stopped) return;
    this.close();
    this.#events.stopped(trouble);
  }
}
