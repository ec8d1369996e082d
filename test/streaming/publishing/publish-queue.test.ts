import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Stage } from "../../../src/streaming/publishing/pending-publish.ts";
import type { PendingPublish } from "../../../src/streaming/publishing/pending-publish.ts";
import { PublishQueue } from "../../../src/streaming/publishing/publish-queue.ts";
import { pending } from "../../support/publisher-rig.ts";
import { forEachSeed } from "../../support/random.ts";

vi.mock("../../../src/core-nats/clock.ts", () => import("../../support/fakeable-clock.ts"));

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

/** A queue whose publishes have 1,000 ms, and the orders of those that have expired. */
function start(): { queue: PublishQueue; expired: number[]; add: () => PendingPublish } {
  const expired: number[] = [];
  const queue = new PublishQueue(1_000, (publish) => {
    expired.push(publish.order);
    queue.remove(publish);
  });
  let order = 0;
  const add = (): PendingPublish => {
    const publish = pending("x", { order: ++order, deadline: Math.trunc(performance.now()) + 1_000 });
    queue.add(publish);
    return publish;
  };
  return { queue, expired, add };
}

test("the first queued publish is the one of the first call, whatever was queued and taken meanwhile", async () => {
  await forEachSeed(30, (random) => {
    const { queue, add } = start();
    const all: PendingPublish[] = [];
    const queued = new Map<PendingPublish, number>();
    for (let step = 0; step < 500; step++) {
      const publish = all.length === 0 || random.bool(0.4) ? add() : random.pick(all);
      if (!all.includes(publish)) all.push(publish);
      else if (random.bool(0.3)) {
        if (queued.delete(publish)) queue.dequeue(publish);
        queue.remove(publish);
        all.splice(all.indexOf(publish), 1);
      } else if (queued.delete(publish)) queue.dequeue(publish);
      else {
        queued.set(publish, random.int(1, 1_000));
        queue.enqueue(publish, queued.get(publish)!);
      }
      const first = all.find((one) => queued.has(one));
      if (queue.firstQueued !== first) expect.fail(`${queue.firstQueued?.order} is first, not ${first?.order}`);
      expect(queue.queued).toBe(queued.size);
      expect(queue.queuedBytes).toBe([...queued.values()].reduce((sum, size) => sum + size, 0));
    }
    expect([...queue]).toEqual(all);
    queue.stop();
  });
});

test("a publish expires at its deadline and not before, and those behind it at theirs, by one timer", () => {
  const { queue, expired, add } = start();
  for (let i = 0; i < 3; i++) {
    add();
    vi.advanceTimersByTime(100);
  }
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(698);
  expect(expired).toEqual([]);
  vi.advanceTimersByTime(3);
  expect(expired).toEqual([1]);
  vi.advanceTimersByTime(201);
  expect(expired).toEqual([1, 2, 3]);
  expect(vi.getTimerCount()).toBe(0);
  add();
  queue.stop();
  expect(vi.getTimerCount()).toBe(0);
});

test("a loop over the queue may remove each publish", () => {
  const { queue, add } = start();
  const all = [add(), add(), add()];
  const seen: PendingPublish[] = [];
  for (const publish of queue) {
    seen.push(publish);
    queue.remove(publish);
  }
  expect(seen).toEqual(all);
  expect(queue.first).toBeUndefined();
  expect(all.every(({ previous, next }) => previous === undefined && next === undefined)).toBe(true);
  queue.stop();
});

describe("waiting", () => {
  /** Whether the promise has resolved by now. */
  async function isResolved(promise: Promise<void>): Promise<boolean> {
    let resolved = false;
    void promise.then(() => (resolved = true));
    for (let turn = 0; turn < 3; turn++) await Promise.resolve();
    return resolved;
  }

  test("for the backlog ends when no publish is queued", async () => {
    const { queue, add } = start();
    const [one, two] = [add(), add()];
    for (const publish of [one, two]) queue.enqueue(publish, 1);
    expect(one.stage).toBe(Stage.queued);
    const cleared = queue.backlogCleared();
    queue.dequeue(one);
    expect(await isResolved(cleared)).toBe(false);
    queue.dequeue(two);
    expect(await isResolved(cleared)).toBe(true);
    queue.stop();
  });

  test("for all to be settled ends with the last, and at once where there is none", async () => {
    const { queue, add } = start();
    const [one, two] = [add(), add()];
    const idle = queue.idle();
    queue.remove(one);
    expect(await isResolved(idle)).toBe(false);
    queue.remove(two);
    expect(await isResolved(idle)).toBe(true);
    expect(await isResolved(start().queue.idle())).toBe(true);
    queue.stop();
  });
});
