import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Client, Message, MessageHandler, Status } from "../../../src/index.ts";
import { StartPosition, type SubscriptionRequest } from "../../../src/pb/control.ts";
import type { StreamingServer } from "../../../src/testing/server.ts";
import { embedded, open, Received, Statuses } from "../../support/clients.ts";
import { type Ask, FakeStreaming, type Held, laterProto, msgProto, subjects } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

type Gap = Extract<Status, { type: "gap" }>;

let fake: FakeStreaming;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
});

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

describe("the gap after a channel reset", () => {
  /** Three messages are stored, and the store is lost. Resolves with the gaps that are reported. */
  async function restart(
    handler: MessageHandler,
    stored: (server: StreamingServer) => void,
  ): Promise<Pick<Gap, "from" | "to">[]> {
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

  test("is all that was received, if nothing was finished", async () => {
    expect(await restart(() => new Promise(() => undefined), () => undefined)).toEqual([{ from: 1, to: 3 }]);
  });

  test("may be what came after all that was finished: the client cannot know how much", async () => {
    const told = await restart(
      () => undefined,
      (server) => {
        server.swallow("MsgProto");
        server.publish("c", "stored, and lost on its way");
      },
    );
    expect(told).toEqual([{ from: 4, to: 4 }]);
  });
});

describe("a channel reset under two members of a queue group in one client", () => {
  test("counts once for both: what one has finished is not handled again by the other", async () => {
    const { client, statuses, received } = await twoMembers();
    const first = laterProto(1n);
    const peeks: Ask<SubscriptionRequest>[] = [];
    fake.onSubscribe = (ask) => {
      if (ask.message.startPosition === StartPosition.LastReceived) peeks.push(ask);
      else fake.accept(ask, first);
    };
    fake.loseSession();
    await until("both peek at the channel's last message", () => peeks.length === 2);
    fake.accept(peeks[0]!, first);
    await received.until(4);
    fake.accept(peeks[1]!, first);
    await until("both are subscribed again", () => statuses.of("subscribed").length === 4);
    // What was sent to the second has arrived before.
    await client.publish("fake", "x");
    expect(received.sequences).toEqual([1, 2, 3, 1]);
    expect(statuses.of("gap").filter(({ reason }) => reason.includes("began anew"))).toHaveLength(1);
  });
});

describe("what the channel shows after a lost session", () => {
  const same = msgProto({ sequence: 3n });
  const last = laterProto(30n);

  interface Peeked {
    /** The request for the subscription after the peeks. */
    readonly request: SubscriptionRequest;
    /** The start position of each peek. */
    readonly peeks: number[];
  }

  /** Receives messages 1 to 3, loses the session, and shows one of these messages, or none, at each peek. */
  async function peekAt(shown: readonly (Uint8Array | undefined)[], queue?: string): Promise<Peeked> {
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus });
    const received = new Received();
    await client.subscribe("fake", received.handler, { queue, durable: "d" });
    for (const sequence of [1n, 2n, 3n]) fake.deliver(msgProto({ sequence }));
    await received.until(3);
    const peeks: number[] = [];
    fake.onSubscribe = (ask) => {
      if (ask.message.durableName !== "") return void fake.accept(ask);
      const bytes = shown[peeks.length];
      peeks.push(ask.message.startPosition);
      fake.accept(ask, ...(bytes === undefined ? [] : [bytes]));
    };
    fake.loseSession();
    await statuses.until("subscribed", 2);
    return { request: fake.subscribes.at(-1)!.message, peeks };
  }

  const { First, LastReceived, SequenceStart } = StartPosition;

  test.each([
    ["its last message is the one that was received last", [same]],
    ["it has grown, and that message is still there", [last, same]],
    ["it has grown, and that message was removed", [last, laterProto(4n)]],
  ])("tells that it is the same: %s", async (_, shown) => {
    for (const queue of [undefined, "group"]) {
      const { request, peeks } = await peekAt(shown, queue);
      expect(peeks).toEqual([LastReceived, SequenceStart].slice(0, shown.length));
      expect([request.startPosition, request.startSequence]).toEqual([SequenceStart, 3n]);
    }
  });

  test.each([
    ["it is shorter", [laterProto(2n)]],
    ["it is as long, and its last message another one", [laterProto(3n)]],
    ["it has outgrown the old one", [last, laterProto(3n)]],
    ["it has outgrown the old one, by a clock that is behind", [last, msgProto({ sequence: 3n, timestamp: 1n })]],
    ["it is shorter, by a clock that is behind", [msgProto({ sequence: 2n, timestamp: 1n })]],
  ])("tells that it was reset: %s", async (_, shown) => {
    for (const queue of [undefined, "group"]) {
      const { request, peeks } = await peekAt(shown, queue);
      expect(peeks).toEqual([LastReceived, SequenceStart].slice(0, shown.length));
      expect(request.startPosition).toBe(First);
    }
  });

  test("tells nothing while the server shows no message that must be there: the client peeks again", async () => {
    const { request, peeks } = await peekAt([last, undefined, last, laterProto(3n)]);
    expect(peeks).toEqual([LastReceived, SequenceStart, LastReceived, SequenceStart]);
    expect(request.startPosition).toBe(First);
  });

  test("if it is nothing, leaves all to the first message; but a group starts there, and stays there", async () => {
    expect((await peekAt([])).request.startPosition).toBe(SequenceStart);
    expect((await peekAt([], "group")).request.startPosition).toBe(First);
  });

  test("is compared with what was received before: another member may receive more while it is awaited", async () => {
    const { statuses, received } = await twoMembers();
    const peeks: Ask<SubscriptionRequest>[] = [];
    fake.onSubscribe = (ask) => {
      if (ask.message.startPosition === LastReceived) peeks.push(ask);
      else fake.accept(ask);
    };
    fake.loseSession();
    await until("both peek at the channel's last message", () => peeks.length === 2);
    fake.accept(peeks[0]!, same);
    await until("one is subscribed again", () => statuses.of("subscribed").length === 3);
    fake.deliver(msgProto({ sequence: 4n }));
    await received.until(4);
    fake.accept(peeks[1]!, same);
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
    fake.loseSession();
    await statuses.until("subscribed", 2);
    return { received, statuses };
  }

  test.each([undefined, "d"])("is of another one if it then shows that, by a slow clock (%s)", async (durable) => {
    const { received, statuses } = await resume(0, durable);
    const [, , again] = fake.held;
    const first = msgProto({ sequence: 1n, timestamp: 1n });
    fake.onSubscribe = (ask) => void fake.accept(ask, first);
    fake.deliver(first, again);
    await received.until(4);
    expect(received.sequences).toEqual([1, 2, 3, 1]);
    expect(fake.acksTo(again!.ackInbox)).toEqual([]);
    expect(fake.subscribes.at(-1)!.message.startPosition).toBe(StartPosition.First);
    expect(statuses.of("gap")).toMatchObject([{ from: 4 }]);
  });

  test("is of the same one if it is the last that was received", async () => {
    const { received } = await resume(0);
    const again = fake.held.at(-1)!;
    fake.deliver(msgProto({ sequence: 3n }), again);
    fake.deliver(msgProto({ sequence: 2n }), again);
    await until("they are acknowledged again", () => fake.acksTo(again.ackInbox).length === 2);
    expect(received.sequences).toEqual([1, 2, 3]);
    expect(fake.subscribes).toHaveLength(3);
  });

  test("is of the same one if it then shows that: the messages that were not taken are requested again", async () => {
    const { received, statuses } = await resume(2);
    const peeks: Ask<SubscriptionRequest>[] = [];
    fake.onSubscribe = (ask) => {
      const all = [1n, 2n, 3n].map((sequence) => msgProto({ sequence }));
      if (ask.message.startPosition !== StartPosition.LastReceived) fake.accept(ask, ...all);
      // Once more it shows nothing.
      else if (peeks.push(ask) === 1) fake.accept(ask);
      else fake.accept(ask, msgProto({ sequence: 3n }));
    };
    fake.deliver(msgProto({ sequence: 1n }), fake.held.at(-1));
    await received.until(4);
    await until("all are acknowledged", () => fake.acksTo(fake.held.at(-1)!.ackInbox).length === 3);
    expect(received.sequences).toEqual([1, 2, 3, 2]);
    expect(fake.subscribes.at(-1)!.message.startSequence).toBe(1n);
    expect(statuses.of("gap")).toEqual([]);
  });

  test("counts no more when its session is lost: a channel that is empty then is subscribed to", async () => {
    const { statuses } = await resume(0);
    const looks: unknown[] = [];
    fake.onSubscribe = (ask) => void looks.push(ask);
    fake.deliver(msgProto({ sequence: 1n }), fake.held.at(-1));
    await until("the channel is looked at", () => looks.length === 1);
    fake.onSubscribe = (ask) => void fake.accept(ask);
    fake.loseSession();
    await statuses.until("subscribed", 3);
  });
});

describe("a new number in a channel that showed nothing", () => {
  test.each([
    ["of another one, if that is what it shows then", laterProto(3n), [{ from: 4 }]],
    ["of the same one else", msgProto({ sequence: 3n }), []],
  ])("is %s", async (_, third, gaps) => {
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus });
    const received = new Received();
    await client.subscribe("fake", received.handler, { startAt: "first" });
    for (const sequence of [1n, 2n, 3n]) fake.deliver(msgProto({ sequence }));
    await received.until(3);
    fake.loseSession();
    await statuses.until("subscribed", 2);
    const fourth = laterProto(4n);
    fake.onSubscribe = (ask) => {
      const { startPosition, maxInFlight } = ask.message;
      const fromThird = startPosition === StartPosition.SequenceStart ? [third, fourth] : [fourth];
      void fake.accept(ask, ...fromThird.slice(0, maxInFlight));
    };
    fake.deliver(fourth, fake.held.at(-1));
    await received.until(4);
    await statuses.until("subscribed", 3);
    expect(statuses.of("gap")).toMatchObject(gaps);
  });
});

describe("an old number with a time later than all before", () => {
  /** A durable that has received 1 to 3 and 5, whose time is the earliest; then comes 4, with the latest. */
  async function contradict(
    atPeek: (ask: Ask<SubscriptionRequest>) => void,
  ): Promise<{ received: Received; statuses: Statuses }> {
    const statuses = new Statuses();
    const client = await open(fake, { onStatus: statuses.onStatus });
    const received = new Received();
    await client.subscribe("fake", received.handler, { durable: "d" });
    for (const sequence of [1n, 2n, 3n]) fake.deliver(msgProto({ sequence }));
    fake.deliver(behind);
    await received.until(4);
    fake.onSubscribe = (ask) => (ask.message.durableName === "" ? atPeek(ask) : void fake.accept(ask));
    fake.deliver(ahead);
    await until("the client peeks at the channel", () => fake.subscribes.length > 1);
    return { received, statuses };
  }

  /** Delivers a message again and again, as a server does, until `count` messages are received. */
  const deliverUntil = (received: Received, count: number, bytes: Uint8Array, held: Held): Promise<unknown> =>
    until(`${count} messages are received`, () => {
      fake.deliver(bytes, held);
      return received.all.length >= count;
    });

  const behind = msgProto({ sequence: 5n, timestamp: 1n });
  const ahead = msgProto({ sequence: 4n, timestamp: 1_750_000_000_000_000_000n });
  const unsubscribed = (): boolean => fake.leaves.some(({ subject }) => subject === subjects.unsubRequests);

  test("is of the same channel if that shows it: an earlier leader, whose clock was ahead, stored it", async () => {
    const peeks: Ask<SubscriptionRequest>[] = [];
    const { received, statuses } = await contradict((ask) => void peeks.push(ask));
    const [durable] = fake.held;
    // What comes meanwhile is not taken, nor acknowledged: it comes again.
    fake.deliver(msgProto({ sequence: 6n }), durable);
    fake.deliver(msgProto({ sequence: 1n }), durable);
    fake.accept(peeks[0]!, behind);
    await deliverUntil(received, 5, ahead, durable!);
    await deliverUntil(received, 6, msgProto({ sequence: 6n }), durable!);
    expect(received.sequences).toEqual([1, 2, 3, 5, 4, 6]);
    expect(fake.subscribes).toHaveLength(2);
    expect(unsubscribed()).toBe(false);
    expect(statuses.of("gap")).toEqual([]);
    await until("the last is acknowledged", () => fake.acksTo(durable!.ackInbox).includes(6));
    const acked = fake.acksTo(durable!.ackInbox);
    expect([...new Set(acked)]).toEqual([1, 2, 3, 5, 4, 6]);
    expect(acked.filter((sequence) => sequence === 1)).toHaveLength(1);
  });

  test.each([
    ["what it shows is of another one", laterProto(5n)],
    ["it shows nothing", undefined],
  ])("is of a channel that was reset if %s: the durable is unsubscribed, and everything read", async (_, shown) => {
    const { statuses } = await contradict((ask) => void fake.accept(ask, ...(shown === undefined ? [] : [shown])));
    await statuses.until("subscribed", 2);
    expect(unsubscribed()).toBe(true);
    expect(fake.subscribes.at(-1)!.message).toMatchObject({ durableName: "d", startPosition: StartPosition.First });
    expect(statuses.of("gap")).toHaveLength(1);
    expect(fake.acksTo(fake.held[0]!.ackInbox)).not.toContain(4);
  });

  test("is verified again after a link that was lost meanwhile", async () => {
    const { received, statuses } = await contradict(() => undefined);
    const [durable] = fake.held;
    fake.onSubscribe = (ask) => void fake.accept(ask, behind);
    fake.link.destroy();
    await until("the client peeks again", () => fake.subscribes.length === 3);
    await deliverUntil(received, 5, ahead, { ...durable!, link: fake.link });
    expect(received.sequences).toEqual([1, 2, 3, 5, 4]);
    expect(unsubscribed()).toBe(false);
    expect(statuses.of("gap")).toEqual([]);
  });
});
