import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { Progress, type ProgressEvents } from "../../../src/streaming/subscribing/progress.ts";
import { WaitingBytes } from "../../../src/streaming/subscribing/waiting-bytes.ts";
import { forEachSeed } from "../../support/random.ts";

vi.mock("../../../src/core-nats/clock.ts", () => import("../../support/fakeable-clock.ts"));

const ackWait = 1_000;
const message = { data: new Uint8Array(0) };

interface Told {
  readonly skipped: [number, number][];
  readonly forgotten: [number, number][];
}

/** A progress whose subscription is in place. An outage of the server may go unnoticed for some milliseconds. */
function start(unnoticed = 0): { progress: Progress; told: Told } {
  const told: Told = { skipped: [], forgotten: [] };
  const events: ProgressEvents = {
    skipped: (from, to) => told.skipped.push([from, to]) > 0,
    notRedelivered: () => true,
    unblocked: () => undefined,
    forgotten: (from, to) => void told.forgotten.push([from, to]),
  };
  const progress = new Progress(ackWait, events, new WaitingBytes(1_000_000), unnoticed);
  onTestFinished(() => progress.stop());
  progress.established();
  return { progress, told };
}

/** Received and finished, in this order. */
function handle(progress: Progress, ...sequences: number[]): void {
  for (const sequence of sequences) {
    expect(progress.receive(sequence, sequence)).toBe(true);
    progress.finish(sequence);
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  // No process has its first message at the very moment at which it was started.
  vi.advanceTimersByTime(1);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("the cursor", () => {
  test("is unknown until there is a message, then its sequence, not finished yet", () => {
    const { progress } = start();
    expect(progress.cursor).toBeUndefined();
    progress.receive(7, 1);
    expect(progress.cursor).toBe(7);
    expect(progress.isFinished(7)).toBe(false);
  });

  test("is the end of the unbroken run of what is finished, never of what is only received", () => {
    const { progress } = start();
    handle(progress, 5, 6);
    progress.receive(7, 7);
    handle(progress, 8, 9);
    expect(progress.cursor).toBe(6);
    progress.finish(7);
    expect(progress.cursor).toBe(9);
  });

  test("goes on where timers are numbers, as in browsers, jsdom and older workerd", () => {
    const timeout = globalThis.setTimeout;
    vi.spyOn(globalThis, "setTimeout").mockImplementation((...args) => Number(timeout(...args)) as never);
    const { progress } = start();
    handle(progress, 5, 7, 6);
    expect(progress.cursor).toBe(7);
    progress.stop();
  });

  test("stops before a sequence that was never received", () => {
    const { progress } = start();
    handle(progress, 1, 2, 4, 5);
    expect(progress.cursor).toBe(2);
    handle(progress, 3);
    expect(progress.cursor).toBe(5);
  });

  test("is the end of the unbroken run also where a lower message came later, as it may in a queue group", () => {
    const { progress } = start();
    handle(progress, 5, 4, 6);
    expect(progress.cursor).toBe(6);
  });

  test("never passes anything unfinished, in whatever order messages come and are finished", async () => {
    await forEachSeed(100, (random) => {
      const { progress } = start();
      const first = random.int(1, 5);
      const finished = new Set<number>();
      const received: number[] = [];
      let next = first;
      for (let step = 0; step < 100; step++) {
        if (received.length === 0 || random.bool()) {
          progress.receive(next, next);
          progress.activate(next);
          received.push(next++);
        } else {
          const [sequence] = received.splice(random.int(0, received.length - 1), 1);
          if (random.bool(0.1)) progress.awaitRedelivery(sequence, message);
          else finished.add(sequence);
          if (finished.has(sequence)) progress.finish(sequence);
        }
        let expected = first;
        while (finished.has(expected) && finished.has(expected + 1)) expected++;
        expect(progress.cursor).toBe(expected);
      }
      progress.stop();
    });
  });
});

describe("the next one", () => {
  test("is the first that is not finished: the cursor, or the one behind it", () => {
    const { progress } = start();
    expect(progress.next).toBeUndefined();
    progress.receive(7, 1);
    expect(progress.next).toBe(7);
    progress.finish(7);
    expect(progress.next).toBe(8);
    handle(progress, 8, 10);
    expect(progress.next).toBe(9);
  });
});

describe("a message", () => {
  test("is active while somebody has it, and finished once", () => {
    const { progress } = start();
    progress.receive(1, 1);
    expect(progress.isActive(1)).toBe(false);
    progress.activate(1);
    expect(progress.isActive(1)).toBe(true);
    progress.awaitRedelivery(1, message);
    expect(progress.isActive(1)).toBe(false);
    expect(progress.finish(1)).toBe(true);
    expect(progress.finish(1)).toBe(false);
    expect(progress.isFinished(1)).toBe(true);
  });

  test("of a new leader whose clock is behind the old one's does not make the channel suspect", () => {
    const { progress } = start();
    expect(progress.receive(10, 1_000)).toBe(true);
    // The next leader, whose clock is late, stores 11. Then 10 comes again.
    expect(progress.receive(11, 900)).toBe(true);
    expect(progress.receive(10, 1_000)).toBe(true);
    expect(progress.receive(10, 1_001)).toBe(false);
  });

  test("up to the highest, but later than all before, makes the channel suspect until that is confirmed", () => {
    const { progress } = start();
    expect(progress.receive(10, 100)).toBe(true);
    expect(progress.receive(10, 100)).toBe(true);
    expect(progress.receive(9, 99)).toBe(true);
    expect(progress.receive(9, 101)).toBe(false);
    expect(progress.receive(10, 101)).toBe(false);
    expect(progress.receive(11, 101)).toBe(true);
    expect(progress.receive(9, 103)).toBe(false);
    expect(progress.receive(10, 102)).toBe(false);
    expect(progress.receive(10, 102)).toBe(false);
    expect([progress.highest, progress.timeOfHighest]).toEqual([11, 101]);
    progress.confirm();
    expect(progress.receive(10, 102)).toBe(true);
    expect(progress.receive(9, 103)).toBe(true);
    expect(progress.receive(9, 104)).toBe(false);
    expect([progress.highest, progress.timeOfHighest]).toEqual([11, 101]);
  });
});

describe("what is missing", () => {
  test("counts as gone only after an outage may have gone unnoticed as well", () => {
    const unnoticed = 5_000;
    const { progress, told } = start(unnoticed);
    handle(progress, 1, 3);
    vi.advanceTimersByTime(2 * ackWait + unnoticed - 1);
    expect(progress.cursor).toBe(1);
    vi.advanceTimersByTime(2 * ackWait);
    expect(told.skipped).toEqual([[2, 2]]);
    expect(progress.cursor).toBe(3);
  });

  test("may still come when this process stood still: it has yet to read what the server sent meanwhile", () => {
    const { progress, told } = start();
    handle(progress, 1, 3);
    vi.advanceTimersByTime(ackWait / 2);
    const now = performance.now.bind(performance);
    vi.spyOn(performance, "now").mockImplementation(() => now() + 100_000);
    vi.advanceTimersByTime(2 * ackWait - 1);
    expect(told.skipped).toEqual([]);
    handle(progress, 2);
    expect(progress.cursor).toBe(3);
  });

  test("is no gap while the message is delivered again and again, and not finished", () => {
    const { progress, told } = start();
    handle(progress, 1);
    progress.receive(2, 2);
    progress.awaitRedelivery(2, message);
    handle(progress, 3);
    for (let i = 0; i < 50; i++) {
      vi.advanceTimersByTime(ackWait);
      progress.receive(2, 2);
      progress.awaitRedelivery(2, message);
    }
    expect(told.skipped).toEqual([]);
    expect(progress.isFinished(2)).toBe(false);
  });

  test("is handled if it comes after all: another member of a queue group may have had it, and given it back", () => {
    const { progress, told } = start();
    handle(progress, 1, 3, 5);
    vi.advanceTimersByTime(20 * ackWait);
    expect(told.skipped).toEqual([[2, 2], [4, 4]]);
    expect(progress.cursor).toBe(5);
    expect([1, 2, 3, 4, 5].filter((sequence) => progress.isFinished(sequence))).toEqual([1, 3, 5]);
    handle(progress, 4);
    expect(progress.isFinished(4)).toBe(true);
    expect(progress.cursor).toBe(5);
  });

  test("is reported as skipped after two ack waits without interruption, once, and the cursor goes on", () => {
    const { progress, told } = start();
    handle(progress, 1, 2, 5, 6);
    vi.advanceTimersByTime(1.9 * ackWait);
    expect(told.skipped).toEqual([]);
    expect(progress.cursor).toBe(2);
    vi.advanceTimersByTime(3 * ackWait);
    expect(told.skipped).toEqual([[3, 4]]);
    expect(progress.cursor).toBe(6);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("is waited for as long as the link is down, and two ack waits more", () => {
    const { progress, told } = start();
    handle(progress, 1, 3);
    progress.interrupted();
    vi.advanceTimersByTime(20 * ackWait);
    expect(told.skipped).toEqual([]);
    progress.established();
    vi.advanceTimersByTime(1.9 * ackWait);
    expect(told.skipped).toEqual([]);
    expect(progress.cursor).toBe(1);
    handle(progress, 2);
    expect(progress.cursor).toBe(3);
    vi.advanceTimersByTime(10 * ackWait);
    expect(told.skipped).toEqual([]);
  });

  test("is no gap while it is in somebody's hands", () => {
    const { progress, told } = start();
    handle(progress, 1);
    progress.receive(2, 2);
    progress.activate(2);
    handle(progress, 3);
    vi.advanceTimersByTime(20 * ackWait);
    expect(told.skipped).toEqual([]);
    expect(progress.cursor).toBe(1);
    progress.finish(2);
    expect(progress.cursor).toBe(3);
  });

  test("counts as gone when it was given back and not delivered again for so long", () => {
    const { progress, told } = start();
    handle(progress, 1);
    progress.receive(2, 2);
    progress.activate(2);
    handle(progress, 3);
    progress.awaitRedelivery(2, message);
    vi.advanceTimersByTime(10 * ackWait);
    expect(told.skipped).toEqual([[2, 2]]);
    expect(progress.cursor).toBe(3);
  });

  test("is nothing where sequences begin: the first message is the first", () => {
    const { progress, told } = start();
    handle(progress, 1_000, 1_001);
    vi.advanceTimersByTime(10 * ackWait);
    expect(told.skipped).toEqual([]);
    expect(progress.cursor).toBe(1_001);
  });

  test("may be before the first message if the link was lost before: the cursor stays unknown for a while", () => {
    const { progress } = start();
    progress.interrupted();
    progress.established();
    handle(progress, 8);
    expect(progress.cursor).toBeUndefined();
    handle(progress, 7);
    vi.advanceTimersByTime(10 * ackWait);
    expect(progress.cursor).toBe(8);
  });

  test("is not looked for after the end", () => {
    const { progress, told } = start();
    handle(progress, 1, 3);
    progress.stop();
    expect(vi.getTimerCount()).toBe(0);
    handle(progress, 5);
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(10 * ackWait);
    expect(told.skipped).toEqual([]);
  });

  test("costs no timer while nothing is missing", () => {
    const { progress } = start();
    for (let sequence = 1; sequence <= 1_000; sequence++) handle(progress, sequence);
    expect(vi.getTimerCount()).toBe(0);
  });
});

test("at most 10 000 intervals are remembered; more are forgotten and reported, many at a time; the run stays", () => {
  const { progress, told } = start();
  for (let i = 0; i < 10_000; i++) handle(progress, 1 + 2 * i);
  expect(told.forgotten).toEqual([]);
  for (let i = 10_000; i < 11_001; i++) handle(progress, 1 + 2 * i);
  expect(told.forgotten).toEqual([
    [3, 2_001],
    [2_003, 4_001],
  ]);
  expect(progress.isFinished(1)).toBe(true);
  expect(progress.isFinished(4_001)).toBe(false);
  expect(progress.isFinished(4_003)).toBe(true);
  expect(progress.cursor).toBe(1);
  progress.stop();
});

test("what was finished and forgotten is not reported as skipped: it was delivered", () => {
  const { progress, told } = start();
  for (let i = 0; i <= 10_000; i++) handle(progress, 1 + 2 * i);
  expect(told.forgotten).toEqual([[3, 2_001]]);
  vi.advanceTimersByTime(10 * ackWait);
  expect(told.skipped.slice(0, 2)).toEqual([
    [2_002, 2_002],
    [2_004, 2_004],
  ]);
  expect(progress.cursor).toBe(20_001);
  progress.stop();
});
