// Runs the benchmarks: npm run bench -- [options]
import { cpus } from "node:os";
import { commandLine, mistake, wholeNumber } from "../examples/command-line.ts";
import { failed, say } from "../examples/terminal.ts";
import { binaries, installBinary } from "../test/support/binaries.ts";
import { cases } from "./cases.ts";
import { writeCharts } from "./charts.ts";
import { compare } from "./comparison.ts";
import { caseText, sheetText, verdictLines, writeReadme } from "./report.ts";
import { keepResults } from "./results.ts";
import type { CaseResult, FactSheet } from "./results.ts";
import { sheets } from "./sheets.ts";

const USAGE = `usage: npm run bench -- [options]

  --case NAME     only the cases whose names begin so
  --rounds N      measured rounds of each case; default 5, and more for some cases
  --quick         3 rounds with a tenth of the messages: shows that it works; the figures mean nothing
  --save          keeps the results: bench/results.json, bench/charts and the tables of bench/README.md
  --list          prints the names of all cases`;

async function main(): Promise<void> {
  const { options } = commandLine(USAGE, { options: ["case", "rounds"], flags: ["quick", "save", "list"] });
  const { case: prefix = "", quick = false, save = false, list = false } = options;
  const order = [...cases, ...sheets].map(({ name }) => name);
  if (list) return say(order.join("\n"));
  const rounds = wholeNumber("--rounds", options.rounds, quick ? 3 : 5, 1);
  const isChosen = ({ name }: { name: string }): boolean => name.startsWith(prefix);
  if (![...cases, ...sheets].some(isChosen)) mistake(`no case begins with ${prefix}`);
  if (save && (quick || rounds < 5)) mistake("--save needs at least 5 whole rounds");

  const server = installBinary(binaries.streaming);
  if ("missing" in server) throw new Error(server.missing);
  const setting = settingText();
  say(setting);
  const results: CaseResult[] = [];
  const facts: FactSheet[] = [];
  for (const one of cases.filter(isChosen)) {
    const result = await compare(one, { rounds, share: quick ? 0.1 : 1 });
    results.push(result);
    say(`\n${result.name}: ${result.title}, ${result.size} bytes\n\n${caseText(result)}`);
  }
  for (const sheet of sheets.filter(isChosen)) {
    const result = await sheet.measure(quick ? 3 : 9);
    facts.push(result);
    say(`\n${result.name}: ${result.title}\n\n${sheetText(result)}`);
  }
  const lines = verdictLines({ cases: results, sheets: facts });
  const missed = lines.filter((line) => line.startsWith("MISSED")).length;
  say(`\n${lines.join("\n")}\n${missed} of ${lines.length} targets missed`);
  if (!save) return;
  const kept = keepResults(setting, results, facts, order);
  writeCharts(kept);
  writeReadme(kept);
}

function settingText(): string {
  const [processor, ...others] = cpus();
  const { name, version } = binaries.streaming;
  const machine = `${process.platform}, ${others.length + 1} cores (${processor!.model}), shared with other work`;
  return `Node ${process.version}, ${name} ${version}, memory store without limits, ${machine}.`;
}

main().catch(failed);
