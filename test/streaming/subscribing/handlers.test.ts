import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { Ack } from "../../../src/testing/messages.ts";
import { open, Received, Statuses } from "../../support/clients.ts";
import { FakeStreaming, msgProto } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

let fake: FakeStreaming;
let statuses: Statuses;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  statuses = new Statuses();
  onTestFinished(() => fake.stop());
});

function deliver(sequence: number, redeliveryCount = 0): void {
  fake.deliver(msgProto({ sequence: BigInt(sequence), redelivered: redeliveryCount > 0, redeliveryCount }));
}

function acks(): number[] {
  return fake.others.map(({ payload }) => Number(Ack.read(payload).sequence));
}

describe("a handler that returns something like a promise", () => {
  const broken: readonly (readonly [string, () => unknown])[] = [
    ["whose then throws", () => ({ then: () => { throw new Error("mine"); } })],
    ["whose then cannot be read", () => ({ get then(): never { throw new Error("mine"); } })],
    ["that is a function", () => Object.assign(() => undefined, { then: (_: unknown, no: (error: unknown) => void) => no(new Error("mine")) })],
  ];
  test.each(broken)("%s, has failed: the link stays, its place is free again, and a redelivery is handled", async (_, result) => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    let failing = true;
    const subscription = await client.subscribe("fake", () => (failing ? result() : undefined), { concurrency: 1 });
    deliver(1);
    const [failed] = await statuses.until("handler-failed");
    expect(failed!.error).toMatchObject({ message: "mine" });
    expect(subscription.stats()).toMatchObject({ failed: 1, running: 0 });
    failing = false;
    deliver(1, 1);
    await until("the redelivery is acknowledged", () => acks().length === 1);
    expect(fake.links.length).toBe(1);
    expect(statuses.of("disconnected")).toEqual([]);
  });

  test("that settles more than once, has ended once", async () => {
    const client = await open(fake, { onStatus: statuses.onStatus });
    const twice = {
      then: (yes: () => void, no: (error: unknown) => void) => {
        yes();
        yes();
        no(new Error("mine"));
      },
    };
    const subscription = await client.subscribe("fake", () => twice);
    deliver(1);
    await until("it is acknowledged", () => acks().length === 1);
    await client.publish("fake", "after it");
    expect(subscription.stats()).toMatchObject({ handled: 1, failed: 0, running: 0 });
    expect(statuses.of("handler-failed")).toEqual([]);
  });
});

test("a message that makes its listener close the subscription gets no handler any more", async () => {
  const received = new Received();
  const client = await open(fake, {
    onStatus: (status) => {
      if (status.type === "redelivered-often") void status.subscription.close();
    },
  });
  const subscription = await client.subscribe("fake", received.handler);
  deliver(1, 4);
  await subscription.closed;
  expect(received.sequences).toEqual([]);
  expect(acks()).toEqual([]);
});
