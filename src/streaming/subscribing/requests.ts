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

/** Why a request failed. */
export interface Failure {
  readonly class: AnswerClass;
  readonly code: StreamingErrorCode;
  readonly text: string;
  readonly cause: unknown;
}

/** Gets the ack inbox of a subscription that the server has accepted. */
type AckInboxListener = (ackInbox: string) => void;

/** What requests need of a client. */
export type RequestContext = Pick<ClientContext, "settings" | "registrar" | "ending">;

/** The settings in a subscription request. */
export type RequestSettings = Pick<SubscribeSettings, "maxInFlight" | "ackWait" | "durable" | "queue">;

/** Sends a subscription's requests: subscribe, close, unsubscribe. */
export class Requests {
  readonly subject: string;
  readonly #context: RequestContext;
  readonly #settings: SubscribeSettings;

  constructor(context: RequestContext, subject: string, settings: SubscribeSettings) {
    this.subject = subject;
    this.#context = context;
    this.#settings = settings;
  }

  /** Returns a new inbox. */
  inbox(): string {
    return `${this.#context.settings.inboxPrefix}.${nuid()}`;
  }

  /**
   * Requests a subscription. `onAccepted` gets the ack inbox as soon as the answer is read. A subscription that the
   * server accepts too late is closed: the server may have carried out the request after an earlier close.
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
   * Closes the subscription of an inbox, or unsubscribes it: then the server deletes the durable. The server knows a
   * subscription by its ack inbox and by its delivery inbox (nats-streaming-server 0.17.0 by its ack inbox alone).
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

  /** Waits before a failed request is sent again. */
  async pause(registration: Registration, failure: Failure): Promise<void> {
    if (failure.class === "session-lost") this.#context.registrar.verify();
    await sleep(RETRY_DELAY, registration.over, this.#context.ending);
  }

  /** Sends a request, which the server answers with a SubscriptionResponse. */
  async #request(
    connection: Connection,
    subject: string,
    request: Uint8Array,
    onAccepted: AckInboxListener,
    late?: AckInboxListener,
  ): Promise<Failure | undefined> {
    const { requestTimeout } = this.#context.settings;
    try {
      const read = reader(onAccepted);
      const answer = await connection.request(subject, request, requestTimeout, read, late && reader(late));
      if (answer.error === "") return undefined;
      return { class: classify(answer.error), code: "REFUSED", text: answer.error, cause: undefined };
    } catch (error) {
      if (!(error instanceof NatsError)) throw error;
      if (error.code === "PERMISSIONS") return denied(error);
      const answerClass = error.code === "NO_RESPONDERS" ? "session-lost" : "transient";
      return { class: answerClass, code: "NO_SERVER", text: error.reason, cause: error };
    }
  }
}

/** Makes a reader of answers, which hands on the ack inbox at once. */
function reader(onAccepted: AckInboxListener): (bytes: Uint8Array, start: number, end: number) => SubscriptionResponse {
  return (bytes, start, end) => {
    const answer = SubscriptionResponse.read(bytes, start, end);
    // The client writes the ack inbox onto the wire, so an answer with an impossible one does not count.
    const rule = answer.ackInbox === "" ? undefined : subjectRule(answer.ackInbox, false);
    if (rule !== undefined) throw new TypeError(`the ack inbox ${rule}`);
    if (answer.error === "") onAccepted(answer.ackInbox);
    return answer;
  };
}

/** The failure of a request because the NATS server denied a subject. It is permanent. */
export function denied(error: NatsError): Failure {
  return { class: "permanent", code: "NOT_PERMITTED", text: error.reason, cause: error };
}
