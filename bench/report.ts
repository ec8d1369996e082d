import { readFileSync, writeFileSync } from "node:fs";
import { judgeGrowth, ratios, spread } from "./results.ts";
import type { CaseResult, Fact, FactSheet, Figures, Results } from "./results.ts";

/** A case as Markdown, which a terminal shows as well. */
export function caseText(result: CaseResult): string {
  const { figures } = result;
  const withLatency = figures.some(({ p50 }) => p50 !== undefined);
  const latency = withLatency ? ["p50 ms", "p99 ms"] : [];
  const head = ["", "messages/s", "CPU µs per message", ...latency, "peak RSS", "rate", "CPU"];
  const ours = figures[0];
  const ratio = (of: readonly number[], to: readonly number[]): string => range(ratios(of, to), fixed);
  const rows = figures.map((one) => [
    one.title,
    range(one.rates, count),
    range(one.cpu, fixed),
    ...(withLatency ? [range(one.p50, fixed), range(one.p99, fixed)] : []),
    one.peak > 0 ? megabytes(one.peak) : "–",
    ...(one === ours ? ["", ""] : [ratio(ours!.rates, one.rates), ratio(ours!.cpu, one.cpu)]),
  ]);
  const lines = [table([head, ...rows]), "", `Limited by ${result.limit}.`];
  if (result.absent.length > 0) lines.push("", `Not here: ${result.absent.join("; ")}.`);
  if (result.verdicts.length > 0) {
    lines.push("", ...result.verdicts.map(({ text, value, pass }) => verdictText(text, value, pass)));
  }
  return lines.join("\n");
}

function verdictText(text: string, value: number, pass: boolean): string {
  return `- ${pass ? "PASS" : "**MISSED**"} ${fixed(value)}: ${text}`;
}

/** A sheet of facts as Markdown. */
export function sheetText({ facts }: FactSheet): string {
  const rows = facts.map(({ what, unit, values, target }) => [
    what,
    `${range(values, (value) => figure(value))} ${unit}`,
    target === undefined ? "" : `${spread(values).median <= target ? "PASS" : "**MISSED**"}: at most ${figure(target)}`,
  ]);
  return table([["", "median (min to max)", "target"], ...rows]);
}

/** One line for each target, for a summary. */
export function verdictLines({ cases, sheets }: Pick<Results, "cases" | "sheets">): string[] {
  const line = (pass: boolean, where: string, value: number, text: string): string =>
    `${pass ? "PASS  " : "MISSED"}  ${where}: ${figure(value)}, ${text}`;
  return [
    ...cases.flatMap(({ title, verdicts }) => verdicts.map(({ text, value, pass }) => line(pass, title, value, text))),
    ...judgeGrowth(cases).map(({ title, text, value, pass }) => line(pass, title, value, text)),
    ...sheets.flatMap(({ facts }) =>
      facts.flatMap(({ what, unit, values, target }: Fact) => {
        const { median } = spread(values);
        return target === undefined ? [] : [line(median <= target, what, median, `at most ${figure(target)} ${unit}`)];
      }),
    ),
  ];
}

const README = "bench/README.md";
const BEGIN = "<!-- written by npm run bench -- --save -->\n";
const END = "<!-- to here -->\n";
const RATIOS = "Ratios are this client's figure divided by the other's, round by round: median (least to most).";

/** Writes the results into bench/README.md, between its two marks. */
export function writeReadme(results: Results): void {
  const text = readFileSync(README, "utf8");
  const begin = text.indexOf(BEGIN) + BEGIN.length;
  const end = text.indexOf(END, begin);
  if (begin < BEGIN.length || end < 0) throw new Error(`${README} has lost the marks between which the results are`);
  writeFileSync(README, `${text.slice(0, begin)}\n${readmeText(results)}\n\n${text.slice(end)}`);
}

function readmeText({ setting, cases, sheets }: Results): string {
  const parts = [setting, "", RATIOS];
  for (const result of cases) {
    const { name, title, date, load, size, messages } = result;
    const round = `${count(messages)} messages of ${count(size)} bytes a round`;
    parts.push("", `### ${capital(title)}`, "", `\`${name}\`, ${date}: ${round}; load ${fixed(load)}.`, "");
    if (!name.startsWith("growth-")) parts.push(`![${title}](charts/${name}.svg)`, "");
    parts.push(caseText(result));
  }
  for (const { title, text, value, pass } of judgeGrowth(cases)) {
    const chart = `![${title}](charts/growth-${title.split(" ")[0]}.svg)`;
    parts.push("", `### CPU per message, to ${title}`, "", chart, "", verdictText(text, value, pass));
  }
  for (const sheet of sheets) {
    parts.push("", `### ${capital(sheet.title)}`, "", `\`${sheet.name}\`, ${sheet.date}.`, "", sheetText(sheet));
  }
  return parts.join("\n");
}

/** The median, and in brackets the least and the most. */
function range(values: Figures["rates"] | undefined, text: (value: number) => string): string {
  if (values === undefined) return "–";
  const { median, min, max } = spread(values);
  return values.length === 1 ? text(median) : `${text(median)} (${text(min)} to ${text(max)})`;
}

function table(cells: readonly (readonly string[])[]): string {
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const padded = (text: string, i: number): string => (i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!));
  const line = (row: readonly string[]): string => `| ${row.map(padded).join(" | ")} |`;
  const rules = widths.map((width, i) => `${"-".repeat(width + 1)}${i === 0 ? "-" : ":"}`);
  return [line(cells[0]!), `|${rules.join("|")}|`, ...cells.slice(1).map(line)].join("\n");
}

function capital(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function fixed(value: number): string {
  return value.toFixed(2);
}

function figure(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 3 });
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`;
}
