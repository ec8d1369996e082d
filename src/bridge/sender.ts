import { onAbort } from "../core-nats/async.ts";
import { elapsed, soon } from "../core-nats/clock.ts";
import type { Connection } from "../core-nats/connection.ts";
import type { Delivery, Receiver } from "../core-nats/delivery.ts";
import type { NatsError } from "../core-nats/errors.ts";
import { nuid } from "../core-nats/nuid.ts";
import { decodeText, encoder, NO_BYTES } from "../core-nats/text.ts";
import type { Message } from "../index.ts";
import { REPLY } from "./copied-message.ts";
import { BridgeError } from "./errors.ts";
import { HeaderWriter } from "./header-writer.ts";
import type { Phase, Route } from "./stream.ts";
import { API_ERRORS } from "./target.ts";
import type { Trouble } from "./trouble.ts";

/** @internal The most messages of a channel that are under way: a power of two. */
export const WINDOW = 2_048;
const MASK = WINDOW - 1;
/** In the mirror each message with a number of which these bits are 0 asks for an ack. It confirms all before it. */
const ACK_EVERY = 64;
/** No ack for this long, in milliseconds: the copy looks what the stream has. */
const SILENCE = 3_000;
/** How long to wait when the target is full, and when a stream has no leader, in milliseconds. */
const FULL_DELAY = 5_000;
const LEADER_DELAY = 250;
/** What every object of a message takes, about. */
const OVERHEAD = 256;

const FULL: readonly number[] = [
  API_ERRORS.insufficientResources,
  API_ERRORS.storageExceeded,
  API_ERRORS.maximumReached,
];

const EXPECTED = "Nats-Expected-Last-Sequence: ";

function replyLine(reply: string): Uint8Array {
  // A line break would end the header.
  return reply === "" ? NO_BYTES : encoder.encode(`${REPLY}: ${reply.replace(/[\r\n]/g, " ")}\r\n`);
}

/** @internal What a message takes of the memory that is allowed, in bytes. */
export function weightOf({ data, reply }: Message): number {
  return data.length + reply.length + OVERHEAD;
}

/** @internal Hears of what becomes of messages. */
export interface SenderEvents {
  /** The stream has the message. */
  stored(message: Message): void;
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
  readonly #cluster: string;
  readonly #inboxPrefix: string;
  readonly #events: SenderEvents;
  readonly #ring: (Message | undefined)[] = new Array<Message | undefined>(WINDOW).fill(undefined);
  /** Counts of messages: those that the stream has, those that were sent, those that were added. */
  #head = 0;
  #sent = 0;
  #tail = 0;
  /** The weight of the messages under way. */
  bytes = 0;
  #connection: Connection | undefined;
  #release: () => void = () => {};
  #sid = 0;
  #phase: Phase = "mirror";
  #headers = new HeaderWriter(EXPECTED, -1);
  #inbox = "";
  #door = "";
  #head1: Uint8Array = NO_BYTES;
  #headWithAck: Uint8Array = NO_BYTES;
  /** Numbers that the stream has although it may lack earlier ones. */
  readonly #confirmed = new Set<number>();
  #heardAt = 0;
  #scheduled = false;

  constructor(route: Route, cluster: string, inboxPrefix: string, events: SenderEvents) {
    this.#route = route;
    this.#cluster = cluster;
    this.#inboxPrefix = inboxPrefix;
    this.#events = events;
  }

  /** How many messages are under way. */
  get count(): number {
    return this.#tail - this.#head;
  }

  /** The message under way with this number, if there is one. */
  find(sequence: number): Message | undefined {
    for (let i = this.#head; i < this.#tail; i++) {
      const message = this.#ring[i & MASK]!;
      if (message.sequence === sequence) return message;
    }
    return undefined;
  }

  /** What a message takes with its headers, in bytes. */
  sizeOf({ sequence, timestamp, data, reply }: Message): number {
    return this.#headers.write(sequence, timestamp).length + replyLine(reply).length + data.length;
  }

  /** Takes a message. It is sent when the running code has finished, if the sender is started. */
  add(message: Message): void {
    this.#ring[this.#tail++ & MASK] = message;
    this.bytes += weightOf(message);
    if (this.#scheduled) return;
    this.#scheduled = true;
    soon(this.#turn);
  }

  /** Sends all that it has, and what is added from now on. */
  start(connection: Connection, phase: Phase): void {
    const { channel, door, mergeDoor } = this.#route;
    const mirror = phase === "mirror";
    this.#phase = phase;
    this.#headers = mirror
      ? new HeaderWriter(EXPECTED, -1)
      : new HeaderWriter(`Nats-Msg-Id: stan:${this.#cluster}:${channel}:`, 0);
    this.#door = mirror ? door : mergeDoor;
    this.#inbox = `${this.#inboxPrefix}.${nuid()}`;
    this.#head1 = encoder.encode(`HPUB ${this.#door} `);
    this.#headWithAck = encoder.encode(`HPUB ${this.#door} ${this.#inbox} `);
    this.#sent = this.#head;
    this.#confirmed.clear();
    this.#heardAt = elapsed();
    this.#connection = connection;
    this.#release = onAbort(() => this.#stopFor({ kind: "again" }), connection.ended);
    if (connection.ended.aborted) return;
    this.#sid = connection.subscribe(mirror ? this.#inbox : `${this.#inbox}.*`, this);
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
    const messages: Message[] = [];
    for (let i = this.#head; i < this.#tail; i++) messages.push(this.#ring[i & MASK]!);
    this.#head = this.#sent = this.#tail = this.bytes = 0;
    this.#ring.fill(undefined);
    for (const message of messages) {
      if (!isStored(message.sequence)) this.add(message);
    }
    for (const message of messages) if (isStored(message.sequence)) this.#events.stored(message);
  }

  /** Forgets all messages: they are read from the channel again. */
  clear(): void {
    this.#head = this.#sent = this.#tail = this.bytes = 0;
    this.#ring.fill(undefined);
  }

  /** Is called about once a second. */
  tick(): void {
    if (this.#connection === undefined || this.#sent === this.#head) return;
    if (elapsed() - this.#heardAt >= SILENCE) this.#stopFor({ kind: "again" });
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
    const mirror = this.#phase === "mirror";
    while (this.#sent < this.#tail && !connection.outbox.full) {
      const message = this.#ring[this.#sent & MASK]!;
      const isFirst = this.#sent === this.#head;
      this.#sent++;
      const ask = !mirror || isFirst || this.#sent === this.#tail || message.sequence % ACK_EVERY === 0;
      this.#write(connection, message, ask);
    }
  }

  #write({ outbox }: Connection, { sequence, timestamp, data, reply }: Message, ask: boolean): void {
    const block = this.#headers.write(sequence, timestamp);
    const mirror = this.#phase === "mirror";
    const head = !ask ? this.#head1 : mirror ? this.#headWithAck : this.#headOf(sequence);
    const line = replyLine(reply);
    const size = block.length + line.length;
    const at = outbox.beginWithHeaders(head, size, size + data.length);
    const { bytes } = outbox;
    bytes.set(block, at);
    if (line.length > 0) {
      // In place of the empty line, which comes behind it.
      const end = at + block.length - 2;
      bytes.set(line, end);
      bytes.set(block.subarray(-2), end + line.length);
    }
    bytes.set(data, at + size);
  }

  #headOf(sequence: number): Uint8Array {
    return encoder.encode(`HPUB ${this.#door} ${this.#inbox}.${sequence} `);
  }

  deliver(delivery: Delivery): void {
    if (delivery.status !== 0) {
      const reason = `the stream ${this.#route.stream} has no leader now, or does not exist`;
      return this.#stopFor({ kind: "wait", delay: LEADER_DELAY, reason });
    }
    let ack: { readonly seq?: number; readonly error?: { readonly err_code: number; readonly description: string } };
    try {
      ack = JSON.parse(decodeText(delivery.bytes, delivery.start, delivery.end)) as typeof ack;
    } catch {
      return this.#stopFor({ kind: "again" });
    }
    this.#heardAt = elapsed();
    if (ack.error !== undefined) return this.#refused(ack.error.err_code, ack.error.description);
    if (this.#phase === "mirror") {
      const sequence = ack.seq ?? 0;
      while (this.#head < this.#sent && this.#ring[this.#head & MASK]!.sequence <= sequence) this.#pop();
    } else {
      this.#confirmed.add(Number(delivery.subject().slice(this.#inbox.length + 1)));
      while (this.#head < this.#sent && this.#confirmed.delete(this.#ring[this.#head & MASK]!.sequence)) this.#pop();
    }
  }

  #pop(): void {
    const at = this.#head++ & MASK;
    const message = this.#ring[at]!;
    this.#ring[at] = undefined;
    this.bytes -= weightOf(message);
    this.#events.stored(message);
  }

  #refused(code: number, description: string): void {
    if (code === API_ERRORS.wrongLastSequence) return this.#stopFor({ kind: "again" });
    if (FULL.includes(code)) {
      return this.#stopFor({ kind: "wait", delay: FULL_DELAY, reason: `the target is full: ${description} (${code})` });
    }
    const remedy = "See what the target's log says; the same command goes on where this one ended.";
    const what = `the target refuses a message: ${description} (${code})`;
    this.#stopFor({ kind: "over", error: new BridgeError("REFUSED", this.#route.channel, what, remedy) });
  }

  /** The server denied the inbox. */
  denied(error: NatsError): void {
    const remedy = "Let the bridge's user subscribe to its inboxes, and publish to the subject.";
    const denied = new BridgeError("NOT_PERMITTED", this.#route.channel, error.reason, remedy, error);
    this.#stopFor({ kind: "over", error: denied });
  }

  /** The server denied a publish to the subject. Returns false if it is not of this sender. */
  publishDenied(subject: string, error: NatsError): boolean {
    if (this.#connection === undefined || subject !== this.#door) return false;
    this.denied(error);
    return true;
  }

  #stopFor(trouble: Trouble): void {
    if (this.#connection === undefined) return;
    this.stop();
    this.#events.trouble(trouble);
  }
}
