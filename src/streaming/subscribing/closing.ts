import { deferred } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import { StreamingError } from "../errors.ts";
import type { Registration } from "../session/registration.ts";
import type { Requests } from "./requests.ts";

/** The end of a subscription by its user. It aborts when the user asks for it. */
export class Closing extends Lifetime {
  /** True when the server has answered, or does not have the subscription. */
  done = false;
  kind: "close" | "unsubscribe" = "close";
  /** Created on first use: an idle subscription keeps none. */
  #closed: Deferred<StreamingError | undefined> | undefined;

  /** See `Subscription.closed`. */
  get closed(): Promise<StreamingError | undefined> {
    return (this.#closed ??= deferred()).promise;
  }

  /** True if the server must forget a durable. The server does that only while the durable is subscribed. */
  mustUnsubscribe(durable: string): boolean {
    return this.aborted && this.kind === "unsubscribe" && durable !== "";
  }

  /**
   * Sends the request until the server answers it. Resolves with "closed" then, or when the client ends; with
   * "disconnected" when the registration is over; with an error if the server refuses for good.
   */
  async request(
    requests: Requests,
    registration: Registration,
    ackInbox: string,
    ending: AbortSignalLike,
  ): Promise<"closed" | "disconnected" | StreamingError> {
    while (!ending.aborted) {
      if (registration.over.aborted) return "disconnected";
      const failure = await requests.close(registration, ackInbox, this.kind === "unsubscribe");
      if (failure === undefined || failure.class === "gone") {
        this.done = true;
        return "closed";
      }
      if (failure.class === "permanent") {
        return new StreamingError(failure.code, `${this.kind} ${requests.subject}: ${failure.text}`, failure.cause);
      }
      await requests.pause(registration, failure);
    }
    return "closed";
  }

  /** The subscription has ended. */
  end(error: StreamingError | undefined): void {
    (this.#closed ??= deferred()).resolve(error);
  }
}
