import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Progress } from "../../../src/streaming/subscribing/progress.ts";
import { WaitingBytes } from "../../../src/streaming/subscribing/waiting-bytes.ts";

vi.mock("../../../src/core-nats/clock.ts", () => import("../../support/fakeable-clock.ts"));

const ackWait = 1_000;
/** How long an outage of the streaming server may go unnoticed. */
const unnoticed = 5_000;

let told: string[];
let progress: Progress;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  told = [];
  progress = new Progress(
    ackWait,
    {
      skipped: (from, to) => told.push(`skipped ${from}-${to}`) > 0,
      notRedelivered: () => true,
    unblocked: () => undefined,
      forgotten: (from, to) => told.push(`forgotten ${from}-${to}`),
    },
    new WaitingBytes(1_000_000),
    unnoticed,
  );
});

afterEach(() => {
  progress.stop();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Messages that arrive and are finished at once; their times are their sequences. */
function finish(...sequences: number[]): void {
  for (const sequence of sequences) {
    expect(progress.receive(sequence, sequence)).toBe(true);
    progress.finish(sequence);
  }
}

describe("a gap", () => {
  test("is taken for permanent after two ack waits, and as long as an outage may go unnoticed", () => {
    progress.established();
    finish(1, 3);
    vi.advanceTimersByTime(2 * ackWait + unnoticed - 1);
    expect(progress.cursor).toBe(1);
    vi.advanceTimersByTime(2 * ackWait);
    expect(told).toEqual(["skipped 2-2"]);
    expect(progress.cursor).toBe(3);
  });

  test("stays open while the streaming server is out of reach, however long that is, and for two ack waits after", () => {
    progress.established();
    finish(1, 3);
    vi.advanceTimersByTime(ackWait);
    progress.interrupted();
    vi.advanceTimersByTime(100_000);
    progress.established();
    vi.advanceTimersByTime(2 * ackWait + unnoticed - 1);
    expect(told).toEqual([]);
    finish(2);
    expect(progress.cursor).toBe(3);
  });

  test("stays open when this process stood still: what the server sent meanwhile is yet to be read", () => {
    progress.established();
    finish(1, 3);
    vi.advanceTimersByTime(ackWait / 2);
    const now = performance.now.bind(performance);
    vi.spyOn(performance, "now").mockImplementation(() => now() + 100_000);
    vi.advanceTimersByTime(2 * ackWait + unnoticed - 1);
    expect(told).toEqual([]);
    finish(2);
    expect(progress.cursor).toBe(3);
  });

  test("stays open for a message that was received and not finished, as long as it is delivered again", () => {
    progress.established();
    progress.receive(1, 1);
    progress.finish(1);
    progress.receive(2, 2);
    progress.awaitRedelivery(2, { data: new Uint8Array(0) }, true);
    finish(3);
    for (let i = 0; i < 50; i++) {
      vi.advanceTimersByTime(ackWait);
      progress.receive(2, 2);
      progress.awaitRedelivery(2, { data: new Uint8Array(0) }, true);
    }
    expect(told).toEqual([]);
    expect(progress.isFinished(2)).toBe(false);
  });
});

describe("a sequence that the cursor has gone past without it", () => {
  test("is handled if it comes after all: another member of a queue group may have had it, and given it back", () => {
    progress.established();
    finish(1, 3, 5);
    vi.advanceTimersByTime(10 * (2 * ackWait + unnoticed));
    expect(told).toEqual(["skipped 2-2", "skipped 4-4"]);
    expect(progress.cursor).toBe(5);
    expect([1, 2, 3, 4, 5].filter((sequence) => progress.isFinished(sequence))).toEqual([1, 3, 5]);
    finish(4);
    expect(progress.isFinished(4)).toBe(true);
    expect(progress.cursor).toBe(5);
  });
});

describe("a channel that began anew", () => {
  test("is told by an old number with a time later than any that was seen", () => {
    finish(1, 2, 3);
    expect(progress.receive(2, 4)).toBe(false);
  });

  test("is not suspected when a new leader's clock is behind the old one's", () => {
    expect(progress.receive(10, 1_000)).toBe(true);
    // Stored by the next leader, whose clock is late; then the old one comes again.
    expect(progress.receive(11, 900)).toBe(true);
    expect(progress.receive(10, 1_000)).toBe(true);
    expect(progress.receive(10, 1_001)).toBe(false);
  });
});

describe("the cursor", () => {
  test("is the end of the unbroken run also where a lower message came later, as it may in a queue group", () => {
    progress.established();
    finish(5, 4, 6);
    expect(progress.cursor).toBe(6);
  });
});
