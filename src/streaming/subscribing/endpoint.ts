import type { Connection } from "../../core-nats/connection.ts";
import type { Receiver } from "../../core-nats/delivery.ts";
import type { NatsError } from "../../core-nats/errors.ts";
import type { Delivery } from "../../core-nats/delivery.ts";
import { encoder } from "../../core-nats/text.ts";
import { Ack } from "../../pb/data.ts";
import type { Session } from "../session/session.ts";

/** Who takes what arrives at a place. */
export interface EndpointEvents {
  deliver(delivery: Delivery, endpoint: Endpoint): void;
  /** The server denied the inbox. */
  suspect(): void;
}

// Why: docs/decisions.md#acks-go-to-the-current-ack-inbox
/**
 * A subscription as the server has it: an inbox of ours in one session, and once the server has answered, its ack
 * inbox. Acks go here whatever session or link a message came by: the server ignores those to a former ack inbox (seen).
 */
export class Endpoint implements Receiver {
  readonly session: Session;
  readonly inbox: string;
  /** "" until the server has answered. */
  ackInbox = "";
  /** Why the inbox is deaf. */
  denial: NatsError | undefined;
  readonly #events: EndpointEvents;
  #connection: Connection | undefined;
  #sid = 0;
  /** How many PINGs were sent on the connection before the last ack. */
  #pings = -1;
  /** The PUB of an ack up to its size, and the channel; made for the first ack, since many a subscription is idle. */
  #head: Uint8Array | undefined;
  #subject: Uint8Array | undefined;

  constructor(events: EndpointEvents, session: Session, inbox: string) {
    this.#events = events;
    this.session = session;
    this.inbox = inbox;
  }

  /** The server delivers to it, and takes acks from it. */
  get isOpen(): boolean {
    return this.#connection !== undefined && this.ackInbox !== "";
  }

  /** Listens on the inbox, on this connection from now on. */
  open(connection: Connection): void {
    this.#connection = connection;
    this.#pings = -1;
    this.#sid = connection.subscribe(this.inbox, this);
  }

  /** The connection is gone. Returns whether acks may be lost with it. */
  lost(): boolean {
    const connection = this.#connection;
    this.#connection = undefined;
    return connection !== undefined && connection.pongs <= this.#pings;
  }

  /** Listens no more. */
  close(): void {
    this.#connection?.unsubscribe(this.#sid);
    this.#connection = undefined;
  }

  deliver(delivery: Delivery): void {
    this.#events.deliver(delivery, this);
  }

  denied(error: NatsError): void {
    this.denial = error;
    this.#events.suspect();
  }

  /** Sends an ack. Returns false if that cannot be done now. */
  acknowledge(subject: string, sequence: number): boolean {
    const connection = this.#connection;
    if (connection === undefined || this.ackInbox === "") return false;
    this.#head ??= encoder.encode(`PUB ${this.ackInbox} `);
    this.#subject ??= encoder.encode(subject);
    this.#pings = connection.pings;
    const { outbox } = connection;
    const size = Ack.size(this.#subject, sequence);
    const at = outbox.begin(this.#head, -1, size, size);
    Ack.write(this.#subject, sequence, outbox.bytes, at);
    return true;
  }
}
