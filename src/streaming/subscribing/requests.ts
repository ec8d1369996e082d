import { noop, RETRY_DELAY, sleep } from "../../core-nats/async.ts";
import type { Connection } from "../../core-nats/connection.ts";
import { NatsError } from "../../core-nats/errors.ts";
import { nuid } from "../../core-nats/nuid.ts";
import { subjectRule } from "../../core-nats/subject.ts";
import { encode } from "../../pb/codec.ts";
import { SubscriptionRequest, SubscriptionResponse, UnsubscribeRequest } from "../../pb/control.ts";
import { classify } from "../errors.ts";
import type { AnswerClass, StreamingErrorCode } from "../errors.ts";
import type { Registration } from "../session/registration.ts";
import type { ClientContext } from "./client-context.ts";
import type { Start } from "./start-position.ts";
import type { SubscribeSettings } from "./subscribe-options.ts";

/** Why a request was not done. */
export interface Failure {
  readonly class: AnswerClass;
  readonly code: StreamingErrorCode;
  readonly text: string;
  readonly cause: unknown;
}

/** Gets the ack inbox of a subscription that the server has accepted. */
type AckInboxListener = (ackInbox: string) => void;

/** What a subscription is asked for with, but for its start. */
export type RequestSettings = Pick<SubscribeSettings, "maxInFlight" | "ackWait" | "durable" | "queue">;

/** Sends a subscription's requests: subscribe, close, unsubscribe. */
export class Requests {
  readonly subject: string;
  readonly #context: ClientContext;
  readonly #settings: SubscribeSettings;

  constructor(context: ClientContext, subject: string, settings: SubscribeSettings) {
    this.subject = subject;
    this.#context = context;
    this.#settings = settings;
  }

  /** A new inbox to be asked for. */
  inbox(): string {
    return `${this.#context.settings.inboxPrefix}.${nuid()}`;
  }

  /**
   * Asks for a subscription. `accepted` gets the ack inbox, in the turn in which the answer comes. What the server accepts too
   * late is closed: the request may have been carried out after its close.
   */
  subscribe(
    registration: Registration,
    inbox: string,
    start: Start,
    onAccepted: AckInboxListener,
    { maxInFlight, ackWait, durable, queue }: RequestSettings = this.#settings,
  ): Promise<Failure | undefined> {
    const { connection, session, over } = registration;
    const request = encode(SubscriptionRequest, {
      clientID: this.#context.settings.clientId,
      subject: this.subject,
      qGroup: queue,
      inbox,
      maxInFlight,
      ackWaitInSecs: ackWait / 1000,
      durableName: durable,
      ...start,
    });
    return this.#request(connection, session.subjects.subRequests, request, onAccepted, (ackInbox) => {
      if (!over.aborted) void this.close(registration, ackInbox, false);
    });
  }

  /**
   * Closes the subscription of an inbox, or with `forget` unsubscribes it. The server knows it by its ack inbox, and by its
   * delivery inbox as well (nats-streaming-server 0.17.0 by its ack inbox alone).
   */
  close({ connection, session }: Registration, inbox: string, unsubscribe: boolean): Promise<Failure | undefined> {
    const request = encode(UnsubscribeRequest, {
      clientID: this.#context.settings.clientId,
      subject: this.subject,
      inbox,
      durableName: this.#settings.durable,
    });
    const { unsubRequests, subCloseRequests } = session.subjects;
    return this.#request(connection, unsubscribe ? unsubRequests : subCloseRequests, request, noop);
  }

  /** Waits before a request that has failed is sent again. */
  async pause(registration: Registration, failure: Failure): Promise<void> {
    if (failure.class === "session-lost") this.#context.registrar.verify();
    await sleep(RETRY_DELAY, registration.over);
  }

  /** Sends a request that a SubscriptionResponse answers. */
  async #request(
    connection: Connection,
    subject: string,
    request: Uint8Array,
    onAccepted: AckInboxListener,
    late?: AckInboxListener,
  ): Promise<Failure | undefined> {
    const { requestTimeout } = this.#context.settings;
    try {
      const answer = await connection.request(subject, request, requestTimeout, reader(onAccepted), late && reader(late));
      if (answer.error === "") return undefined;
      return { class: classify(answer.error), code: "REFUSED", text: answer.error, cause: undefined };
    } catch (error) {
      if (!(error instanceof NatsError)) throw error;
      if (error.code === "PERMISSIONS") return denied(error);
      const noResponders = error.code === "NO_RESPONDERS";
      return { class: noResponders ? "session-lost" : "transient", code: "NO_SERVER", text: error.reason, cause: error };
    }
  }
}

/** Reads an answer, and hands on its ack inbox in the same turn. */
function reader(onAccepted: AckInboxListener): (bytes: Uint8Array, start: number, end: number) => SubscriptionResponse {
  return (bytes, start, end) => {
    const answer = SubscriptionResponse.read(bytes, start, end);
    // An ack inbox is a subject that goes back onto the wire: an answer with an impossible one is no answer.
    const rule = answer.ackInbox === "" ? undefined : subjectRule(answer.ackInbox, false);
    if (rule !== undefined) throw new TypeError(`the ack inbox ${rule}`);
    if (answer.error === "") onAccepted(answer.ackInbox);
    return answer;
  };
}

/** The NATS server denied one of the subjects: that is for good. */
export function denied(error: NatsError): Failure {
  return { class: "permanent", code: "NOT_PERMITTED", text: error.reason, cause: error };
}
