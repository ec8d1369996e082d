import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { binaries, installBinary } from "../support/binaries.ts";
import { root } from "../support/tarball.ts";
import { compilers } from "../types/compilers.ts";
import { installRuntime, newestNode, runtimes, ways } from "./runtimes.ts";
import type { Runtime, Way } from "./runtimes.ts";
import { checks, Trial } from "./trial.ts";

const USAGE = `usage: npm run runtimes -- [name ...]
Runs the smoke suite over the packed library. All runtimes, or some of: ${runtimes.map(({ name }) => name).join(" ")}
A run of all that passes writes docs/runtimes.md.`;

/** What passed, by the way that the library was loaded; and what came of the load. */
interface Row {
  readonly passed: ReadonlyMap<Way, readonly string[]>;
  readonly load: string | undefined;
}

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
  process.stdout.write(`\n${checksTable(rows)}\n\n${loadsTable(rows)}\n`);
  const complete = [...rows].every(([runtime, { passed }]) => {
    const expected = checks.length - (runtime.without ?? []).length;
    return ways.every((way) => passed.get(way)?.length === expected);
  });
  if (!complete) process.exitCode = 1;
  else if (chosen.length === runtimes.length) writeFileSync(join(root, "docs", "runtimes.md"), page(rows));
}

async function tryOut(trial: Trial, runtime: Runtime): Promise<Row> {
  const passed = new Map<Way, readonly string[]>();
  const installed = installRuntime(runtime);
  if ("missing" in installed) {
    process.stdout.write(`${runtime.title}: ${installed.missing}\n`);
    return { passed, load: undefined };
  }
  for (const way of ways) {
    const outcome = await trial.run(runtime, way, installed.bins);
    passed.set(way, outcome.passed);
    const { problem } = outcome;
    process.stdout.write(`${runtime.title} by ${way}: ${problem === undefined ? "passed" : `FAILED\n${problem}`}\n`);
  }
  const command = runtime.load?.(installed.bins);
  const load = command && (await trial.load(runtime, command));
  if (load !== undefined) process.stdout.write(`${runtime.title}, the load: ${load}\n`);
  return { passed, load };
}

function checksTable(rows: ReadonlyMap<Runtime, Row>): string {
  return table(
    ["", ...checks],
    [...rows].map(([{ title }, row]) => [title, ...checks.map((check) => cell(row, check))]),
  );
}

function loadsTable(rows: ReadonlyMap<Runtime, Row>): string {
  const measured = [...rows].flatMap(([{ title }, { load }]) =>
    load === undefined ? [] : [[title, ...load.split(", ")]],
  );
  return table(["", "time", "CPU time", "memory, at most"], measured);
}

/** As Markdown, which a terminal shows as well. */
function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  const cells = [head, ...body];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const lines = cells.map((row) => `| ${row.map((text, column) => text.padEnd(widths[column]!)).join(" | ")} |`);
  lines.splice(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`);
  return lines.join("\n");
}

function cell(row: Row, check: string): string {
  const passed = ways.filter((way) => row.passed.get(way)?.includes(check));
  return passed.length === ways.length ? "yes" : passed.length === 0 ? "no" : `${passed[0]} only`;
}

function page(rows: ReadonlyMap<Runtime, Row>): string {
  const leastCompiler = compilers[0]!.version.replace(/\.\d+$/, "");
  const date = new Date().toISOString().slice(0, 10);
  const { version } = binaries.streaming;
  return `# Runtimes

Written by \`npm run runtimes\` on ${date}, with nats-streaming-server ${version} on ${process.platform}. The package
is packed, installed from the tarball and loaded by \`import\` and by \`require\`; "yes" means that both passed. The
command writes this page only if no check fails.

${checksTable(rows)}

- **connect**: the client registers, through a proxy.
- **publish**: the client publishes a text, bytes, and several messages, and gets an error with its code.
- **consume**: \`for await\` reads stored messages; then a subscription with a handler gets messages.
- **reconnect**: the proxy cuts the link; the client resumes the session, and messages published meanwhile arrive once.
- **TLS**: the client upgrades with a private authority and an nkey. It refuses a certificate for another host, or one
  that it does not trust.
- **testing**: the server of \`nats-streaming-client/testing\` runs in the same process, and a client publishes to it.
- **exit**: after that the program ends by itself.

Deno gets three permissions: the network of this machine, reading the project's folder, and the one variable that says
what the suite does. Node's permission model allows the network and reading the project's folder. With jest, \`import\`
uses its native support for ES modules (\`--experimental-vm-modules\`). With jsdom, the globals are those of a browser,
of other classes than Node's, and the suite adds nothing to them.

## Bundlers

Bundlers run only with the options for Node and for ES modules (\`import\`) or CommonJS (\`require\`). rollup also has
its plugins node-resolve and commonjs. Vite also has \`ssr.noExternal\`, since it leaves libraries out without it. The
bundle runs in ${newestNode.title}, where there is no node_modules.

An ES module made by esbuild or tsup needs Node 20.16 or later (22.3 or later in the 22 line). Older Nodes need an
option of esbuild:
\`--banner:js='import { createRequire } from "node:module"; const require = createRequire(import.meta.url);'\`.

## workerd

workerd is Cloudflare's runtime. It runs with \`nodejs_compat\`, and esbuild puts the code into one file with
\`--conditions=workerd,worker,browser\`. "Rules of" is the compatibility date; before 2024-09-23 there is no
\`process\`.

- **workerd ignores \`tls.ca\`, \`tls.cert\` and \`tls.key\`**, since its \`node:tls\` does. It trusts public
  authorities, or \`trustedCertificates\` of its own configuration. The client cannot connect to servers that require a
  client certificate.
- workerd verifies the host name. Older versions (seen: 1.20260203.0) verify the name of the URL and not
  \`tls.servername\`. Newer rules refuse TLS for an IP address (seen: 2026-07-01; not yet: 2026-03-01).
- A Worker cannot listen on a port: the server for tests does not run in it.

## Constrained

\`publishMany\` publishes 50,000 messages of 1 KiB, and a subscription consumes them at the same time. The table shows
the time and the CPU time of the client's process, as medians of three rounds, and its largest memory (RSS). The server
is on the same machine. The machine has two cores and does other work too: times vary by half.

${loadsTable(rows)}

## TypeScript

The types need TypeScript ${leastCompiler} or later. \`npm run types\` compiles programs against the packed types, and
checks that the compiler refuses wrong programs, under ${compilers.map(({ version }) => version).join(", ")}. It uses
each \`moduleResolution\` that the version knows (\`node\`, \`node16\`, \`nodenext\`, \`bundler\`), with and without
\`skipLibCheck\`.
`;
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`runtimes: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
