import { expect, test } from "vitest";
import type { Connection } from "../../../src/core-nats/connection.ts";
import { NatsError } from "../../../src/core-nats/errors.ts";
import { Lifetime } from "../../../src/core-nats/lifetime.ts";
import { UnsubscribeRequest } from "../../../src/pb/control.ts";
import { checkConnectOptions } from "../../../src/streaming/connect-options.ts";
import type { Registration } from "../../../src/streaming/session/registration.ts";
import type { Session } from "../../../src/streaming/session/session.ts";
import type { ClientContext } from "../../../src/streaming/subscribing/client-context.ts";
import { Orphans } from "../../../src/streaming/subscribing/orphans.ts";
import { Peek } from "../../../src/streaming/subscribing/peek.ts";
import { Requests } from "../../../src/streaming/subscribing/requests.ts";
import { fromLast } from "../../../src/streaming/subscribing/start-position.ts";
import { checkSubscribeOptions } from "../../../src/streaming/subscribing/subscribe-options.ts";
import { subjects, subscriptionResponse } from "../../support/fake-streaming.ts";

interface Rig {
  readonly requests: Requests;
  readonly orphans: Orphans;
  readonly registration: Registration;
  /** The inboxes of the subscriptions that were closed. */
  readonly closed: string[];
  /** Accepts the last subscription, too late. */
  readonly accept: (ackInbox: string) => void;
}

/** A server that closes whatever it is told to, and what it was told; it accepts a subscription only when it is too late. */
function start(): Rig {
  const closed: string[] = [];
  let waiting: Parameters<Connection["request"]>[4];
  const request: Connection["request"] = (subject, bytes, _, read, late) => {
    const answer = subscriptionResponse("");
    if (subject === subjects.subRequests) {
      waiting = late;
      return Promise.reject(new NatsError("TIMEOUT", "too late"));
    }
    expect(late).toBe(undefined);
    closed.push(UnsubscribeRequest.read(bytes).inbox);
    return Promise.resolve(read(answer, 0, answer.length));
  };
  const connection = { request, subscribe: () => 1, unsubscribe: () => undefined } as unknown as Connection;
  const session = { subjects } as unknown as Session;
  const { settings } = checkConnectOptions({ clusterId: "c", clientId: "me" });
  const requests = new Requests({ settings } as ClientContext, "fake", checkSubscribeOptions({ durable: "d" }));
  const accept = (ackInbox: string): void => {
    const answer = subscriptionResponse(ackInbox);
    waiting?.(answer, 0, answer.length);
  };
  return { requests, orphans: new Orphans(requests), registration: { connection, session, over: new Lifetime() }, closed, accept };
}

test("what was given up is closed, by its ack inbox if the server gave one", async () => {
  const { orphans, registration, closed } = start();
  orphans.add(registration.session, "inbox 1", "", false);
  orphans.add(registration.session, "inbox 2", "ack inbox 2", false);
  expect(orphans.hasOpen).toBe(true);
  expect(await orphans.close(registration)).toBe(true);
  expect(closed).toEqual(["inbox 1", "ack inbox 2"]);
  expect(orphans.hasOpen).toBe(false);
});

test("if in doubt it is closed once more; of a year of attempts no more than the last few are kept for that", async () => {
  const { orphans, registration, closed } = start();
  for (let attempt = 1; attempt <= 1_000; attempt++) {
    orphans.add(registration.session, `inbox ${attempt}`, "", false);
    await orphans.close(registration);
  }
  closed.length = 0;
  orphans.reopenAll();
  await orphans.close(registration);
  expect(closed.length).toBeGreaterThan(1);
  expect(closed.length).toBeLessThan(20);
  expect(closed.at(-1)).toBe("inbox 1000");
  closed.length = 0;
  orphans.reopenAll();
  await orphans.close(registration);
  expect(closed).toEqual([]);
});

test("what is accepted after its time is closed, if the session is still the same", async () => {
  const { requests, orphans, registration, closed, accept } = start();
  const asks = [
    () => requests.subscribe(registration, "inbox", fromLast, () => expect.fail("it was given up")),
    () => new Peek(requests, orphans).readOne(registration, fromLast, 0, () => expect.fail("nothing was shown")),
  ];
  for (const ask of asks) {
    await ask();
    closed.length = 0;
    accept("_STAN.late");
    expect(closed).toEqual(["_STAN.late"]);
  }
  (registration.over as Lifetime).abort();
  accept("_STAN.other");
  expect(closed).toEqual(["_STAN.late"]);
});
