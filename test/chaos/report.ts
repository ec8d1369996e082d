import type { Figure } from "./figures.ts";
import type { Result } from "./load.ts";

/** What one run of a scenario came to. */
export interface Row {
  readonly name: string;
  readonly seconds: number;
  readonly result: Result;
}

/** The table of a run, in Markdown: one line for each scenario, over all of its rounds. */
export function table(rows: readonly Row[]): string {
  const head = [
    "scenario",
    "outages",
    "recovery ms, median",
    "max",
    "replayed",
    "duplicates",
    "dead letters",
    "lost with the store",
    "forgotten",
    "unconfirmed",
    "lost",
    "messages",
  ];
  const lines = [head, head.map(() => "---")];
  for (const name of new Set(rows.map((row) => row.name))) {
    const results = rows.filter((row) => row.name === name).map((row) => row.result);
    lines.push([name, ...figures(results)]);
  }
  lines.push(["all", ...figures(rows.map((row) => row.result))]);
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function figures(results: readonly Result[]): string[] {
  const sum = (of: (result: Result) => number): string =>
    String(results.reduce((total, result) => total + of(result), 0));
  const recoveries = results.flatMap((result) => result.recoveries).sort((a, b) => a - b);
  const at = (share: number): string =>
    (recoveries[Math.min(recoveries.length - 1, Math.floor(recoveries.length * share))] ?? 0).toFixed(0);
  return [
    sum((result) => result.outages),
    at(0.5),
    at(1),
    sum((result) => result.replayed),
    sum((result) => result.duplicates),
    sum((result) => result.deadLetters),
    sum((result) => result.lostWithStore),
    sum((result) => result.forgotten),
    sum((result) => result.unknown),
    sum((result) => result.lost),
    sum((result) => result.messages),
  ];
}

/** What a figure came to. */
export interface Measured {
  readonly figure: Figure;
  readonly values: readonly number[];
}

/** The table of figures, in Markdown. */
export function figureTable(measured: readonly Measured[]): string {
  const head = ["figure", "median", "max", "to reach", "trials"];
  const lines = [head, head.map(() => "---")];
  for (const { figure, values } of measured) {
    const sorted = [...values].sort((a, b) => a - b);
    const shown = (value: number): string => (figure.unit === "ms" ? `${value.toFixed(0)} ms` : value.toFixed(2));
    lines.push([
      figure.name,
      shown(sorted[Math.floor(sorted.length / 2)]!),
      shown(sorted.at(-1)!),
      shown(figure.target),
      String(values.length),
    ]);
  }
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
