import type { Registration } from "../session/registration.ts";
import type { Session } from "../session/session.ts";
import type { Requests } from "./requests.ts";

interface Orphan {
  readonly deliveryInbox: string;
  /** The ack inbox, if the server gave one; else the delivery inbox. */
  readonly inbox: string;
  /** To be unsubscribed, not closed: the server must forget the durable. */
  readonly unsubscribe: boolean;
  readonly removeWhenClosed: boolean;
  closed: boolean;
}

/** A request that timed out may be carried out after it was closed, but not after many others were. */
const MOST_CLOSED = 10;

// Why: docs/decisions.md#orphaned-subscriptions
/**
 * Subscriptions that the server may have and nobody wants. A request that timed out may have been carried out; what it
 * made would get its share of a queue group, or keep a durable from being resumed.
 */
export class Orphans {
  readonly #requests: Requests;
  /** The session in which all these were asked for. They end with it. */
  #session: Session | undefined;
  #all: readonly Orphan[] = [];

  constructor(requests: Requests) {
    this.#requests = requests;
  }

  /** True while one of them is not closed. */
  get hasOpen(): boolean {
    return this.#all.some(({ closed }) => !closed);
  }

  /** Forgets those of another session. */
  useSession(session: Session): void {
    if (this.#session === session) return;
    this.#session = session;
    this.#all = [];
  }

  /** Adds a subscription: `close` closes it, or with `forget` unsubscribes it. */
  add(session: Session, deliveryInbox: string, ackInbox: string, unsubscribe: boolean): void {
    this.useSession(session);
    const closed = this.#all.filter((orphan) => orphan.closed).slice(1 - MOST_CLOSED);
    const open = this.#all.filter((orphan) => !orphan.closed);
    this.#all = [...closed, ...open, { inbox: ackInbox || deliveryInbox, deliveryInbox, unsubscribe, removeWhenClosed: false, closed: false }];
  }

  /** Takes all for not closed after all: they are closed once more. */
  reopenAll(): void {
    this.#all = this.#all.map((orphan) =>
      orphan.closed ? { ...orphan, inbox: orphan.deliveryInbox, unsubscribe: false, removeWhenClosed: true, closed: false } : orphan,
    );
  }

  /** Closes all. Resolves with false if that is not possible now. */
  async close(registration: Registration): Promise<boolean> {
    for (const orphan of this.#all) {
      if (orphan.closed) continue;
      const failure = await this.#requests.close(registration, orphan.inbox, orphan.unsubscribe);
      if (failure !== undefined && (failure.class === "session-lost" || failure.class === "transient")) {
        await this.#requests.pause(registration, failure);
        return false;
      }
      orphan.closed = true;
      if (orphan.removeWhenClosed) this.#all = this.#all.filter((other) => other !== orphan);
    }
    return true;
  }
}
