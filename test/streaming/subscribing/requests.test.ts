import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { fromLast } from "../../../src/streaming/subscribing/start-position.ts";
import { open, Statuses } from "../../support/clients.ts";
import { FakeStreaming, msgProto, subscriptionResponse } from "../../support/fake-streaming.ts";
import { LateServer } from "../../support/late-server.ts";
import { until } from "../../support/until.ts";

let fake: FakeStreaming;
let statuses: Statuses;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  statuses = new Statuses();
  onTestFinished(() => fake.stop());
});

describe("a subscription request", () => {
  test("says all that was set, and only that", async () => {
    const client = await open(fake, { clientId: "me" });
    await client.subscribe("a.b", () => {}, { durable: "d", queue: "q", maxInFlight: 7, ackWait: 3_000 });
    await client.subscribe("a.b", () => {});
    const [one, two] = fake.subscribes.map(({ message }) => message);
    const both = { clientID: "me", subject: "a.b" };
    expect(one).toMatchObject({ ...both, durableName: "d", qGroup: "q", maxInFlight: 7, ackWaitInSecs: 3 });
    expect(two).toMatchObject({ ...both, durableName: "", qGroup: "", maxInFlight: 100, ackWaitInSecs: 30 });
    expect(one.inbox).not.toBe(two.inbox);
    expect(fake.sidsOf(fake.link, two.inbox).length).toBe(1);
  });

  const impossible = ["a\r\nPUB x 0\r\n", "a b", "a.>", "a..b", "a\u0000"];
  test.each(impossible)("takes no answer with the ack inbox %j, and the true one still counts", async (ackInbox) => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    fake.onSubscribe = (ask) => {
      ask.answer(subscriptionResponse(ackInbox));
      ask.answer(Uint8Array.of(0x12, 0x7f));
      fake.accept(ask, msgProto({ sequence: 1n }));
    };
    await client.subscribe("fake", () => {});
    await until("the ack is there", () => fake.acks.length === 1);
    expect(fake.others[0].subject).toBe(fake.held[0].ackInbox);
    expect(statuses.of("error").length).toBe(2);
    expect(client.state).toBe("registered");
    expect(fake.subscribes.length).toBe(1);
  });
});

test("a subscription that is accepted after its time is closed, if the session is still the same", async () => {
  const server = new LateServer();
  const { requests, registration, closed } = server;
  const failure = await requests.subscribe(registration, "inbox", fromLast, () => expect.fail("it was accepted"));
  expect(failure).toMatchObject({ class: "transient", code: "NO_SERVER" });
  server.accept("_STAN.late");
  expect(closed).toEqual(["_STAN.late"]);
  server.over.abort();
  server.accept("_STAN.other");
  expect(closed).toEqual(["_STAN.late"]);
});
