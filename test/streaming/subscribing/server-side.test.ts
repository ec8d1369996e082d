import { expect, test } from "vitest";
import type { Connection } from "../../../src/core-nats/connection.ts";
import { NatsError } from "../../../src/core-nats/errors.ts";
import { Lifetime } from "../../../src/core-nats/lifetime.ts";
import { UnsubscribeRequest } from "../../../src/pb/protocol.ts";
import { checkConnectOptions, checkSubscribeOptions } from "../../../src/streaming/options.ts";
import { ServerSide } from "../../../src/streaming/subscribing/server-side.ts";
import { fromLast } from "../../../src/streaming/subscribing/start-position.ts";
import type { Session } from "../../../src/streaming/session/session.ts";
import type { Registration, Supervisor } from "../../../src/streaming/session/supervisor.ts";
import { subjects, subscriptionResponse } from "../../support/fake-streaming.ts";

/** A server that closes whatever it is told to, and what it was told; it accepts a subscription only when it is too late. */
function start(): { server: ServerSide; registration: Registration; closed: string[]; accept: (ackInbox: string) => void } {
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
  const settings = checkConnectOptions({ clusterId: "c", clientId: "me" });
  const server = new ServerSide(settings, {} as Supervisor, "fake", checkSubscribeOptions({ durable: "d" }));
  server.enter(session);
  const accept = (ackInbox: string): void => {
    const answer = subscriptionResponse(ackInbox);
    waiting?.(answer, 0, answer.length);
  };
  return { server, registration: { connection, session, over: new Lifetime() }, closed, accept };
}

test("what was given up is closed, by its ack inbox if the server gave one", async () => {
  const { server, registration, closed } = start();
  server.giveUp("inbox 1", "", false);
  server.giveUp("inbox 2", "ack inbox 2", false);
  expect(server.haunted).toBe(true);
  expect(await server.leftovers(registration)).toBe(true);
  expect(closed).toEqual(["inbox 1", "ack inbox 2"]);
  expect(server.haunted).toBe(false);
});

test("if in doubt it is closed once more; of a year of attempts no more than the last few are kept for that", async () => {
  const { server, registration, closed } = start();
  for (let attempt = 1; attempt <= 1_000; attempt++) {
    server.giveUp(`inbox ${attempt}`, "", false);
    await server.leftovers(registration);
  }
  closed.length = 0;
  server.suspectAll();
  await server.leftovers(registration);
  expect(closed.length).toBeGreaterThan(1);
  expect(closed.length).toBeLessThan(20);
  expect(closed.at(-1)).toBe("inbox 1000");
  closed.length = 0;
  server.suspectAll();
  await server.leftovers(registration);
  expect(closed).toEqual([]);
});

test("what is accepted after its time is closed, if the session is still the same", async () => {
  const { server, registration, closed, accept } = start();
  const asks = [
    () => server.subscribe(registration, "inbox", fromLast, () => expect.fail("it was given up")),
    () => server.look(registration, fromLast, 0, () => expect.fail("nothing was shown")),
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
