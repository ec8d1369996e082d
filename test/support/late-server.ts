import type { Connection } from "../../src/core-nats/connection.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import { Lifetime } from "../../src/core-nats/lifetime.ts";
import { UnsubscribeRequest } from "../../src/pb/control.ts";
import { checkConnectOptions } from "../../src/streaming/connect-options.ts";
import type { Registrar, Registration } from "../../src/streaming/session/registration.ts";
import type { Session } from "../../src/streaming/session/session.ts";
import { Stopwatch } from "../../src/streaming/session/stopwatch.ts";
import { Requests } from "../../src/streaming/subscribing/requests.ts";
import { checkSubscribeOptions } from "../../src/streaming/subscribing/subscribe-options.ts";
import { subjects, subscriptionResponse } from "./fake-streaming.ts";

/** A streaming server that closes subscriptions at once, and accepts one only when its request has timed out. */
export class LateServer {
  /** The inboxes of the subscriptions that were closed. */
  readonly closed: string[] = [];
  readonly over = new Lifetime();
  readonly registration: Registration;
  readonly requests: Requests;
  #late: Parameters<Connection["request"]>[4];

  constructor() {
    const request: Connection["request"] = (subject, bytes, _, read, late) => {
      if (subject === subjects.subRequests) {
        this.#late = late;
        return Promise.reject(new NatsError("TIMEOUT", "too late"));
      }
      if (late !== undefined) throw new Error("a close needs no late answer");
      this.closed.push(UnsubscribeRequest.read(bytes).inbox);
      const answer = subscriptionResponse("");
      return Promise.resolve(read(answer, 0, answer.length));
    };
    // Both are classes, of which requests and peeks use these members alone.
    const connection = { request, subscribe: () => 1, unsubscribe: () => undefined } as unknown as Connection;
    const session = { subjects } as unknown as Session;
    const { settings } = checkConnectOptions({ clusterId: "c", clientId: "me" });
    const registration = { connection, session, over: this.over };
    const registrar: Registrar = {
      stopwatch: new Stopwatch(),
      registered: () => Promise.resolve(registration),
      verify: () => undefined,
    };
    this.registration = registration;
    const context = { settings, registrar, ending: new Lifetime() };
    this.requests = new Requests(context, "fake", checkSubscribeOptions({ durable: "d" }));
  }

  /** Accepts the last subscription, too late. */
  accept(ackInbox: string): void {
    const answer = subscriptionResponse(ackInbox);
    this.#late?.(answer, 0, answer.length);
  }
}
