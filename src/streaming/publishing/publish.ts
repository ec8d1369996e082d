import type { Ending } from "../../core-nats/lifetime.ts";
import { encoder } from "../../core-nats/text.ts";
import { PubMsg } from "../../pb/protocol.ts";
import type { StreamingError } from "../errors.ts";
import type { Session } from "../session/session.ts";
import type { Slab, Slabs } from "./slab.ts";

const NO_BYTES = new Uint8Array(0);

/** How far a publish has come. */
export const Stage = {
  called: 0,
  /** In a queue. */
  waiting: 1,
  sent: 2,
  /** Answered with a 503 although the session is alive: to be sent again after a while. Keeps its place among those in flight. */
  unheard: 3,
  /** Answered with "invalid publish request": either the message is bad, or the session is gone; a ping will tell. */
  doubted: 4,
  /** The same, and the session has been in question from the answer on: what the ping says is about it. */
  asked: 5,
  settled: 6,
} as const;
export type Stage = (typeof Stage)[keyof typeof Stage];

/** What all publishes to one channel have in common, encoded once for each session. */
export class Channel {
  readonly subject: string;
  /** A 503 to a publish has put the session in question, and none has been heard since. */
  unheard = false;
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

/** One call of `publish` that has not been settled. */
export class Publish {
  readonly channel: Channel;
  readonly reply: string;
  /** Counts the calls: whoever is sent again goes before those that were called for later. */
  readonly order: number;
  /** On the monotonic clock, in whole milliseconds: a fraction would cost each publish an allocation. */
  readonly deadline: number;
  /** Where the data is. */
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
  readonly resolve: () => void;
  readonly reject: (error: StreamingError) => void;
  stage: Stage = Stage.called;
  /** Of its last sending: the number in the guid, the session, and in bytes the size of the PubMsg. */
  number = 0;
  session: Session | undefined;
  size = 0;
  /** It was sent on a connection that was lost, and is sent again: that one may have been stored. */
  perhapsStored = false;
  /** Its neighbours among those that are not settled. */
  previous: Publish | undefined;
  next: Publish | undefined;
  /** The caller's. */
  signal: Ending | undefined;

  /** The data is what `slabs` was given last. */
  constructor(
    channel: Channel,
    reply: string,
    order: number,
    deadline: number,
    slabs: Slabs,
    resolve: () => void,
    reject: (error: StreamingError) => void,
  ) {
    this.channel = channel;
    this.reply = reply;
    this.order = order;
    this.deadline = deadline;
    this.slab = slabs.slab;
    this.start = slabs.start;
    this.end = slabs.end;
    this.resolve = resolve;
    this.reject = reject;
  }
}
