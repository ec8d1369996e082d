import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { StartPosition, type SubscriptionRequest } from "../../../src/pb/control.ts";
import type { StreamingServer } from "../../../src/testing/server.ts";
import { embedded, fresh, open, Received, Statuses } from "../../support/clients.ts";
import { type Ask, FakeStreaming, subjects, subscriptionResponse } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

let fake: FakeStreaming;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
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

describe("a subscription that was requested and is not wanted any more", () => {
  test("is closed on the server when the subscription is closed while the answer is awaited", async () => {
    const server = await embedded();
    const client = await open(server, { clientId: "me", requestTimeout: 500 });
    const subscription = await client.subscribe("c", () => undefined, { durable: "d" });
    const online = () => server.subscriptions("c")[0]?.online;
    server.forget("me");
    server.swallow("SubscriptionResponse");
    server.cut();
    await until("the server is asked again", () => online() === true);
    await subscription.close();
    expect(online()).toBe(false);
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
    expect(fake.leaves.at(-1)!.message.inbox).toBe("_FAKE.late");
    expect(fake.leaves.at(-1)!.subject).toBe(subjects.subCloseRequests);
  });
});

describe("a subscription that has received nothing", () => {
  test("goes on from when it was made, also when the server took its time to get to the request", async () => {
    const statuses = new Statuses();
    const requestTimeout = 3_000;
    const client = await open(fake, { onStatus: statuses.onStatus, requestTimeout });
    await client.subscribe("fake", () => undefined);
    fake.loseSession();
    await until("it is subscribed again", () => statuses.of("subscribed").length === 2);
    const again = fake.subscribes[1]!.message;
    expect(again.startPosition).toBe(StartPosition.TimeDeltaStart);
    // The server counts back from when it gets to the request, which may be as late as the request may take.
    expect(Number(again.startTimeDelta) / 1e6).toBeGreaterThanOrEqual(requestTimeout);
  });
});

describe("a subscription to begin with the last message, whose delivery was lost with the session", () => {
  /** Three messages are stored, an hour passes, and the last one is delivered into a link that is lost. */
  async function lose(
    meanwhile: (server: StreamingServer) => void,
  ): Promise<{ received: Received; server: StreamingServer }> {
    const server = await embedded();
    const client = await open(server, { clientId: "me", requestTimeout: 300 });
    for (const text of ["one", "two", "three"]) server.publish("c", text);
    await server.advance(3_600_000);
    server.swallow("MsgProto");
    const received = new Received();
    await client.subscribe("c", received.handler, { startAt: "lastReceived" });
    server.forget("me");
    server.cut();
    meanwhile(server);
    return { received, server };
  }

  test("gets that one after all", async () => {
    const { received } = await lose(() => undefined);
    await received.until(1);
    expect(received.texts).toEqual(["three"]);
  });

  test("gets that one, and what was stored since", async () => {
    const { received } = await lose((server) => {
      for (const text of ["four", "five"]) server.publish("c", text);
    });
    await received.until(3);
    expect(received.texts).toEqual(["three", "four", "five"]);
  });

  test("gets what was stored since if there was none", async () => {
    const server = await embedded();
    const client = await open(server, { clientId: "me" });
    const received = new Received();
    await client.subscribe("c", received.handler, { startAt: "lastReceived" });
    server.forget("me");
    server.cut();
    for (const text of ["one", "two"]) server.publish("c", text);
    await received.until(2);
    expect(received.texts).toEqual(["one", "two"]);
  });
});

test("a durable that has received nothing needs no peek: the server knows its position", async () => {
  const statuses = new Statuses();
  const client = await open(fake, { onStatus: statuses.onStatus });
  await client.subscribe("fake", () => undefined, { durable: "d", startAt: "lastReceived" });
  fake.loseSession();
  await statuses.until("subscribed", 2);
  expect(fake.subscribes.map(({ message }) => message.durableName)).toEqual(["d", "d"]);
});
