import { noop, sleep } from "../../core-nats/async.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import { MsgProtoView } from "../../pb/data.ts";
import type { Registration } from "../session/registration.ts";
import type { Orphans } from "./orphans.ts";
import type { Requests, RequestSettings } from "./requests.ts";
import { fromLast } from "./start-position.ts";
import type { Start } from "./start-position.ts";

/** The subscription is there for a moment, to see messages, which are not acknowledged. */
const PEEK: RequestSettings = { maxInFlight: 1, ackWait: 30_000, durable: "", queue: "" };

/** How long to wait for a message where it matters that there may be none, in milliseconds. */
export const PEEK_TIMEOUT = 250;

/** What a peek shows: each message, and the bytes that it lies in. */
export type MessageListener = (view: MsgProtoView, bytes: Uint8Array) => void;

/** Reads messages of a channel, by subscriptions of its own that are closed again. */
export class Peek {
  readonly #requests: Requests;
  readonly #orphans: Orphans;

  constructor(requests: Requests, orphans: Orphans) {
    this.#requests = requests;
    this.#orphans = orphans;
  }

  /** Reads the message at `start`. */
  readOne(registration: Registration, start: Start, timeout: number, onMessage: MessageListener): Promise<number | undefined> {
    return this.read(registration, start, 1, timeout, onMessage);
  }

  /**
   * Reads up to `most` messages from `start` on. Resolves with the sequence of the last one, after `shown` got each; with
   * undefined if the server could not be asked now; with 0 if none came within `patience` milliseconds, which does not prove
   * that there is none: a busy server answers long before it begins to send (seen).
   */
  async read(registration: Registration, start: Start, most: number, timeout: number, onMessage: MessageListener): Promise<number | undefined> {
    const { connection, over } = registration;
    const view = new MsgProtoView();
    const enough = new Lifetime();
    let last = 0;
    let count = 0;
    const inbox = this.#requests.inbox();
    const sid = connection.subscribe(inbox, {
      deliver({ bytes, start, end }) {
        try {
          view.read(bytes, start, end);
        } catch {
          // Whoever sent this, it was not the streaming server.
          return;
        }
        last = view.sequence;
        onMessage(view, bytes);
        if (++count === most) enough.abort();
      },
      denied: noop,
    });
    let ackInbox = "";
    const onAccepted = (answered: string): void => {
      ackInbox = answered;
    };
    const failure = await this.#requests.subscribe(registration, inbox, start, onAccepted, { ...PEEK, maxInFlight: most });
    for (let before = -1; failure === undefined && before < count && count < most && !over.aborted; ) {
      before = count;
      await sleep(timeout, enough, over);
    }
    this.#orphans.add(registration.session, inbox, ackInbox, false);
    const closed = await this.#orphans.close(registration);
    connection.unsubscribe(sid);
    if (failure === undefined || failure.class === "permanent") return closed ? last : undefined;
    await this.#requests.pause(registration, failure);
    return undefined;
  }

  // Why: docs/decisions.md#a-last-message-that-was-lost-on-its-way
  /**
   * Looks which message was the last one when `since` began. That is the one before those that were stored since, or the
   * last one still. Resolves with 0 if there is none, with undefined if that is not known yet.
   */
  async lastBefore(registration: Registration, since: Start, timeout: number): Promise<number | undefined> {
    const last = await this.readOne(registration, fromLast, 0, noop);
    // An empty channel is as good as one whose first message is yet to come; many may have one, and none should wait for it.
    if (!last) return last;
    const next = await this.readOne(registration, since, timeout, noop);
    return next === 0 ? last : next && next - 1;
  }
}
