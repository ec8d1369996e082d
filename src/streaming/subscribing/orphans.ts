import type { Registration } from "../session/registration.ts";
import type { Session } from "../session/session.ts";
import type { Requests } from "./requests.ts";

interface Orphan {
  readonly deliveryInbox: string;
  /** The ack inbox, or the delivery inbox if the server gave no ack inbox. */
  readonly inbox: string;
  /** True if the server must delete the durable: the orphan is unsubscribed, not closed. */
  readonly unsubscribe: boolean;
  /** True if it is closed for the second time, and removed then. */
  readonly final: boolean;
  closed: boolean;
}

/** The server may carry out a request after its close, but not after many other requests. */
const MOST_CLOSED = 10;

// Why: docs/decisions.md#orphaned-subscriptions
/**
 * Subscriptions that the server may have and that the client has given up. The server may have carried out a request
 * that timed out. The subscription would then get its share of a queue group, or keep a durable from being resumed.
 */
export class Orphans {
  readonly #requests: Requests;
  /** The session of all these subscriptions, which end with it. */
  #session: Session | undefined;
  #all: readonly Orphan[] = [];

  constructor(requests: Requests) {
    this.#requests = requests;
  }

  /** True while at least one is not closed. */
  get hasOpen(): boolean {
    return this.#all.some(({ closed }) => !closed);
  }

  /** Removes the orphans of another session. */
  useSession(session: Session): void {
    if (this.#session === session) return;
    this.#session = session;
    this.#all = [];
  }

  /** Adds a subscription, which `close` closes or unsubscribes. */
  add(session: Session, deliveryInbox: string, ackInbox: string, unsubscribe: boolean): void {
    this.useSession(session);
    const closed = this.#all.filter((orphan) => orphan.closed).slice(1 - MOST_CLOSED);
    const open = this.#all.filter((orphan) => !orphan.closed);
    const inbox = ackInbox || deliveryInbox;
    const added = { inbox, deliveryInbox, unsubscribe, final: false, closed: false };
    this.#all = [...closed, ...open, added];
  }

  /** Has `close` close all once more, by their delivery inboxes. */
  reopenAll(): void {
    this.#all = this.#all.map((orphan) => {
      if (!orphan.closed) return orphan;
      const { deliveryInbox } = orphan;
      return { inbox: deliveryInbox, deliveryInbox, unsubscribe: false, final: true, closed: false };
    });
  }

  /** Closes all. Resolves with false if the server could not be asked now. */
  async close(registration: Registration): Promise<boolean> {
    for (const orphan of this.#all) {
      if (orphan.closed) continue;
      const failure = await this.#requests.close(registration, orphan.inbox, orphan.unsubscribe);
      if (failure !== undefined && (failure.class === "session-lost" || failure.class === "transient")) {
        await this.#requests.pause(registration, failure);
        return false;
      }
      orphan.closed = true;
      if (orphan.final) this.#all = this.#all.filter((other) => other !== orphan);
    }
    return true;
  }
}
