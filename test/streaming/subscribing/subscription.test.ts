import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { embedded, open } from "../../support/clients.ts";
import { FakeStreaming, subscriptionResponse } from "../../support/fake-streaming.ts";

let fake: FakeStreaming;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
});

describe("subscribing", () => {
  test.each(["too many channels", "too many subscriptions per channel", "stan: invalid subject"])(
    "that is refused with %j rejects with these words, and leaves nothing",
    async (words) => {
      const client = await open(fake);
      fake.onSubscribe = (ask) => ask.answer(subscriptionResponse("", words));
      const refused = { code: "REFUSED", message: `subscribe fake: ${words}` };
      await expect(client.subscribe("fake", () => {})).rejects.toMatchObject(refused);
      expect(client.ready).toBe(true);
      fake.onSubscribe = (ask) => void fake.accept(ask);
      expect((await client.subscribe("fake", () => {})).state).toBe("subscribed");
    },
  );

  test("that is denied rejects with NOT_PERMITTED: the request, and the inbox", async () => {
    const client = await open(fake);
    fake.onSubscribe = (ask) => ask.link.send(`-ERR 'Permissions Violation for Publish to "${ask.subject}"'\r\n`);
    await expect(client.subscribe("fake", () => {})).rejects.toMatchObject({ code: "NOT_PERMITTED" });
    fake.onSubscribe = (ask) => {
      ask.link.send(`-ERR 'Permissions Violation for Subscription to "${ask.message.inbox}"'\r\n`);
      fake.accept(ask);
    };
    await expect(client.subscribe("fake", () => {})).rejects.toMatchObject({ code: "NOT_PERMITTED" });
    expect(client.state).toBe("registered");
  });

  test("whose inbox is denied later ends the subscription, with the cause", async () => {
    const client = await open(fake);
    const subscription = await client.subscribe("fake", () => {});
    fake.link.send(`-ERR 'Permissions Violation for Subscription to "${fake.held[0].request.inbox}"'\r\n`);
    expect(await subscription.closed).toMatchObject({ code: "NOT_PERMITTED" });
    expect(subscription.state).toBe("closed");
  });

  test("again with the same durable is refused here; with another client's words elsewhere", async () => {
    const client = await open(fake);
    await client.subscribe("fake", () => {}, { durable: "d" });
    await expect(client.subscribe("fake", () => {}, { durable: "d" })).rejects.toMatchObject({ code: "REFUSED" });
    expect(fake.subscribes.length).toBe(1);
    await client.subscribe("other", () => {}, { durable: "d" });
    await client.subscribe("fake", () => {}, { durable: "e" });
    await client.subscribe("fake", () => {}, { durable: "d", queue: "q" });
    await client.subscribe("fake", () => {}, { durable: "d", queue: "q" });
    expect(fake.subscribes.length).toBe(5);
  });

  test("with a durable that a subscription of its own still holds on the server closes that first", async () => {
    const server = await embedded();
    const client = await open(server, { requestTimeout: 50 });
    // The first request is carried out, but the client does not learn of it.
    server.swallow("SubscriptionResponse");
    const subscription = await client.subscribe("c", () => {}, { durable: "d" });
    expect(subscription.state).toBe("subscribed");
    expect(server.subscriptions("c")).toMatchObject([{ durable: "d", online: true }]);
  });
});
