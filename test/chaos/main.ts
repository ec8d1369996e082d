// npm run chaos -- [--minutes N] [--seed S] [--scenario "part of a name, or figures"]
import { parseArgs } from "node:util";
import { binaries, installBinary } from "../support/binaries.ts";
import { Random } from "../support/random.ts";
import { figures } from "./figures.ts";
import { bounded } from "./load.ts";
import { figureTable, type Measured, type Row, table } from "./report.ts";
import { type Scenario, scenarios } from "./scenarios.ts";

/** How long things go wrong in one run of a scenario. */
const seconds = 8;

void main();

async function main(): Promise<void> {
  const options = parse();
  const { minutes, seed, scenario } = options;
  print(`seed ${seed}, for ${minutes} minutes or each scenario once`);
  let stray = 0;
  for (const event of ["unhandledRejection", "uncaughtException"] as const) {
    process.on(event, (error) => {
      stray++;
      print(`${event}: ${error instanceof Error ? error.stack : String(error)}`);
    });
  }
  const chosen = scenarios.filter(({ name, needs }) => name.includes(scenario) && needs.every(available));
  if (chosen.length === 0 && scenario !== "figures") {
    throw new Error(`no scenario's name contains ${JSON.stringify(scenario)}`);
  }
  const end = performance.now() + minutes * 60_000;
  const rows: Row[] = [];
  let failures = 0;
  if (scenario === "" || scenario === "figures") print(`\n${figureTable(await measureAll())}\n`);
  for (let round = 0; chosen.length > 0 && (round === 0 || performance.now() < end); round++) {
    for (const [i, next] of chosen.entries()) {
      if (round > 0 && performance.now() >= end) break;
      if (!(await once(next, seed + round * 1_000 + i, rows))) failures++;
    }
  }
  if (rows.length > 0) print(`\n${table(rows)}\n`);
  const messages = rows.reduce((sum, row) => sum + row.result.messages, 0);
  print(`${failures} of ${rows.length} runs failed, ${stray} unhandled errors, ${messages} messages`);
  process.exitCode = failures + stray > 0 ? 1 : 0;
}

async function measureAll(): Promise<Measured[]> {
  const measured: Measured[] = [];
  for (const figure of figures) {
    if (figure.needs.every(available)) measured.push({ figure, values: await figure.measure() });
  }
  return measured;
}

/** One run of a scenario. Returns whether the oracle was content. */
async function once(scenario: Scenario, seed: number, rows: Row[]): Promise<boolean> {
  const started = performance.now();
  try {
    const result = await bounded(scenario.name, scenario.run(new Random(seed), seconds), 300_000, () => "");
    const took = (performance.now() - started) / 1_000;
    rows.push({ name: scenario.name, seconds: took, result });
    const statuses = Object.entries(result.statuses).map(([what, count]) => `${what} ${count}`).join(", ");
    const verdict = result.violations.length === 0 ? "ok  " : "FAIL";
    const run = `${scenario.name} (seed ${seed}, ${took.toFixed(0)} s)`;
    print(`${verdict} ${run}: ${result.messages} messages; ${statuses}`);
    for (const violation of result.violations) print(`     ${violation}`);
    return result.violations.length === 0;
  } catch (error) {
    print(`FAIL ${scenario.name} (seed ${seed}): ${error instanceof Error ? error.stack : String(error)}`);
    return false;
  }
}

function available(name: keyof typeof binaries): boolean {
  const found = installBinary(binaries[name]);
  if ("missing" in found) print(`left out: ${found.missing}`);
  return "path" in found;
}

function parse(): { minutes: number; seed: number; scenario: string } {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { minutes: text, seed: text, scenario: text }, allowPositionals: false });
  const { minutes = 0, seed = Math.floor(Math.random() * 1e6), scenario = "" } = values;
  return { minutes: Number(minutes), seed: Number(seed), scenario };
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
