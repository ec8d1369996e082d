import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { StartPosition, type SubscriptionRequest } from "../../src/pb/protocol.ts";
import { fresh, open, Received, Statuses } from "../support/clients.ts";
import { type Ask, FakeStreaming, msgProto, pingResponse, subjects, subscriptionResponse } from "../support/fake-streaming.ts";
import { until } from "../support/until.ts";

const gone = "client has been replaced or is no longer registered";

let fake: FakeStreaming;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
});

/** Cuts the link, and the server does not know the session any more; the next one it knows. */
function loseSession(): void {
  const lost = fake.registrations.length;
  fake.onPing = (ask) => ask.answer(pingResponse(fake.registrations.length === lost ? gone : ""));
  fake.link.destroy();
}

describe("what was asked for and is not wanted any more", () => {
  test("is closed on the server when the subscription is closed while the answer is awaited", async () => {
    const client = await open(fake, { requestTimeout: 500 });
    const subscription = await client.subscribe("fake", () => undefined, { durable: "d" });
    const unanswered: string[] = [];
    fake.onSubscribe = (ask) => void unanswered.push(ask.message.inbox);
    loseSession();
    await until("the server is asked again", () => unanswered.length > 0);
    await subscription.close();
    expect(unanswered).toHaveLength(1);
    expect(fake.leaves.map((ask) => ask.message.inbox)).toEqual(unanswered);
  });

  test("is closed once more when its acceptance comes after all", async () => {
    const client = await open(fake, { requestTimeout: 500 });
    const asks: Ask<SubscriptionRequest>[] = [];
    fake.onSubscribe = (ask) => {
      asks.push(ask);
      if (asks.length > 1) fake.accept(ask);
    };
    await client.subscribe("fake", () => undefined);
    const [late] = asks;
    const leaves = fake.leaves.length;
    late!.answer(subscriptionResponse("_FAKE.late"));
    await until("the late one is closed", () => fake.leaves.length > leaves);
    expect(fake.leaves.at(-1)!.message.inbox).toBe(late!.message.inbox);
    expect(fake.leaves.at(-1)!.subject).toBe(subjects.subCloseRequests);
  });

  test("is not claimed to be forgotten when the client ended before the server was told", async () => {
    const client = await open(fake, { requestTimeout: 500 });
    const subscription = await client.subscribe("fake", () => undefined, { durable: "d" });
    let asked = 0;
    fake.onSubscribe = () => void asked++;
    loseSession();
    await until("the server is asked again", () => asked > 0);
    const left = expect(subscription.unsubscribe()).rejects.toMatchObject({ code: "CLOSED" });
    await client.close();
    await left;
  });
});

describe("many subscriptions", () => {
  test("are not kept waiting by some that cannot be had at the moment", async () => {
    const client = await open(fake);
    fake.onSubscribe = (ask) => {
      if (ask.message.subject === "fake") fake.accept(ask);
      else ask.answer(subscriptionResponse("", "no space left on device"));
    };
    const others = Array.from({ length: 16 }, () => client.subscribe(fresh("full"), () => undefined));
    for (const other of others) other.catch(() => undefined);
    await client.subscribe("fake", () => undefined);
    expect(fake.held).toHaveLength(1);
  });
});

describe("a subscription that has received nothing", () => {
  test("goes on from when it was made, also when the server took its time to get to the request", async () => {
    const statuses = new Statuses();
    const requestTimeout = 3_000;
    const client = await open(fake, { onStatus: statuses.onStatus, requestTimeout });
    await client.subscribe("fake", () => undefined);
    loseSession();
    await until("it is subscribed again", () => statuses.of("subscribed").length === 2);
    const again = fake.subscribes[1]!.message;
    expect(again.startPosition).toBe(StartPosition.TimeDeltaStart);
    // The server counts back from when it gets to the request, which may be as late as the request may take.
    expect(Number(again.startTimeDelta) / 1e6).toBeGreaterThanOrEqual(requestTimeout);
  });
});

describe("the acks of the last messages", () => {
  test("are repeated after a resume, to the ack inbox that the session has", async () => {
    const client = await open(fake);
    const received = new Received();
    await client.subscribe("fake", received.handler, { maxInFlight: 2, startAt: "first" });
    for (const sequence of [1n, 2n, 3n]) fake.deliver(msgProto({ sequence }));
    await until("three are acknowledged", () => fake.others.length === 3);
    fake.link.destroy();
    await until("two are acknowledged again", () => fake.others.length === 5);
    expect(new Set(fake.others.map((frame) => frame.subject))).toEqual(new Set([fake.held[0]!.ackInbox]));
  });
});
