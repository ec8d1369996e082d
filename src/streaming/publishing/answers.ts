import type { Delivery, Receiver } from "../../core-nats/delivery.ts";
import type { NatsError } from "../../core-nats/errors.ts";
import { PubAckView } from "../../pb/data.ts";
import type { Guids } from "./guid.ts";
import type { InFlight } from "./in-flight.ts";
import type { PendingPublish } from "./pending-publish.ts";

/** What answers say about publishes. */
export interface AnswerEvents {
  /** The server has stored the message. */
  acknowledged(publish: PendingPublish): void;
  /** The server did not store the message, or may not have stored it. `text` is its reason. */
  refused(publish: PendingPublish, text: string): void;
  /** A 503: no streaming server received the publish. */
  noResponders(publish: PendingPublish, status: number): void;
  /** The NATS server denied the subject of the publish. */
  notPermitted(publish: PendingPublish, error: NatsError): void;
  /** The NATS server denied the inbox for acks. */
  acksDenied(error: NatsError): void;
  /** An answer was dropped because it could not be read. */
  unreadable(error: unknown): void;
}

/** Finds the publish that an answer is for. */
export class Answers implements Receiver {
  readonly #guids: Guids;
  readonly #inFlight: InFlight;
  readonly #events: AnswerEvents;
  readonly #view = new PubAckView();

  constructor(guids: Guids, inFlight: InFlight, events: AnswerEvents) {
    this.#guids = guids;
    this.#inFlight = inFlight;
    this.#events = events;
  }

  /** The connection calls it with each answer to a publish. */
  deliver(delivery: Delivery): void {
    if (delivery.status !== 0) {
      const publish = this.#inFlight.ofToken(parseInt(delivery.subject().slice(-2), 16));
      if (publish !== undefined) this.#events.noResponders(publish, delivery.status);
      return;
    }
    const view = this.#view;
    const { bytes } = delivery;
    try {
      view.read(bytes, delivery.start, delivery.end);
    } catch (error) {
      this.#events.unreadable(error);
      return;
    }
    const publish = this.#inFlight.find(this.#guids.read(bytes, view.guidStart, view.guidEnd));
    // The publish of this answer is of another client, or settled already.
    if (publish === undefined) return;
    publish.template.noResponders = false;
    if (view.errorStart === view.errorEnd) this.#events.acknowledged(publish);
    else this.#events.refused(publish, view.error());
  }

  denied(error: NatsError): void {
    this.#events.acksDenied(error);
  }

  /**
   * The NATS server denied a subject. It sends one denial for each publish, in the order of the publishes and before
   * the PONG of their lap. Returns whether the denial is for a publish.
   */
  publishDenied(subject: string, error: NatsError): boolean {
    const publish = this.#inFlight.latest(
      ({ session, template }) => subject === `${session?.subjects.pubPrefix}.${template.subject}`,
    );
    if (publish === undefined) return false;
    this.#events.notPermitted(publish, error);
    return true;
  }
}
