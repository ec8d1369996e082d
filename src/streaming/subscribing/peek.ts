import { noop, sleep } from "../../core-nats/async.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import { MsgProtoView } from "../../pb/data.ts";
import type { Registration } from "../session/registration.ts";
import type { Orphans } from "./orphans.ts";
import type { Requests, RequestSettings } from "./requests.ts";
import { fromLast } from "./start-position.ts";
import type { Start } from "./start-position.ts";

/** A peek acknowledges no message, and its subscription is closed at once. */
const PEEK: RequestSettings = { maxInFlight: 1, ackWait: 30_000, durable: "", queue: "" };

/** How long a peek waits for a message that matters, in milliseconds. */
export const PEEK_TIMEOUT = 250;

/** Gets each message of a peek, and the bytes that hold it. */
export type MessageListener = (view: MsgProtoView, bytes: Uint8Array) => void;

/** Reads messages of a channel, by short subscriptions of its own. */
export class Peek {
  readonly #requests: Requests;
  readonly #orphans: Orphans;

  constructor(requests: Requests, orphans: Orphans) {
    this.#requests = requests;
    this.#orphans = orphans;
  }

  /** Reads the message at `start`. */
  readOne(
    registration: Registration,
    start: Start,
    timeout: number,
    onMessage: MessageListener,
  ): Promise<number | undefined> {
    return this.read(registration, start, 1, timeout, onMessage);
  }

  /**
   * Reads up to `most` messages from `start` on, and calls `onMessage` with each. Resolves with the sequence of the
   * last one, or with undefined if the server could not be asked now. Resolves with 0 if no message came within
   * `timeout` milliseconds. That does not prove that there is none: a busy server answers long before it begins to send
   * (seen).
   */
  async read(
    registration: Registration,
    start: Start,
    most: number,
    timeout: number,
    onMessage: MessageListener,
  ): Promise<number | undefined> {
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
          // The streaming server did not send this.
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
    const settings = { ...PEEK, maxInFlight: most };
    const failure = await this.#requests.subscribe(registration, inbox, start, onAccepted, settings);
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
   * Finds the message that was the last one when `since` began: the one before the first message stored since, or the
   * last one of the channel. Resolves with 0 if there is none, with undefined if the server could not be asked now.
   */
  async lastBefore(registration: Registration, since: Start, timeout: number): Promise<number | undefined> {
    const last = await this.readOne(registration, fromLast, 0, noop);
    // A channel that shows no message counts as empty. Many channels are empty, and waiting would cost time.
    if (!last) return last;
    const next = await this.readOne(registration, since, timeout, noop);
    return next === 0 ? last : next && next - 1;
  }
}
