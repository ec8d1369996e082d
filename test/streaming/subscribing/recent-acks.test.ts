import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { RecentAcks } from "../../../src/streaming/subscribing/recent-acks.ts";
import { embedded, open, Received } from "../../support/clients.ts";
import { FakeStreaming, laterProto, msgProto } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

let fake: FakeStreaming;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
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

  test("are not repeated in a channel that was reset, where other messages have their sequences", async () => {
    const client = await open(fake);
    const received = new Received();
    let failures = 0;
    await client.subscribe("fake", (message) => {
      if (fake.registrations.length > 1) throw new Error(`fails on purpose, ${++failures}`);
      received.handler(message);
    });
    for (const sequence of [1n, 2n, 3n]) fake.deliver(msgProto({ sequence }));
    await received.until(3);
    const first = laterProto(1n);
    fake.onSubscribe = (ask) => void fake.accept(ask, first);
    fake.loseSession();
    await until("the new first message was delivered", () => failures === 1);
    // What was sent before has arrived with it.
    await client.publish("fake", "x");
    expect(fake.acksTo(fake.held.at(-1)!.ackInbox)).toEqual([]);
    fake.link.destroy();
    await until("the session is resumed", () => fake.links.length === 3 && client.ready);
    await client.publish("fake", "x");
    expect(fake.acksTo(fake.held.at(-1)!.ackInbox)).toEqual([]);
  });
});

describe("a ring of acks", () => {
  const added = (count: number, most: number): number[] => {
    const acks = new RecentAcks();
    for (let sequence = 1; sequence <= count; sequence++) acks.add(sequence, most);
    return [...acks].sort((a, b) => a - b);
  };

  test("keeps the last acks, up to the given number", () => {
    expect(added(2, 3)).toEqual([1, 2]);
    expect(added(8, 3)).toEqual([6, 7, 8]);
  });

  test("keeps at most 16,384", () => {
    const kept = added(20_000, 1_000_000);
    expect([kept.length, kept[0]]).toEqual([16_384, 20_000 - 16_384 + 1]);
  });
});
