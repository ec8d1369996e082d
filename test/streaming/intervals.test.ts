import { expect, test } from "vitest";
import { Intervals } from "../../src/streaming/intervals.ts";
import { forEachSeed } from "../support/random.ts";

/** The maximal runs of a set of whole numbers. */
function runsOf(set: ReadonlySet<number>): { from: number; to: number }[] {
  const runs: { from: number; to: number }[] = [];
  for (const n of [...set].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last.to === n - 1) last.to = n;
    else runs.push({ from: n, to: n });
  }
  return runs;
}

function check(intervals: Intervals, model: ReadonlySet<number>, range: number): void {
  const runs = runsOf(model);
  expect(intervals.count).toBe(runs.length);
  expect(intervals.first).toEqual(runs.length === 0 ? undefined : { start: runs[0].from, end: runs[0].to });
  for (let n = 0; n <= range + 1; n++) {
    if (intervals.has(n) !== model.has(n)) expect.fail(`${n} is ${model.has(n) ? "not in" : "in"}`);
  }
}

test("holds what a Set holds, in the order of arrival or out of it", async () => {
  await forEachSeed(100, (random) => {
    const intervals = new Intervals();
    const model = new Set<number>();
    const range = random.int(1, 60);
    for (let step = 0; step < 80; step++) {
      const n = random.bool(0.3) ? Math.min(range, Math.max(0, ...model) + 1) : random.int(1, range);
      expect(intervals.add(n, () => step)).toBe(!model.has(n));
      model.add(n);
      check(intervals, model, range);
    }
  });
});

test("closes exactly the gaps that are settled, and says which", async () => {
  await forEachSeed(200, (random) => {
    const intervals = new Intervals();
    const model = new Set<number>();
    const range = 40;
    for (let i = 0; i < 15; i++) {
      const n = random.int(1, range);
      intervals.add(n, () => 0);
      model.add(n);
    }
    const waitedFor = random.int(1, range);
    const runs = runsOf(model);
    const gaps = runs.slice(1).map((run, i) => ({ from: runs[i].to + 1, to: run.from - 1 }));
    const closable = gaps.filter((gap) => waitedFor < gap.from || waitedFor > gap.to);
    expect(intervals.closeGaps(1, (from, to) => waitedFor < from || waitedFor > to)).toEqual(closable);
    for (const { from, to } of closable) for (let n = from; n <= to; n++) model.add(n);
    check(intervals, model, range);
  });
});

test("a gap is as old as the number above it, and splitting it makes neither part younger", () => {
  const intervals = new Intervals();
  intervals.add(1, () => 10);
  intervals.add(9, () => 20);
  intervals.add(5, () => 30);
  intervals.add(15, () => 40);
  expect(intervals.closeGaps(20, () => true)).toEqual([]);
  expect(intervals.closeGaps(21, () => true)).toEqual([
    { from: 2, to: 4 },
    { from: 6, to: 8 },
  ]);
  expect(intervals.closeGaps(40, () => true)).toEqual([]);
  expect(intervals.closeGaps(41, () => true)).toEqual([{ from: 10, to: 14 }]);
  expect(intervals.first).toEqual({ start: 1, end: 15 });
});

test("renewed gaps count from then on", () => {
  const intervals = new Intervals();
  intervals.add(1, () => 10);
  intervals.add(3, () => 10);
  intervals.renewGaps(100);
  expect(intervals.closeGaps(100, () => true)).toEqual([]);
  expect(intervals.closeGaps(101, () => true)).toEqual([{ from: 2, to: 2 }]);
});

test("forgets the lowest interval above the unbroken run, and never the run", () => {
  const intervals = new Intervals();
  expect(intervals.forgetSecond()).toBeUndefined();
  for (const n of [1, 2, 5, 6, 7, 9]) intervals.add(n, () => 0);
  expect(intervals.forgetSecond()).toEqual({ from: 5, to: 7 });
  check(intervals, new Set([1, 2, 9]), 12);
  expect(intervals.forgetSecond()).toEqual({ from: 9, to: 9 });
  expect(intervals.forgetSecond()).toBeUndefined();
  check(intervals, new Set([1, 2]), 12);
  expect(intervals.add(6, () => 0)).toBe(true);
});

test("the clock is asked for a new gap only", () => {
  const intervals = new Intervals();
  let asked = 0;
  const now = (): number => ++asked;
  for (let n = 1; n <= 1_000; n++) intervals.add(n, now);
  expect(asked).toBe(1);
  expect(intervals.count).toBe(1);
});
