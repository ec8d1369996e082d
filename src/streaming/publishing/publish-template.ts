import { encoder } from "../../core-nats/text.ts";
import { PubMsg } from "../../pb/data.ts";
import { checkChannel } from "../checks.ts";
import type { PublishSession } from "./publish-registration.ts";

/** How many templates are kept. Servers have 100 channels by default. */
const MOST_CHANNELS = 1_000;
const NO_BYTES = new Uint8Array(0);

/** The parts that all publishes to one channel have in common, encoded once for each session. */
export class PublishTemplate {
  readonly subject: string;
  /** The last answer to a publish to this channel was a 503, and the session was suspect because of it. */
  noResponders = false;
  /** How many publishes the server has stored. */
  stored = 0;
  #session: PublishSession | undefined;
  /** The line of the PUB, up to the token of the reply subject. */
  head: Uint8Array = NO_BYTES;
  /** The PubMsg without guid and data. */
  envelope: Uint8Array = NO_BYTES;

  constructor(subject: string) {
    this.subject = subject;
  }

  /** Encodes `head` and `envelope` for the session. The reply subject starts with `acks`. */
  encode(session: PublishSession, clientId: string, acks: string): void {
    if (this.#session === session) return;
    this.#session = session;
    this.head = encoder.encode(`PUB ${session.subjects.pubPrefix}.${this.subject} ${acks}.`);
    this.envelope = this.envelopeWith("", session, clientId);
  }

  /** The envelope of a message with this reply. */
  envelopeWith(reply: string, session: PublishSession, clientId: string): Uint8Array {
    const connID = encoder.encode(session.connId);
    return PubMsg.envelope({ clientID: clientId, subject: this.subject, reply, connID });
  }
}

/** The templates of all channels that the client publishes to. */
export class PublishTemplates {
  readonly #all = new Map<string, PublishTemplate>();

  /** The template of a channel. @throws TypeError unless the subject can be a channel */
  of(subject: string): PublishTemplate {
    return this.#all.get(subject) ?? this.#make(subject);
  }

  #make(subject: string): PublishTemplate {
    checkChannel(subject);
    const template = new PublishTemplate(subject);
    if (this.#all.size >= MOST_CHANNELS) this.#all.clear();
    this.#all.set(subject, template);
    return template;
  }
}
