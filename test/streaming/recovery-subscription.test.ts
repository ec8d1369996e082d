import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { Ack, StartPosition, type SubscriptionRequest } from "../../src/pb/protocol.ts";
import { embedded, fresh, open, Received, Statuses } from "../support/clients.ts";
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

describe("a durable that waits for its turn to be asked for again", () => {
  test("is forgotten all the same when that was asked for in an outage", async () => {
    const client = await open(fake, { requestTimeout: 60_000 });
    const durables = Array.from({ length: 17 }, (_, i) => client.subscribe("fake", () => undefined, { durable: `d${i}` }));
    const subscriptions = await Promise.all(durables);
    // All but the last have a slot, and are not answered.
    fake.onSubscribe = () => undefined;
    loseSession();
    await until("the server is asked again", () => fake.subscribes.length === 17 + 16);
    const waiting = subscriptions.find(({ durable }) => !fake.subscribes.slice(17).some(({ message }) => message.durableName === durable))!;
    fake.onSubscribe = (ask) => void fake.accept(ask);
    fake.onPing = () => undefined;
    fake.link.destroy();
    await until("it is not registered", () => client.state !== "registered" && waiting.state === "disconnected");
    const left = waiting.unsubscribe();
    fake.onPing = (ask) => ask.answer(pingResponse());
    await left;
    const unsubscribed = fake.leaves.filter(({ subject }) => subject === subjects.unsubRequests);
    expect(unsubscribed.map(({ message }) => message.durableName)).toEqual([waiting.durable]);
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
    const server = await embedded();
    const client = await open(server);
    await client.subscribe("c", () => undefined, { maxInFlight: 2 });
    server.swallow("Ack", 2);
    server.publish("c", "one");
    server.publish("c", "two");
    await server.idle();
    expect(server.subscriptions("c")).toMatchObject([{ pending: [1, 2] }]);
    server.cut();
    await until("they are acknowledged after all", () => server.subscriptions("c")[0]?.pending.length === 0);
  });

  test("are not repeated in a channel that has begun anew, where other messages have their numbers", async () => {
    const client = await open(fake);
    const received = new Received();
    let failures = 0;
    await client.subscribe("fake", (message) => {
      if (fake.registrations.length > 1) throw new Error(`fails on purpose, ${++failures}`);
      received.handler(message);
    });
    for (const sequence of [1n, 2n, 3n]) fake.deliver(msgProto({ sequence }));
    await received.until(3);
    const first = later({ sequence: 1n });
    fake.onSubscribe = (ask) => void fake.accept(ask, first);
    loseSession();
    await until("the new first message was delivered", () => failures === 1);
    // What was sent before has arrived with it.
    await client.publish("fake", "x");
    expect(acksTo(fake.held.at(-1)!.ackInbox)).toEqual([]);
    fake.link.destroy();
    await until("the session is resumed", () => fake.links.length === 3 && client.ready);
    await client.publish("fake", "x");
    expect(acksTo(fake.held.at(-1)!.ackInbox)).toEqual([]);
  });
});

describe("a channel that began anew under two members of a queue group in one client", () => {
  test("begins anew once for both: what one has finished is not handled again by the other", async () => {
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus });
    const received = new Received();
    for (let i = 0; i < 2; i++) await client.subscribe("fake", received.handler, { queue: "group" });
    for (const sequence of [1n, 2n, 3n]) fake.deliver(msgProto({ sequence }));
    await received.until(3);
    const first = later({ sequence: 1n });
    const looks: Ask<SubscriptionRequest>[] = [];
    fake.onSubscribe = (ask) => {
      if (ask.message.startPosition === StartPosition.LastReceived) looks.push(ask);
      else fake.accept(ask, first);
    };
    loseSession();
    await until("both look at the channel's last message", () => looks.length === 2);
    fake.accept(looks[0]!, first);
    await received.until(4);
    fake.accept(looks[1]!, first);
    await until("both are subscribed again", () => statuses.of("subscribed").length === 4);
    // What was sent to the second has arrived before.
    await client.publish("fake", "x");
    expect(received.sequences).toEqual([1, 2, 3, 1]);
    expect(statuses.of("gap").filter(({ reason }) => reason.includes("began anew"))).toHaveLength(1);
  });
});

/** A message of a channel that began anew. */
function later(changes: { sequence: bigint }): Uint8Array {
  return msgProto({ timestamp: 1_800_000_000_000_000_000n, ...changes });
}

/** The sequences that were acknowledged there. */
function acksTo(ackInbox: string): number[] {
  return fake.others.filter(({ subject }) => subject === ackInbox).map(({ payload }) => Number(Ack.read(payload).sequence));
}
