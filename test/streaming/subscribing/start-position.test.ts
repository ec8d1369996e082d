import { beforeEach, expect, onTestFinished, test } from "vitest";
import type { SubscribeOptions } from "../../../src/index.ts";
import { StartPosition, type SubscriptionRequest } from "../../../src/pb/control.ts";
import { open } from "../../support/clients.ts";
import { FakeStreaming } from "../../support/fake-streaming.ts";

let fake: FakeStreaming;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
});

const longAgo = { startPosition: StartPosition.TimeDeltaStart, startTimeDelta: 9_223_372_036_854_000_000n };
const positions: readonly (readonly [SubscribeOptions["startAt"], Partial<SubscriptionRequest>])[] = [
  [undefined, { startPosition: StartPosition.NewOnly }],
  ["newOnly", { startPosition: StartPosition.NewOnly }],
  ["lastReceived", { startPosition: StartPosition.LastReceived }],
  ["first", { startPosition: StartPosition.First }],
  [{ sequence: 2 ** 53 - 1 }, { startPosition: StartPosition.SequenceStart, startSequence: 2n ** 53n - 1n }],
  [{ ago: 1_500 }, { startPosition: StartPosition.TimeDeltaStart, startTimeDelta: 1_500_000_000n }],
  [{ ago: 0.5 }, { startPosition: StartPosition.TimeDeltaStart, startTimeDelta: 1_000_000n }],
  // The most that an int64 can hold, which is before 1970.
  [{ ago: 9.5e12 }, longAgo],
  [{ ago: Number.MAX_SAFE_INTEGER }, longAgo],
  [{ time: new Date(-8.64e15) }, longAgo],
  [{ time: new Date(8e15) }, { startPosition: StartPosition.NewOnly, startTimeDelta: 0n }],
];
test.each(positions)("asks to start at %o", async (startAt, expected) => {
  const client = await open(fake);
  await client.subscribe("fake", () => {}, { startAt });
  expect(fake.subscribes[0].message).toMatchObject({ startSequence: 0n, startTimeDelta: 0n, ...expected });
});
