import { describe, expect, test } from "vitest";
import { cases, targetsOf } from "../../bench/cases.ts";
import { caseText, verdictLines } from "../../bench/report.ts";
import { judge, judgeGrowth, ratios, spread } from "../../bench/results.ts";
import type { CaseResult } from "../../bench/results.ts";

const base = {
  name: "publish-1024",
  title: "publish",
  limit: "the server",
  date: "2026-01-01",
  load: 1,
  size: 100,
  messages: 10_000,
  inFlight: 1_000,
  absent: [],
};

/** This client beside another, three rounds of each. */
function result(
  ours: { rates: number[]; cpu: number[]; peak: number },
  theirs: { rates: number[]; cpu: number[]; peak: number },
): CaseResult {
  const figures = [
    { client: "ours", title: "ours", before: 1_000_000, ...ours },
    { client: "node-nats-streaming", title: "theirs", before: 1_000_000, ...theirs },
  ] as const;
  return { ...base, figures, verdicts: [] };
}

const twice = result(
  { rates: [200, 300, 100], cpu: [1, 2, 3], peak: 1_200_000 },
  { rates: [100, 100, 100], cpu: [4, 4, 4], peak: 2_400_000 },
);

describe("the results of the benchmarks", () => {
  test("are median, least and most of the rounds, and ratios round by round", () => {
    expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(ratios([200, 300], [100, 600])).toEqual([2, 0.5]);
  });

  test("are judged by the median of the ratios, or by this client's own median", () => {
    const verdicts = judge(twice, [
      { measure: "rate", against: "node-nats-streaming", atLeast: 2 },
      { measure: "rate", against: "node-nats-streaming", atLeast: 2.1 },
      { measure: "rate", atLeast: 150 },
      { measure: "cpu", atMost: 1.9 },
      { measure: "cpu", against: "node-nats-streaming", atMost: 0.5 },
      { measure: "peak", against: "node-nats-streaming", atMost: 1 },
      // 200 000 bytes on top, where 100 000 are in flight.
      { measure: "growth", atMost: 1.9 },
    ]);
    expect(verdicts.map(({ value, pass }) => [value, pass])).toEqual([
      [2, true],
      [2, false],
      [200, true],
      [2, false],
      [0.5, true],
      [0.5, true],
      [2, false],
    ]);
  });

  test("are not judged against a client that was missing", () => {
    expect(judge(twice, [{ measure: "rate", against: "stan.go", atLeast: 1 }])).toEqual([]);
  });

  test("name who is missing and which targets are missed", () => {
    const judged = {
      ...twice,
      absent: ["stan.go is MISSING: no go"],
      verdicts: judge(twice, [{ measure: "cpu", atMost: 1 }]),
    };
    expect(caseText(judged)).toContain("stan.go is MISSING: no go");
    expect(caseText(judged)).toContain("**MISSED** 2.00: CPU at most 1 µs per message");
    const fact = { what: "import", unit: "ms", values: [9, 11, 12], target: 10 };
    const sheets = [{ name: "import", title: "import", date: "2026-01-01", facts: [fact] }];
    expect(verdictLines({ cases: [judged], sheets })).toEqual([
      "MISSED  publish: 2, CPU at most 1 µs per message",
      "MISSED  import: 11, at most 10 ms",
    ]);
  });

  test("tell when CPU per message grows with the number of messages", () => {
    const grown = (messages: number, cpu: number): CaseResult => ({
      ...result({ rates: [1], cpu: [cpu], peak: 1 }, { rates: [1], cpu: [1], peak: 1 }),
      name: `growth-publish-${messages}`,
      messages,
    });
    expect(judgeGrowth([grown(10, 1), grown(1_000, 1.2)])).toMatchObject([{ pass: true, value: 1.2 }]);
    expect(judgeGrowth([grown(10, 1), grown(1_000, 1.3)])).toMatchObject([{ pass: false, value: 1.3 }]);
    expect(judgeGrowth([grown(10, 1)])).toEqual([]);
  });
});

describe("the cases of the benchmarks", () => {
  test("have names of their own, and whole messages for each subscription", () => {
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
    for (const { task } of cases) expect(task.messages % (task.subscriptions ?? 1)).toBe(0);
  });

  test("ask this client to take less memory than node-nats-streaming wherever that takes part", () => {
    for (const one of cases) {
      const asked = targetsOf(one).some(
        ({ measure, against }) => measure === "peak" && against === "node-nats-streaming",
      );
      expect(asked).toBe(one.clients.includes("node-nats-streaming"));
    }
  });
});
