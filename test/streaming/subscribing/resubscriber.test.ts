import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { SubscriptionRequest } from "../../../src/pb/control.ts";
import { embedded, fresh, open } from "../../support/clients.ts";
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
