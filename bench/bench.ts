// All benchmarks, each in turns with what people would use instead:
//   npm run bench -- [--case NAME] [--rounds N] [--quick] [--save] [--list]
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { binaries, installBinary } from "../test/support/binaries.ts";
import { cases } from "./cases.ts";
import { writeCharts } from "./charts.ts";
import { contest } from "./contest.ts";
import { sheets } from "./footprint.ts";
import { caseText, sheetText, verdictLines, writeReadme } from "./report.ts";
import { keepResults } from "./results.ts";
import type { CaseResult, FactSheet } from "./results.ts";

const USAGE = `usage: npm run bench -- [--case NAME] [--rounds N] [--quick] [--save] [--list]
  --case NAME  only the cases whose names begin so
  --rounds N   measured rounds of each case (5, some cases have more)
  --quick      3 rounds with a tenth of the messages: to see that it works; the figures mean nothing
  --save       keeps the results: bench/results.json, bench/charts/*.svg and the tables of bench/README.md
  --list       the names of all cases`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      case: { type: "string" },
      rounds: { type: "string" },
      quick: { type: "boolean" },
      save: { type: "boolean" },
      list: { type: "boolean" },
      help: { type: "boolean" },
    },
    allowPositionals: false,
  });
  if (values.help === true) return print(USAGE);
  const order = [...cases, ...sheets].map(({ name }) => name);
  if (values.list === true) return print(order.join("\n"));
  const rounds = Number(values.rounds ?? (values.quick === true ? 3 : 5));
  const chosen = ({ name }: { name: string }): boolean => values.case === undefined || name.startsWith(values.case);
  if (!Number.isInteger(rounds) || rounds < 1 || ![...cases, ...sheets].some(chosen)) throw new Error(USAGE);
  if (values.save === true && (values.quick === true || rounds < 5)) throw new Error("what is kept must be of at least 5 whole rounds");

  const server = installBinary(binaries.streaming);
  if ("missing" in server) throw new Error(server.missing);
  const setting = settingText();
  print(setting);
  const results: CaseResult[] = [];
  const facts: FactSheet[] = [];
  for (const one of cases.filter(chosen)) {
    const result = await contest(one, { rounds, share: values.quick === true ? 0.1 : 1 });
    results.push(result);
    print(`\n${result.name}: ${result.title}, ${result.size} bytes\n\n${caseText(result)}`);
  }
  for (const sheet of sheets.filter(chosen)) {
    const result = await sheet.measure(values.quick === true ? 3 : 9);
    facts.push(result);
    print(`\n${result.name}: ${result.title}\n\n${sheetText(result)}`);
  }
  const lines = verdictLines({ cases: results, sheets: facts });
  print(`\n${lines.join("\n")}\n${lines.filter((line) => line.startsWith("MISSED")).length} of ${lines.length} targets missed`);
  if (values.save !== true) return;
  const kept = keepResults(setting, results, facts, order);
  writeCharts(kept);
  writeReadme(kept);
}

function settingText(): string {
  const [processor, ...others] = cpus();
  const { name, version } = binaries.streaming;
  return `Node ${process.version}, ${name} ${version}, memory store without limits, ${process.platform}, ${others.length + 1} cores (${processor!.model}), shared with other work.`;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
