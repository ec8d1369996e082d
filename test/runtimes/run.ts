import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { binaries, installBinary } from "../support/binaries.ts";
import { root } from "../support/tarball.ts";
import { installRuntime, runtimes, ways } from "./runtimes.ts";
import type { Runtime, Way } from "./runtimes.ts";
import { checks, Trial } from "./trial.ts";

const USAGE = `usage: npm run runtimes -- [name ...]
Runs the smoke suite over the packed library. All runtimes, or some of: ${runtimes.map(({ name }) => name).join(" ")}
A run of all that passes writes docs/runtimes.md.`;

/** What passed, by the way that the library was loaded. */
type Row = ReadonlyMap<Way, readonly string[]>;

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter((name) => !runtimes.some((runtime) => runtime.name === name));
  if (unknown.length > 0) throw new Error(`there is no ${unknown.join(", ")}\n${USAGE}`);
  const chosen = names.length === 0 ? runtimes : runtimes.filter(({ name }) => names.includes(name));
  const server = installBinary(binaries.streaming);
  if ("missing" in server) throw new Error(server.missing);
  const trial = await Trial.start();
  const rows = new Map<Runtime, Row>();
  try {
    for (const runtime of chosen) rows.set(runtime, await tryOut(trial, runtime));
  } finally {
    await trial.stop();
  }
  process.stdout.write(`\n${table(rows)}\n`);
  const complete = [...rows.values()].every((row) => ways.every((way) => row.get(way)?.length === checks.length));
  if (!complete) process.exitCode = 1;
  else if (chosen.length === runtimes.length) writeFileSync(join(root, "docs", "runtimes.md"), page(rows));
}

async function tryOut(trial: Trial, runtime: Runtime): Promise<Row> {
  const row = new Map<Way, readonly string[]>();
  const installed = installRuntime(runtime);
  if ("missing" in installed) {
    process.stdout.write(`${runtime.title}: ${installed.missing}\n`);
    return row;
  }
  for (const way of ways) {
    const { passed, problem } = await trial.run(runtime, way, installed.bins);
    row.set(way, passed);
    process.stdout.write(`${runtime.title} by ${way}: ${problem === undefined ? "passed" : `FAILED\n${problem}`}\n`);
  }
  return row;
}

/** As Markdown, which a terminal shows as well. */
function table(rows: ReadonlyMap<Runtime, Row>): string {
  const body = [...rows].map(([{ title }, row]) => [title, ...checks.map((check) => cell(row, check))]);
  const cells = [["", ...checks], ...body];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const lines = cells.map((row) => `| ${row.map((text, column) => text.padEnd(widths[column]!)).join(" | ")} |`);
  lines.splice(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`);
  return lines.join("\n");
}

function cell(row: Row, check: string): string {
  const passed = ways.filter((way) => row.get(way)?.includes(check));
  return passed.length === ways.length ? "yes" : passed.length === 0 ? "no" : `${passed[0]} only`;
}

function page(rows: ReadonlyMap<Runtime, Row>): string {
  return `# Runtimes

Written by \`npm run runtimes\` on ${new Date().toISOString().slice(0, 10)}, with nats-streaming-server ${binaries.streaming.version} on ${process.platform}. The package
is packed, installed from the tarball and loaded by \`import\` and by \`require\`; "yes" means both. A check that fails
ends the run, and this page is written only if none does.

${table(rows)}

- **connect**: register, by way of a proxy.
- **publish**: a text, bytes, several; and an error by its code.
- **consume**: \`for await\` over stored messages, then a subscription with a handler.
- **reconnect**: the proxy cuts the link; the session is resumed, and what is published meanwhile arrives, once.
- **TLS**: upgrade with a private authority and an nkey; a certificate that is not trusted is refused.
- **testing**: the server of \`nats-streaming-client/testing\` runs in the same process, and a client publishes to it.
- **exit**: after that the program ends by itself.

Deno is allowed nothing but the network of this machine, reading the project's folder, and the one variable that tells
the suite what to do; Node's permission model allows the network and reading the project's folder. With jest, \`import\` is
its native support for ES modules (\`--experimental-vm-modules\`). With esbuild (\`--bundle --platform=node\`), the bundle is
run where there is no node_modules; one with \`--format=esm\` needs a \`require\`, since the library is CommonJS:
\`--banner:js='import { createRequire } from "node:module"; const require = createRequire(import.meta.url);'\`.
`;
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`runtimes: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
