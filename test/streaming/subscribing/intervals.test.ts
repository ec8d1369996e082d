import { expect, test } from "vitest";
import { Intervals } from "../../../src/streaming/subscribing/intervals.ts";
import { forEachSeed } from "../../support/random.ts";

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

test("says where the interval of a number ends, and where the next one begins", async () => {
  await forEachSeed(200, (random) => {
    const intervals = new Intervals();
    const model = new Set<number>();
    const range = 40;
    for (let i = 0; i < 15; i++) {
      const n = random.int(1, range);
      intervals.add(n, () => 0);
      model.add(n);
    }
    const runs = runsOf(model);
    for (let n = 0; n <= range + 1; n++) {
      expect(intervals.endOf(n)).toBe(runs.find((run) => run.from <= n && n <= run.to)?.to);
      expect(intervals.after(n)?.start).toBe(runs.find((run) => run.from > n)?.from);
    }
  });
});

test("a gap is as old as the number above it, and splitting it makes neither part younger", () => {
  const intervals = new Intervals();
  intervals.add(1, () => 10);
  intervals.add(9, () => 20);
  intervals.add(5, () => 30);
  intervals.add(15, () => 40);
  expect([1, 5, 9].map((n) => intervals.after(n))).toEqual([
    { start: 5, since: 20 },
    { start: 9, since: 20 },
    { start: 15, since: 40 },
  ]);
});

test("renewed gaps count from then on", () => {
  const intervals = new Intervals();
  intervals.add(1, () => 10);
  intervals.add(3, () => 10);
  intervals.renewGaps(100);
  expect(intervals.after(1)).toEqual({ start: 3, since: 100 });
});

test("forgets the lowest intervals, and never the one that is to be kept", () => {
  const intervals = new Intervals();
  expect(intervals.forgetLowest(2, 1)).toBeUndefined();
  for (const n of [1, 2, 4, 5, 6, 7, 9, 11]) intervals.add(n, () => 0);
  expect(intervals.forgetLowest(2, 2)).toEqual({ from: 4, to: 9 });
  check(intervals, new Set([1, 2, 11]), 12);
  expect(intervals.forgetLowest(11, 1)).toEqual({ from: 1, to: 2 });
  expect(intervals.forgetLowest(11, 5)).toBeUndefined();
  check(intervals, new Set([11]), 12);
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
