import { encoder } from "../../core-nats/text.ts";
import { PubMsg } from "../../pb/data.ts";
import { checkChannel } from "../checks.ts";
import type { Session } from "../session/session.ts";

/** Channels whose envelopes are kept; servers have 100 channels by default. */
const MOST_CHANNELS = 1_000;
const NO_BYTES = new Uint8Array(0);

/** What all publishes to one channel have in common, encoded once for each session. */
export class PublishTemplate {
  readonly subject: string;
  /** A 503 to a publish has put the session in question, and none has been heard since. */
  noResponders = false;
  /** How many publishes the server has stored. */
  stored = 0;
  #session: Session | undefined;
  /** The PUB up to the token of the reply subject. */
  head: Uint8Array = NO_BYTES;
  /** The PubMsg but for guid and data. */
  envelope: Uint8Array = NO_BYTES;

  constructor(subject: string) {
    this.subject = subject;
  }

  /** Makes `head` and `envelope` those of the session. `acks` is what the reply subject starts with. */
  encode(session: Session, clientId: string, acks: string): void {
    if (this.#session === session) return;
    this.#session = session;
    this.head = encoder.encode(`PUB ${session.subjects.pubPrefix}.${this.subject} ${acks}.`);
    this.envelope = this.envelopeWith("", session, clientId);
  }

  /** The envelope of a message that has a reply of its own. */
  envelopeWith(reply: string, session: Session, clientId: string): Uint8Array {
    return PubMsg.envelope({ clientID: clientId, subject: this.subject, reply, connID: encoder.encode(session.connId) });
  }
}

/** The templates of the channels that were published to last. */
export class PublishTemplates {
  readonly #all = new Map<string, PublishTemplate>();

  /** @throws TypeError for what is no channel */
  of(subject: string): PublishTemplate {
    return this.#all.get(subject) ?? this.#make(subject);
  }

  #make(subject: string): PublishTemplate {
    checkChannel(subject);
    const channel = new PublishTemplate(subject);
    if (this.#all.size >= MOST_CHANNELS) this.#all.clear();
    this.#all.set(subject, channel);
    return channel;
  }
}
