import { nothing, RETRY_DELAY, sleep } from "../../core-nats/async.ts";
import type { Connection } from "../../core-nats/connection.ts";
import { NatsError } from "../../core-nats/errors.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import { nuid } from "../../core-nats/nuid.ts";
import { subjectRule } from "../../core-nats/subject.ts";
import { MsgProtoView, SubscriptionRequest, SubscriptionResponse, UnsubscribeRequest } from "../../pb/protocol.ts";
import { encode } from "../../pb/codec.ts";
import { classify } from "../errors.ts";
import type { AnswerClass, StreamingErrorCode } from "../errors.ts";
import type { Settings, SubscribeSettings } from "../options.ts";
import type { Session } from "../session/session.ts";
import type { Start } from "./start-position.ts";
import type { Registration, Supervisor } from "../session/supervisor.ts";

/** Why the server could not be asked, or what it said. */
export interface Failure {
  readonly class: AnswerClass;
  readonly code: StreamingErrorCode;
  readonly text: string;
  readonly cause: unknown;
}

/** Told of the ack inbox of a subscription that the server has accepted. */
type Accepted = (ackInbox: string) => void;

interface Ghost {
  readonly inbox: string;
  /** To be unsubscribed, not closed: the server is to forget the durable. */
  readonly forget: boolean;
}

/** A request that timed out may be carried out after it was closed, but not after many others were. */
const MOST_FORMER = 10;
const NONE: readonly never[] = [];

/** What a subscription is asked for with, but for its start. */
type Wanted = Pick<SubscribeSettings, "maxInFlight" | "ackWait" | "durable" | "queue">;

/** One that is there for a moment, to see messages, which are acknowledged to nobody. */
const LOOK: Wanted = { maxInFlight: 1, ackWait: 30_000, durable: "", queue: "" };

// Why: docs/decisions.md#orphaned-subscriptions
/**
 * What one subscription has to do with the server: asks for it, leaves it, and closes what is left over: a request
 * that timed out may have been carried out, and a subscription that nobody wants gets its share of a queue group, or
 * keeps a durable from being resumed.
 */
export class ServerSide {
  readonly #settings: Settings;
  readonly #supervisor: Supervisor;
  readonly #subject: string;
  readonly #options: SubscribeSettings;
  /** Inboxes of subscriptions that the server may have and nobody wants. */
  #ghosts: readonly Ghost[] = NONE;
  /** Inboxes that were asked for and given up last. */
  #former: readonly string[] = NONE;
  /** The session in which all these were asked for. Its end is theirs. */
  #session: Session | undefined;

  constructor(settings: Settings, supervisor: Supervisor, subject: string, options: SubscribeSettings) {
    this.#settings = settings;
    this.#supervisor = supervisor;
    this.#subject = subject;
    this.#options = options;
  }

  /** True while the server may have something that nobody wants. */
  get haunted(): boolean {
    return this.#ghosts.length > 0;
  }

  /** Forgets what was left over in another session. */
  enter(session: Session): void {
    if (this.#session === session) return;
    this.#session = session;
    this.#ghosts = NONE;
    this.#former = NONE;
  }

  /** A new inbox to be asked for. */
  inbox(): string {
    return `${this.#settings.inboxPrefix}.${nuid()}`;
  }

  /** Asks for the subscription. `accepted` gets the ack inbox, in the turn in which the answer came. */
  subscribe(
    registration: Registration,
    inbox: string,
    start: Start,
    accepted: Accepted,
  ): Promise<Failure | undefined> {
    return this.#ask(registration, inbox, this.#options, start, accepted);
  }

  /**
   * Closes the subscription of an inbox, or unsubscribes it: the server knows it by its ack inbox, and by its delivery
   * inbox as well (nats-streaming-server 0.17.0 by its ack inbox alone).
   */
  leave({ connection, session }: Registration, inbox: string, forget: boolean): Promise<Failure | undefined> {
    const request = encode(UnsubscribeRequest, {
      clientID: this.#settings.clientId,
      subject: this.#subject,
      inbox,
      durableName: this.#options.durable,
    });
    const { unsubRequests, subCloseRequests } = session.subjects;
    return this.#request(connection, forget ? unsubRequests : subCloseRequests, request, nothing);
  }

  /** Notes a subscription that is given up: `leftovers` closes it, or unsubscribes it. */
  giveUp(inbox: string, ackInbox: string, forget: boolean): void {
    this.#ghosts = [...this.#ghosts, { inbox: ackInbox || inbox, forget }];
    this.#former = [...this.#former.slice(1 - MOST_FORMER), inbox];
  }

  /** Takes everything that was given up for not closed after all. */
  suspectAll(): void {
    this.#ghosts = [...this.#ghosts, ...this.#former.map((inbox) => ({ inbox, forget: false }))];
    this.#former = NONE;
  }

  /** Closes what the server may have and nobody wants. Resolves with false if that was not possible now. */
  async leftovers(registration: Registration): Promise<boolean> {
    for (const ghost of this.#ghosts) {
      const failure = await this.leave(registration, ghost.inbox, ghost.forget);
      if (failure !== undefined && (failure.class === "session-lost" || failure.class === "transient")) {
        await this.#pause(registration, failure);
        return false;
      }
      this.#ghosts = this.#ghosts.filter((other) => other !== ghost);
    }
    return true;
  }

  /** Looks at the message at `start`: reads one. */
  look(registration: Registration, start: Start, patience: number, shown: (view: MsgProtoView) => void): Promise<number | undefined> {
    return this.read(registration, start, 1, patience, shown);
  }

  /**
   * Reads up to `most` messages from `start` on, by a subscription of its own that is closed again. Resolves with the sequence
   * of the last one, after `shown` got each; with undefined if the server could not be asked now; with 0 if none came within
   * `patience` milliseconds, which does not prove that there is none: a busy server answers long before it begins to send (seen).
   */
  async read(
    registration: Registration,
    start: Start,
    most: number,
    patience: number,
    shown: (view: MsgProtoView, bytes: Uint8Array) => void,
  ): Promise<number | undefined> {
    const { connection, over } = registration;
    const view = new MsgProtoView();
    const seen = new Lifetime();
    let last = 0;
    let count = 0;
    const inbox = this.inbox();
    const sid = connection.subscribe(inbox, {
      deliver({ bytes, start, end }) {
        try {
          view.read(bytes, start, end);
        } catch {
          // Whoever sent this, it was not the streaming server.
          return;
        }
        last = view.sequence;
        shown(view, bytes);
        if (++count === most) seen.abort();
      },
      denied: nothing,
    });
    let ackInbox = "";
    const failure = await this.#ask(registration, inbox, { ...LOOK, maxInFlight: most }, start, (answered) => (ackInbox = answered));
    for (let before = -1; failure === undefined && before < count && count < most && !over.aborted; ) {
      before = count;
      await sleep(patience, seen, over);
    }
    this.giveUp(inbox, ackInbox, false);
    const closed = await this.leftovers(registration);
    connection.unsubscribe(sid);
    if (failure === undefined || failure.class === "permanent") return closed ? last : undefined;
    await this.#pause(registration, failure);
    return undefined;
  }

  async #pause(registration: Registration, failure: Failure): Promise<void> {
    if (failure.class === "session-lost") this.#supervisor.verify();
    await sleep(RETRY_DELAY, registration.over);
  }

  /** Sends a request for a subscription. What is accepted too late is closed: it may have been closed before it was there. */
  #ask(
    registration: Registration,
    inbox: string,
    { maxInFlight, ackWait, durable, queue }: Wanted,
    start: Start,
    accepted: Accepted,
  ): Promise<Failure | undefined> {
    const { connection, session, over } = registration;
    const request = encode(SubscriptionRequest, {
      clientID: this.#settings.clientId,
      subject: this.#subject,
      qGroup: queue,
      inbox,
      maxInFlight,
      ackWaitInSecs: ackWait / 1000,
      durableName: durable,
      ...start,
    });
    return this.#request(connection, session.subjects.subRequests, request, accepted, (ackInbox) => {
      if (!over.aborted) void this.leave(registration, ackInbox, false);
    });
  }

  /** Sends a request that a SubscriptionResponse answers. */
  async #request(
    connection: Connection,
    subject: string,
    request: Uint8Array,
    accepted: Accepted,
    late?: Accepted,
  ): Promise<Failure | undefined> {
    const { requestTimeout } = this.#settings;
    try {
      const answer = await connection.request(subject, request, requestTimeout, reader(accepted), late && reader(late));
      if (answer.error === "") return undefined;
      return { class: classify(answer.error), code: "REFUSED", text: answer.error, cause: undefined };
    } catch (error) {
      if (!(error instanceof NatsError)) throw error;
      if (error.code === "PERMISSIONS") return denied(error);
      const unheard = error.code === "NO_RESPONDERS";
      return { class: unheard ? "session-lost" : "transient", code: "NO_SERVER", text: error.reason, cause: error };
    }
  }
}

/** Reads an answer, and hands on its ack inbox in the same turn. */
function reader(accepted: Accepted): (bytes: Uint8Array, start: number, end: number) => SubscriptionResponse {
  return (bytes, start, end) => {
    const answer = SubscriptionResponse.read(bytes, start, end);
    // An ack inbox is a subject that goes back onto the wire: an answer with an impossible one is no answer.
    const rule = answer.ackInbox === "" ? undefined : subjectRule(answer.ackInbox, false);
    if (rule !== undefined) throw new TypeError(`the ack inbox ${rule}`);
    if (answer.error === "") accepted(answer.ackInbox);
    return answer;
  };
}

/** The NATS server denied one of the subjects: that is for good. */
export function denied(error: NatsError): Failure {
  return { class: "permanent", code: "NOT_PERMITTED", text: error.reason, cause: error };
}
