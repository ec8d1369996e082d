import { join } from "node:path";
import { say } from "../../examples/terminal.ts";
import { Random } from "../support/random.ts";
import type { BridgeResult, BridgeScenario } from "./bridge-scenarios.ts";
import { bounded } from "./load.ts";

/** How long things go wrong in one run of a scenario. */
const SECONDS = 12;

interface Row {
  readonly name: string;
  readonly result: BridgeResult;
}

/** Has things go wrong with the bridge, and prints what came of it. Returns whether the oracle was content. */
export async function bridgeChaos(chosen: readonly BridgeScenario[], seed: number, minutes: number): Promise<boolean> {
  say(`seed ${seed}, for ${minutes} minutes or each scenario once`);
  const path = join(process.cwd(), "dist", "bridge.js");
  const end = performance.now() + minutes * 60_000;
  const rows: Row[] = [];
  let [runs, failures] = [0, 0];
  for (let round = 0; round === 0 || performance.now() < end; round++) {
    for (const [i, scenario] of chosen.entries()) {
      if (round > 0 && performance.now() >= end) break;
      const own = seed + round * 1_000 + i;
      const started = performance.now();
      runs++;
      try {
        const result = await bounded(scenario.name, scenario.run(new Random(own), SECONDS, path), 300_000, () => "");
        rows.push({ name: scenario.name, result });
        const { messages, violations, faults } = result;
        const verdict = violations.length === 0 ? "ok  " : "FAIL";
        if (violations.length > 0) failures++;
        const what = Object.entries(faults)
          .map(([fault, count]) => `${fault} ${count}`)
          .join(", ");
        const took = ((performance.now() - started) / 1_000).toFixed(0);
        say(`${verdict} ${scenario.name} (seed ${own}, ${took} s): ${messages} messages; ${what}`);
        for (const violation of violations) say(`     ${violation}`);
      } catch (error) {
        failures++;
        say(`FAIL ${scenario.name} (seed ${own}): ${error instanceof Error ? error.stack : String(error)}`);
      }
    }
  }
  say(`\n${table(rows)}\n`);
  const sum = rows.reduce((all, { result }) => all + result.messages, 0);
  const differences = rows.reduce((all, { result }) => all + result.violations.length, 0);
  const faults = rows.reduce((all, row) => all + faultsOf(row), 0);
  say(`${failures} of ${runs} runs failed, ${faults} faults, ${sum} messages compared, ${differences} differences`);
  return failures === 0;
}

function faultsOf({ result }: Row): number {
  return Object.values(result.faults).reduce((sum, count) => sum + count, 0);
}

/** One line for each scenario, over all of its rounds, in Markdown. */
function table(rows: readonly Row[]): string {
  const lines = [
    ["scenario", "runs", "faults", "messages compared", "differences"],
    ["---", "---", "---", "---", "---"],
  ];
  for (const name of new Set(rows.map((row) => row.name))) {
    const own = rows.filter((row) => row.name === name);
    const faults = new Map<string, number>();
    for (const { result } of own) {
      for (const [what, count] of Object.entries(result.faults)) faults.set(what, (faults.get(what) ?? 0) + count);
    }
    const messages = own.reduce((sum, { result }) => sum + result.messages, 0);
    const differences = own.reduce((sum, { result }) => sum + result.violations.length, 0);
    const what = [...faults].map(([fault, count]) => `${count} ${fault}`).join(", ");
    lines.push([name, String(own.length), what, String(messages), String(differences)]);
  }
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
