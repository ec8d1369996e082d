import type { Receiver } from "../../core-nats/delivery.ts";
import type { NatsError } from "../../core-nats/errors.ts";
import type { Delivery } from "../../core-nats/delivery.ts";
import { PubAckView } from "../../pb/data.ts";
import type { Guids } from "./guid.ts";
import type { InFlight } from "./in-flight.ts";
import type { PendingPublish } from "./pending-publish.ts";

/** What becomes of publishes. */
export interface AnswerEvents {
  /** The server has stored it. */
  acknowledged(publish: PendingPublish): void;
  /** The streaming server's own words for why a message was not stored, or may not have been. */
  refused(publish: PendingPublish, text: string): void;
  /** A 503: no streaming server heard it. */
  noResponders(publish: PendingPublish, status: number): void;
  /** The NATS server did not permit its subject. */
  notPermitted(publish: PendingPublish, error: NatsError): void;
  /** The NATS server denied the inbox that answers come to. */
  acksDenied(error: NatsError): void;
  /** An answer could not be read, and was dropped. */
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

  /** Called by the connection for each answer to a publish. */
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
    // Not ours, or answered long ago, or given up: whatever it says is of no use any more.
    if (publish === undefined) return;
    publish.channel.noResponders = false;
    if (view.errorStart === view.errorEnd) this.#events.acknowledged(publish);
    else this.#events.refused(publish, view.error());
  }

  denied(error: NatsError): void {
    this.#events.acksDenied(error);
  }

  /** The NATS server denied a subject. It says so once for each publish, in their order, and before the PONG of their lap. */
  publishDenied(subject: string, error: NatsError): boolean {
    const publish = this.#inFlight.latest(({ session, channel }) => subject === `${session!.subjects.pubPrefix}.${channel.subject}`);
    if (publish === undefined) return false;
    this.#events.notPermitted(publish, error);
    return true;
  }
}
