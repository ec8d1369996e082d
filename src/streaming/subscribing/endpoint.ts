import type { Connection } from "../../core-nats/connection.ts";
import type { Delivery, Receiver } from "../../core-nats/delivery.ts";
import type { NatsError } from "../../core-nats/errors.ts";
import { encoder } from "../../core-nats/text.ts";
import { Ack } from "../../pb/data.ts";
import type { Session } from "../session/session.ts";
import { RecentAcks } from "./recent-acks.ts";

/** What an endpoint needs of a connection. */
export type EndpointConnection = Pick<Connection, "subscribe" | "unsubscribe" | "outbox" | "pings" | "pongs">;

/** What happens to an endpoint. */
export interface EndpointEvents {
  /** The server delivered a message. */
  deliver(delivery: Delivery, endpoint: Endpoint): void;
  /** The server denied the inbox. */
  suspect(): void;
}

// Why: docs/decisions.md#acks-go-to-the-current-ack-inbox
/**
 * A subscription as the server has it: the client's inbox in one session, and the ack inbox that the server answered
 * with. Acks go to this ack inbox, whatever link or session a message came by: the server ignores acks to a former one
 * (seen).
 */
export class Endpoint implements Receiver {
  readonly session: Session;
  readonly inbox: string;
  /** "" until the server has answered. */
  ackInbox = "";
  /** The server's error, if it denied the inbox. */
  denial: NatsError | undefined;
  readonly #events: EndpointEvents;
  #connection: EndpointConnection | undefined;
  #sid = 0;
  /** The number of PINGs that the connection had sent before the last ack. */
  #pings = -1;
  /** The acks that go to this endpoint. Undefined before the first one. */
  #recentAcks: RecentAcks | undefined;
  /** The PUB line of an ack up to its size. Created for the first ack: an idle subscription keeps none. */
  #head: Uint8Array | undefined;
  /** The channel. Created for the first ack. */
  #subject: Uint8Array | undefined;

  constructor(events: EndpointEvents, session: Session, inbox: string) {
    this.#events = events;
    this.session = session;
    this.inbox = inbox;
  }

  /** True while the server delivers to the inbox, and takes acks. */
  get isOpen(): boolean {
    return this.#connection !== undefined && this.ackInbox !== "";
  }

  /** Subscribes to the inbox on a connection, in place of the former one. */
  open(connection: EndpointConnection): void {
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

  /** Unsubscribes from the inbox. */
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

  /** Notes an ack, to repeat it after an outage. The last `most` are kept. */
  noteAck(sequence: number, most: number): void {
    (this.#recentAcks ??= new RecentAcks()).add(sequence, most);
  }

  /** Sends the noted acks again. Repeated acks do no harm. */
  repeatAcks(subject: string): void {
    for (const sequence of this.#recentAcks ?? []) this.acknowledge(subject, sequence);
  }

  /** Sends an ack. Returns false if that is not possible now. */
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
