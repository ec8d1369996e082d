import { readFileSync, writeFileSync } from "node:fs";
import type { Target } from "./cases.ts";
import type { ClientName } from "./clients.ts";

/** The figures of one client in one case, round by round. */
export interface Figures {
  readonly client: ClientName;
  readonly title: string;
  /** Messages per second. */
  readonly rates: readonly number[];
  /** CPU per message, in microseconds. */
  readonly cpu: readonly number[];
  /** Milliseconds. */
  readonly p50?: readonly number[];
  readonly p99?: readonly number[];
  /** The most memory of its process, in bytes. 0 where the system does not tell. */
  readonly peak: number;
  /** The memory of its process before the first round. */
  readonly before?: number;
}

/** A target and what was measured. */
export interface Verdict {
  readonly text: string;
  readonly value: number;
  readonly pass: boolean;
}

/** The result of one case. */
export interface CaseResult {
  readonly name: string;
  readonly title: string;
  readonly limit: string;
  readonly date: string;
  /** The load average of the machine over the last minute, at the end. */
  readonly load: number;
  readonly size: number;
  readonly messages: number;
  readonly inFlight: number;
  readonly figures: readonly Figures[];
  readonly absent: readonly string[];
  readonly verdicts: readonly Verdict[];
}

/** A figure that needs no other client, with its values. */
export interface Fact {
  readonly what: string;
  readonly unit: string;
  readonly values: readonly number[];
  readonly target?: number;
}

/** Facts that belong together. */
export interface FactSheet {
  readonly name: string;
  readonly title: string;
  readonly date: string;
  readonly facts: readonly Fact[];
}

/** The content of bench/results.json. */
export interface Results {
  /** Versions and machine. */
  readonly setting: string;
  readonly cases: readonly CaseResult[];
  readonly sheets: readonly FactSheet[];
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The median, the least and the most of some values. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[sorted.length >> 1], min: sorted[0], max: sorted[sorted.length - 1] };
}

/** The ratio of one client's rounds to those of another client that took turns with it. */
export function ratios(ours: readonly number[], theirs: readonly number[]): number[] {
  return ours.map((value, round) => value / theirs[round]);
}

/** Judges the first client of a case. Leaves out the targets against a client that did not take part. */
export function judge(result: Omit<CaseResult, "verdicts">, targets: readonly Target[]): Verdict[] {
  const [ours] = result.figures;
  return targets.flatMap((target) => {
    const other = result.figures.find(({ client }) => client === target.against);
    if (ours === undefined || (target.against !== undefined && other === undefined)) return [];
    const value = valueOf(target, ours, other, result.size * result.inFlight);
    // The system does not tell it.
    if (!Number.isFinite(value)) return [];
    const bound = target.atLeast !== undefined ? `at least ${target.atLeast}` : `at most ${target.atMost}`;
    const pass = value >= (target.atLeast ?? -Infinity) && value <= (target.atMost ?? Infinity);
    return [{ text: `${names[target.measure]} ${bound}${unitOf(target)}`, value, pass }];
  });
}

/** Judges, over the cases of each series, that CPU per message does not grow with the number of messages. */
export function judgeGrowth(cases: readonly CaseResult[]): (Verdict & { readonly title: string })[] {
  return ["publish", "consume"].flatMap((workload) => {
    const series = cases.filter(({ name }) => name.startsWith(`growth-${workload}-`));
    const [first, last] = [series[0], series[series.length - 1]];
    if (first === undefined || last === undefined || first === last) return [];
    const value = spread(last.figures[0]!.cpu).median / spread(first.figures[0]!.cpu).median;
    const [few, many] = [first, last].map(({ messages }) => messages.toLocaleString("en"));
    const text = `CPU per message for ${many} messages at most ${MOST_GROWTH} times that for ${few}`;
    return [{ title: `${workload} ever more messages`, text, value, pass: value <= MOST_GROWTH }];
  });
}

/** What a noisy machine may make of "the same". */
const MOST_GROWTH = 1.25;

const names = { rate: "rate", cpu: "CPU", peak: "peak memory", growth: "memory on top of that at the start" } as const;

function unitOf({ measure, against }: Target): string {
  if (against !== undefined) return ` times that of ${against}`;
  if (measure === "rate") return " messages/s";
  return measure === "growth" ? " times the bytes in flight" : " µs per message";
}

function valueOf(target: Target, ours: Figures, other: Figures | undefined, inFlight: number): number {
  switch (target.measure) {
    case "rate":
      return spread(other === undefined ? ours.rates : ratios(ours.rates, other.rates)).median;
    case "cpu":
      return spread(other === undefined ? ours.cpu : ratios(ours.cpu, other.cpu)).median;
    case "peak":
      return ours.peak / other!.peak;
    case "growth":
      return (ours.peak - ours.before!) / inFlight;
  }
}

const FILE = "bench/results.json";

/** Reads the results that are kept. */
export function readResults(): Results {
  return JSON.parse(readFileSync(FILE, "utf8")) as Results;
}

/** Replaces kept results by new results of the same names. Returns all of them, in the given order of names. */
export function keepResults(
  setting: string,
  cases: readonly CaseResult[],
  sheets: readonly FactSheet[],
  order: readonly string[],
): Results {
  let kept: Results = { setting, cases: [], sheets: [] };
  try {
    kept = readResults();
  } catch {
    // Nothing is kept yet.
  }
  const results = { setting, cases: merge(kept.cases, cases, order), sheets: merge(kept.sheets, sheets, order) };
  writeFileSync(FILE, `${JSON.stringify(results, rounded, 1)}\n`);
  return results;
}

function merge<T extends { name: string }>(old: readonly T[], fresh: readonly T[], order: readonly string[]): T[] {
  const all = new Map([...old, ...fresh].map((one) => [one.name, one]));
  return order.flatMap((name) => all.get(name) ?? []);
}

/** Four digits are more than any of these figures is worth. */
function rounded(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
}
