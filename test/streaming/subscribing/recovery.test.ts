import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Client, Message, MessageHandler, Status, Subscription } from "../../../src/index.ts";
import { StartPosition, type SubscriptionRequest } from "../../../src/pb/control.ts";
import { Ack } from "../../../src/testing/messages.ts";
import type { StreamingServer } from "../../../src/testing/server.ts";
import type { SubscriptionImpl } from "../../../src/streaming/subscribing/subscription.ts";
import { embedded, fresh, open, Received, Statuses } from "../../support/clients.ts";
import { type Ask, FakeStreaming, type Held, msgProto, pingResponse, subjects, subscriptionResponse } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

type Gap = Extract<Status, { type: "gap" }>;

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

/** Two members of a queue group in one client, which have received 1 to 3. */
async function twoMembers(): Promise<{ client: Client; statuses: Statuses; received: Received }> {
  const statuses = new Statuses();
  const client = await open(fake, { onStatus: statuses.onStatus });
  const received = new Received();
  for (let i = 0; i < 2; i++) await client.subscribe("fake", received.handler, { queue: "group" });
  for (const sequence of [1n, 2n, 3n]) fake.deliver(msgProto({ sequence }));
  await received.until(3);
  return { client, statuses, received };
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
    const durableOf = (subscription: Subscription): string => (subscription as SubscriptionImpl).durable;
    // All but the last have a slot, and are not answered.
    fake.onSubscribe = () => undefined;
    loseSession();
    await until("the server is asked again", () => fake.subscribes.length === 17 + 16);
    const waiting = subscriptions.find((subscription) => !fake.subscribes.slice(17).some(({ message }) => message.durableName === durableOf(subscription)))!;
    fake.onSubscribe = (ask) => void fake.accept(ask);
    fake.onPing = () => undefined;
    fake.link.destroy();
    await until("it is not registered", () => client.state !== "registered" && waiting.state === "disconnected");
    const left = waiting.unsubscribe();
    fake.onPing = (ask) => ask.answer(pingResponse());
    await left;
    const unsubscribed = fake.leaves.filter(({ subject }) => subject === subjects.unsubRequests);
    expect(unsubscribed.map(({ message }) => message.durableName)).toEqual([durableOf(waiting)]);
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

describe("a subscription to begin with the last message, whose delivery was lost with the session", () => {
  /** Three messages are stored, an hour passes, and the last one is delivered into a link that is lost. */
  async function lose(meanwhile: (server: StreamingServer) => void): Promise<{ received: Received; server: StreamingServer }> {
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

test("a durable that has received nothing is not looked for: the server knows where it is", async () => {
  const statuses = new Statuses();
  const client = await open(fake, { onStatus: statuses.onStatus });
  await client.subscribe("fake", () => undefined, { durable: "d", startAt: "lastReceived" });
  loseSession();
  await statuses.until("subscribed", 2);
  expect(fake.subscribes.map(({ message }) => message.durableName)).toEqual(["d", "d"]);
});

describe("what is told as missing", () => {
  /** Three messages are stored, and the store is lost. Resolves with what is told then. */
  async function restart(handler: MessageHandler, stored: (server: StreamingServer) => void): Promise<Pick<Gap, "from" | "to">[]> {
    const statuses = new Statuses();
    const server = await embedded();
    const client = await open(server, { clientId: "me", onStatus: statuses.onStatus });
    await client.subscribe("c", handler, { startAt: "first" });
    for (const text of ["one", "two", "three"]) server.publish("c", text);
    await server.idle();
    stored(server);
    server.restart();
    await server.present("me");
    server.publish("c", "new");
    return (await statuses.until("gap")).map(({ from, to }) => ({ from, to }));
  }

  test("when a channel began anew is all that was received, if nothing was finished", async () => {
    expect(await restart(() => new Promise(() => undefined), () => undefined)).toEqual([{ from: 1, to: 3 }]);
  });

  test("when a channel began anew may be what came after all that was finished: nobody knows how much", async () => {
    const told = await restart(
      () => undefined,
      (server) => {
        server.swallow("MsgProto");
        server.publish("c", "stored, and lost on its way");
      },
    );
    expect(told).toEqual([{ from: 4, to: 4 }]);
  });

  test.each(["d", undefined])("is not what an earlier process may have acknowledged of a durable (durable: %s)", async (durable) => {
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus, pingInterval: 1_000, pingMaxOut: 2 });
    await client.subscribe("fake", () => undefined, { durable, startAt: "first", ackWait: 1_000 });
    // Of 3 to 5 the earlier process had two acknowledged. What is new begins with 6.
    fake.deliver(msgProto({ sequence: 3n, redelivered: true }));
    for (const sequence of [6n, 9n]) fake.deliver(msgProto({ sequence }));
    const ofThisProcess = { from: 7, to: 8 };
    const told = durable === undefined ? [{ from: 4, to: 5 }, ofThisProcess] : [ofThisProcess];
    await statuses.until("gap", told.length);
    expect(statuses.of("gap")).toMatchObject(told);
  });

  test("of a group begins with what is not finished, and is nothing if all is", async () => {
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus });
    const received = new Received();
    await client.subscribe("fake", received.handler, { queue: "group" });
    fake.onSubscribe = (ask) => void fake.accept(ask, ...(ask.message.qGroup === "" ? [msgProto({ sequence: BigInt(received.all.at(-1)!.sequence) })] : []));
    for (const sequence of [1n, 2n]) fake.deliver(msgProto({ sequence }));
    await received.until(2);
    loseSession();
    await statuses.until("subscribed", 2);
    expect(statuses.of("gap")).toEqual([]);
    fake.deliver(msgProto({ sequence: 4n }));
    await received.until(3);
    loseSession();
    await statuses.until("subscribed", 3);
    expect(statuses.of("gap")).toMatchObject([{ from: 3, to: 4 }]);
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
    const { client, statuses, received } = await twoMembers();
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

describe("what the channel shows after a lost session", () => {
  const same = msgProto({ sequence: 3n });
  const last = later({ sequence: 30n });

  /** Receives messages 1 to 3, loses the session, and shows these at each look. Resolves with what was asked for in the end. */
  async function lookAt(shown: readonly (Uint8Array | undefined)[], queue?: string): Promise<{ request: SubscriptionRequest; looks: number[] }> {
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus });
    const received = new Received();
    await client.subscribe("fake", received.handler, { queue, durable: "d" });
    for (const sequence of [1n, 2n, 3n]) fake.deliver(msgProto({ sequence }));
    await received.until(3);
    const looks: number[] = [];
    fake.onSubscribe = (ask) => {
      if (ask.message.durableName !== "") return void fake.accept(ask);
      const bytes = shown[looks.length];
      looks.push(ask.message.startPosition);
      fake.accept(ask, ...(bytes === undefined ? [] : [bytes]));
    };
    loseSession();
    await statuses.until("subscribed", 2);
    return { request: fake.subscribes.at(-1)!.message, looks };
  }

  const { First, LastReceived, SequenceStart } = StartPosition;

  test.each([
    ["its last message is the one that was received last", [same]],
    ["it has grown, and that message is still there", [last, same]],
    ["it has grown, and that message was removed", [last, later({ sequence: 4n })]],
  ])("tells that it is the same: %s", async (_, shown) => {
    for (const queue of [undefined, "group"]) {
      const { request, looks } = await lookAt(shown, queue);
      expect(looks).toEqual([LastReceived, SequenceStart].slice(0, shown.length));
      expect([request.startPosition, request.startSequence]).toEqual([SequenceStart, 3n]);
    }
  });

  test.each([
    ["it is shorter", [later({ sequence: 2n })]],
    ["it is as long, and its last message another one", [later({ sequence: 3n })]],
    ["it has outgrown the old one", [last, later({ sequence: 3n })]],
    ["it has outgrown the old one, by a clock that is behind", [last, msgProto({ sequence: 3n, timestamp: 1n })]],
    ["it is shorter, by a clock that is behind", [msgProto({ sequence: 2n, timestamp: 1n })]],
  ])("tells that it began anew: %s", async (_, shown) => {
    for (const queue of [undefined, "group"]) {
      const { request, looks } = await lookAt(shown, queue);
      expect(looks).toEqual([LastReceived, SequenceStart].slice(0, shown.length));
      expect(request.startPosition).toBe(First);
    }
  });

  test("tells nothing while the server does not come to show what must be there: it is looked at again", async () => {
    const { request, looks } = await lookAt([last, undefined, last, later({ sequence: 3n })]);
    expect(looks).toEqual([LastReceived, SequenceStart, LastReceived, SequenceStart]);
    expect(request.startPosition).toBe(First);
  });

  test("if it is nothing, leaves all to the first message; but a group begins there, since its beginning is for good", async () => {
    expect((await lookAt([])).request.startPosition).toBe(SequenceStart);
    expect((await lookAt([], "group")).request.startPosition).toBe(First);
  });

  test("is compared with what was received before: another member may receive more while it is awaited", async () => {
    const { statuses, received } = await twoMembers();
    const looks: Ask<SubscriptionRequest>[] = [];
    fake.onSubscribe = (ask) => {
      if (ask.message.startPosition === LastReceived) looks.push(ask);
      else fake.accept(ask);
    };
    loseSession();
    await until("both look at the channel's last message", () => looks.length === 2);
    fake.accept(looks[0]!, same);
    await until("one is subscribed again", () => statuses.of("subscribed").length === 3);
    fake.deliver(msgProto({ sequence: 4n }));
    await received.until(4);
    fake.accept(looks[1]!, same);
    await until("both are subscribed again", () => statuses.of("subscribed").length === 4);
    expect(statuses.of("gap").filter(({ reason }) => reason.includes("began anew"))).toEqual([]);
  });
});

describe("an old number in a channel that showed nothing", () => {
  /** Receives 1 to 3, of which 2 fails, loses the session, and is in place again without having been shown anything. */
  async function resume(failing: number, durable?: string): Promise<{ received: Received; statuses: Statuses }> {
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus });
    const received = new Received();
    const handler = (message: Message): void => {
      received.handler(message);
      if (message.sequence === failing && received.all.length === failing) throw new Error("on purpose");
    };
    await client.subscribe("fake", handler, { durable });
    for (const sequence of [1n, 2n, 3n]) fake.deliver(msgProto({ sequence }));
    await received.until(3);
    loseSession();
    await statuses.until("subscribed", 2);
    return { received, statuses };
  }

  test.each([undefined, "d"])("is of another one, also where the clock is behind, if that is what it shows then (durable: %s)", async (durable) => {
    const { received, statuses } = await resume(0, durable);
    const [, , again] = fake.held;
    const first = msgProto({ sequence: 1n, timestamp: 1n });
    fake.onSubscribe = (ask) => void fake.accept(ask, first);
    fake.deliver(first, again);
    await received.until(4);
    expect(received.sequences).toEqual([1, 2, 3, 1]);
    expect(acksTo(again!.ackInbox)).toEqual([]);
    expect(fake.subscribes.at(-1)!.message.startPosition).toBe(StartPosition.First);
    expect(statuses.of("gap")).toMatchObject([{ from: 4 }]);
  });

  test("is of the same one if it is the last that was received", async () => {
    const { received } = await resume(0);
    const again = fake.held.at(-1)!;
    fake.deliver(msgProto({ sequence: 3n }), again);
    fake.deliver(msgProto({ sequence: 2n }), again);
    await until("they are acknowledged again", () => acksTo(again.ackInbox).length === 2);
    expect(received.sequences).toEqual([1, 2, 3]);
    expect(fake.subscribes).toHaveLength(3);
  });

  test("is of the same one if that is what it shows when it is no longer busy: what was not taken is asked for again", async () => {
    const { received, statuses } = await resume(2);
    const looks: Ask<SubscriptionRequest>[] = [];
    fake.onSubscribe = (ask) => {
      if (ask.message.startPosition !== StartPosition.LastReceived) fake.accept(ask, ...[1n, 2n, 3n].map((sequence) => msgProto({ sequence })));
      // Once more it shows nothing.
      else if (looks.push(ask) === 1) fake.accept(ask);
      else fake.accept(ask, msgProto({ sequence: 3n }));
    };
    fake.deliver(msgProto({ sequence: 1n }), fake.held.at(-1));
    await received.until(4);
    await until("all are acknowledged", () => acksTo(fake.held.at(-1)!.ackInbox).length === 3);
    expect(received.sequences).toEqual([1, 2, 3, 2]);
    expect(fake.subscribes.at(-1)!.message.startSequence).toBe(1n);
    expect(statuses.of("gap")).toEqual([]);
  });
});

describe("an old number with a time later than all before", () => {
  /** A durable that has received 1 to 3 and 5, whose time is the earliest; then comes 4, with the latest. */
  async function contradict(atLook: (ask: Ask<SubscriptionRequest>) => void): Promise<{ received: Received; statuses: Statuses }> {
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus });
    const received = new Received();
    await client.subscribe("fake", received.handler, { durable: "d" });
    for (const sequence of [1n, 2n, 3n]) fake.deliver(msgProto({ sequence }));
    fake.deliver(behind);
    await received.until(4);
    fake.onSubscribe = (ask) => (ask.message.durableName === "" ? atLook(ask) : void fake.accept(ask));
    fake.deliver(ahead);
    await until("the channel is looked at", () => fake.subscribes.length > 1);
    return { received, statuses };
  }

  /** Delivers it again and again, as a server does, until so many are received. */
  const deliverUntil = (received: Received, count: number, bytes: Uint8Array, held: Held): Promise<unknown> =>
    until(`${count} messages are received`, () => {
      fake.deliver(bytes, held);
      return received.all.length >= count;
    });

  const behind = msgProto({ sequence: 5n, timestamp: 1n });
  const ahead = msgProto({ sequence: 4n, timestamp: 1_750_000_000_000_000_000n });
  const unsubscribed = (): boolean => fake.leaves.some(({ subject }) => subject === subjects.unsubRequests);

  test("is of the same channel if that is what it shows: stored before a leader whose clock is behind, and late", async () => {
    const looks: Ask<SubscriptionRequest>[] = [];
    const { received, statuses } = await contradict((ask) => void looks.push(ask));
    const [durable] = fake.held;
    // What comes meanwhile is not taken, nor acknowledged: it comes again.
    fake.deliver(msgProto({ sequence: 6n }), durable);
    fake.deliver(msgProto({ sequence: 1n }), durable);
    fake.accept(looks[0]!, behind);
    await deliverUntil(received, 5, ahead, durable!);
    await deliverUntil(received, 6, msgProto({ sequence: 6n }), durable!);
    expect(received.sequences).toEqual([1, 2, 3, 5, 4, 6]);
    expect(fake.subscribes).toHaveLength(2);
    expect(unsubscribed()).toBe(false);
    expect(statuses.of("gap")).toEqual([]);
    await until("the last is acknowledged", () => acksTo(durable!.ackInbox).includes(6));
    const acked = acksTo(durable!.ackInbox);
    expect([...new Set(acked)]).toEqual([1, 2, 3, 5, 4, 6]);
    expect(acked.filter((sequence) => sequence === 1)).toHaveLength(1);
  });

  test.each([
    ["what it shows is of another one", later({ sequence: 5n })],
    ["it shows nothing", undefined],
  ])("is of a channel that began anew if %s: the durable is forgotten, and everything read", async (_, shown) => {
    const { statuses } = await contradict((ask) => void fake.accept(ask, ...(shown === undefined ? [] : [shown])));
    await statuses.until("subscribed", 2);
    expect(unsubscribed()).toBe(true);
    expect(fake.subscribes.at(-1)!.message).toMatchObject({ durableName: "d", startPosition: StartPosition.First });
    expect(statuses.of("gap")).toHaveLength(1);
    expect(acksTo(fake.held[0]!.ackInbox)).not.toContain(4);
  });

  test("is looked into again after a link that was lost meanwhile", async () => {
    const { received, statuses } = await contradict(() => undefined);
    const [durable] = fake.held;
    fake.onSubscribe = (ask) => void fake.accept(ask, behind);
    fake.link.destroy();
    await until("it is looked at again", () => fake.subscribes.length === 3);
    await deliverUntil(received, 5, ahead, { ...durable!, link: fake.link });
    expect(received.sequences).toEqual([1, 2, 3, 5, 4]);
    expect(unsubscribed()).toBe(false);
    expect(statuses.of("gap")).toEqual([]);
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
