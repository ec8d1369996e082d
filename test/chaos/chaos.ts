// Has things go wrong, and checks what the client makes of it: npm run chaos -- [options]
import { commandLine, mistake, wholeNumber } from "../../examples/command-line.ts";
import { failed, say } from "../../examples/terminal.ts";
import { binaries, installBinary } from "../support/binaries.ts";
import { Random } from "../support/random.ts";
import { bridgeChaos } from "./bridge.ts";
import { bridgeScenarios } from "./bridge-scenarios.ts";
import { figures } from "./figures.ts";
import { bounded } from "./load.ts";
import { figureTable, type Measured, type Row, table } from "./report.ts";
import { type Scenario, scenarios } from "./scenarios.ts";

const USAGE = `usage: npm run chaos -- [options]

  --minutes N      goes on for N minutes; default: each scenario once
  --seed N         repeats the run that printed this seed; default: a new one
  --scenario TEXT  only the scenarios whose names have TEXT in them; "figures": only the figures
  --bridge         has things go wrong with the bridge to JetStream, in place of the client`;

/** How long things go wrong in one run of a scenario. */
const seconds = 8;

async function main(): Promise<void> {
  const { options } = commandLine(USAGE, { options: ["minutes", "seed", "scenario"], flags: ["bridge"] });
  const minutes = wholeNumber("--minutes", options.minutes, 0);
  const seed = wholeNumber("--seed", options.seed, Math.floor(Math.random() * 1e6));
  const { scenario = "" } = options;
  if (options.bridge === true) {
    const named = bridgeScenarios.filter(({ name }) => name.includes(scenario));
    if (named.length === 0) mistake(`no scenario of the bridge has ${JSON.stringify(scenario)} in its name`);
    process.exitCode = (await bridgeChaos(named, seed, minutes)) ? 0 : 1;
    return;
  }
  const named = scenarios.filter(({ name }) => name.includes(scenario));
  if (named.length === 0 && scenario !== "figures") mistake(`no scenario has ${JSON.stringify(scenario)} in its name`);
  say(`seed ${seed}, for ${minutes} minutes or each scenario once`);
  let stray = 0;
  for (const event of ["unhandledRejection", "uncaughtException"] as const) {
    process.on(event, (error) => {
      stray++;
      say(`${event}: ${error instanceof Error ? error.stack : String(error)}`);
    });
  }
  const chosen = named.filter(({ needs }) => needs.every(available));
  const end = performance.now() + minutes * 60_000;
  const rows: Row[] = [];
  let failures = 0;
  if (scenario === "" || scenario === "figures") say(`\n${figureTable(await measureAll())}\n`);
  for (let round = 0; chosen.length > 0 && (round === 0 || performance.now() < end); round++) {
    for (const [i, next] of chosen.entries()) {
      if (round > 0 && performance.now() >= end) break;
      if (!(await once(next, seed + round * 1_000 + i, rows))) failures++;
    }
  }
  if (rows.length > 0) say(`\n${table(rows)}\n`);
  const messages = rows.reduce((sum, row) => sum + row.result.messages, 0);
  say(`${failures} of ${rows.length} runs failed, ${stray} unhandled errors, ${messages} messages`);
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
    say(`${verdict} ${run}: ${result.messages} messages; ${statuses}`);
    for (const violation of result.violations) say(`     ${violation}`);
    return result.violations.length === 0;
  } catch (error) {
    say(`FAIL ${scenario.name} (seed ${seed}): ${error instanceof Error ? error.stack : String(error)}`);
    return false;
  }
}

function available(name: keyof typeof binaries): boolean {
  const found = installBinary(binaries[name]);
  if ("missing" in found) say(`left out: ${found.missing}`);
  return "path" in found;
}

main().catch(failed);
