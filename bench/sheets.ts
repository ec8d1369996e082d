import { fork, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { RealServer } from "../test/support/server.ts";
import { install, pack } from "../test/support/tarball.ts";
import { clients } from "./clients.ts";
import type { Idle } from "./idle.ts";
import { PEERS } from "./peers.ts";
import type { Fact, FactSheet } from "./results.ts";

/** A sheet of facts, and how to measure them. */
export interface Sheet {
  readonly name: string;
  readonly measure: (rounds: number) => Promise<FactSheet>;
}

const PACKAGE = "nats-streaming-client";
const PEER = "node-nats-streaming";
const SUBSCRIPTIONS = 10_000;
const MIB = 1_048_576;
const MODULE = ["--input-type=module", "-e"];
/** An idle client takes long to measure, so a few rounds are enough. */
const IDLE_ROUNDS = 3;

const title = {
  import: "import and installed size",
  idle: "an idle client",
  units: "units, without a network",
} as const;

/** All sheets, in the order in which they are measured. */
export const sheets: readonly Sheet[] = [
  { name: "import", measure: async (rounds) => sheet("import", await imports(rounds)) },
  { name: "idle", measure: async (rounds) => sheet("idle", await idle(rounds)) },
  { name: "units", measure: async () => sheet("units", ["codec", "parser", "outbox"].flatMap(units)) },
];

function sheet(name: keyof typeof title, facts: readonly Fact[]): FactSheet {
  return { name, title: title[name], date: new Date().toISOString().slice(0, 10), facts };
}

/** Measures the package as it is published and installed. */
async function imports(rounds: number): Promise<Fact[]> {
  const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-bench-"));
  try {
    const packed = pack(folder);
    install(packed, join(folder, "user"));
    const ours = join(folder, "user", "node_modules", PACKAGE);
    const peerMissing = clients[PEER].prepare();
    const peer = join(PEERS, "node_modules", PEER);
    const byRequire = (path: string): string[] => ["-e", timed(`require(${JSON.stringify(path)})`)];
    const byImport = (path: string): string[] => [...MODULE, timed(`await import(${JSON.stringify(path)})`)];
    const programs: [what: string, args: string[], target?: number][] = [
      [`${PACKAGE} by require, over bare Node`, byRequire(ours), 10],
      [`${PACKAGE} by import, over bare Node`, byImport(join(ours, "dist", "index.js"))],
    ];
    if (peerMissing === undefined) programs.push([`${PEER} by require`, byRequire(peer)]);
    const times = programs.map((): number[] => []);
    for (let round = 0; round <= rounds; round++) {
      for (const [i, [, args]] of programs.entries()) {
        const time = Number(spawnSync(process.execPath, args, { encoding: "utf8" }).stdout);
        // The first round fills the system's cache of files.
        if (round > 0) times[i]!.push(time);
      }
    }
    const facts = programs.map(([what, , target], i) => factOf(what, "ms", times[i]!, target));
    facts.push(...sizeOf(PACKAGE, ours));
    if (peerMissing === undefined) facts.push(...sizeOf(PEER, peer));
    return facts;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function factOf(what: string, unit: string, values: readonly number[], target?: number): Fact {
  return { what, unit, values, ...(target === undefined ? {} : { target }) };
}

function timed(code: string): string {
  return `const start = performance.now(); ${code}; process.stdout.write(String(performance.now() - start));`;
}

/** Measures a package with all that it depends on. */
function sizeOf(name: string, path: string): Fact[] {
  const packages = new Set<string>();
  const add = (folder: string): void => {
    if (packages.has(folder)) return;
    packages.add(folder);
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
      dependencies?: Record<string, string>;
    };
    const { dependencies = {} } = manifest;
    for (const dependency of Object.keys(dependencies)) add(resolvePackage(dependency, folder));
  };
  add(path);
  const files = [...packages].flatMap(filesOf);
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
  return [
    factOf(`${name}: packages`, "", [packages.size]),
    factOf(`${name}: files`, "", [files.length]),
    factOf(`${name}: unpacked`, "KB", [bytes / 1_000]),
  ];
}

/** Finds a package as Node does. */
function resolvePackage(name: string, from: string): string {
  const path = join(from, "node_modules", name);
  return existsSync(path) ? path : resolvePackage(name, dirname(from));
}

function filesOf(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (name === "node_modules") return [];
    return statSync(path).isDirectory() ? filesOf(path) : [path];
  });
}

async function idle(rounds: number): Promise<Fact[]> {
  const names = clients[PEER].prepare() === undefined ? [PACKAGE, PEER] : [PACKAGE];
  const found = names.map((): Idle[] => []);
  for (let round = 0; round < Math.min(rounds, IDLE_ROUNDS); round++) {
    for (const [i, name] of names.entries()) {
      const server = await RealServer.start({ args: ["-msu", "0"] });
      try {
        const client = name === PACKAGE ? "ours" : name;
        const args = [client, server.url, server.clusterId, String(rounds), String(SUBSCRIPTIONS)];
        found[i]!.push(await runIdle(args));
      } finally {
        await server.stop("SIGKILL");
      }
    }
  }
  return names.flatMap((name, i) => {
    const many = `${SUBSCRIPTIONS.toLocaleString("en")} idle subscriptions`;
    const fact = (what: string, unit: string, value: (idle: Idle) => number, target?: number): Fact =>
      factOf(`${name}: ${what}`, unit, found[i]!.map(value), name === PACKAGE ? target : undefined);
    return [
      fact("RSS of bare Node", "MiB", ({ bare }) => bare / MIB),
      fact("RSS on top, once loaded", "MiB", ({ bare, loaded }) => (loaded - bare) / MIB),
      fact("RSS on top, once registered", "MiB", ({ bare, registered }) => (registered - bare) / MIB),
      fact("wake-ups by timers", "per second", ({ timers }) => timers, 1),
      fact("context switches of all threads", "per second", ({ switches }) => switches),
      fact(`heap of ${many}`, "MB", ({ heap }) => heap / 1e6, 30),
      fact(`array buffers of ${many}`, "MB", ({ arrayBuffers }) => arrayBuffers / 1e6),
    ];
  });
}

function runIdle(args: readonly string[]): Promise<Idle> {
  return new Promise((resolve, reject) => {
    const child = fork(join(__dirname, "idle.js"), args, { execArgv: ["--expose-gc"] });
    child.on("message", (idle) => resolve(idle as Idle));
    child.once("exit", (code) => reject(new Error(`the idle client ended with ${code}`)));
  });
}

/** Runs bench/units/NAME, which prints a line for each fact: the best, the median and the worst of its rounds. */
function units(name: string): Fact[] {
  const program = join(__dirname, "units", `${name}.js`);
  const run = spawnSync(process.execPath, [program], { encoding: "utf8", timeout: 300_000 });
  if (run.status !== 0) throw new Error(`units/${name}: ${run.stderr}`);
  return [...run.stdout.matchAll(/^(.*?) +([\d.]+) +([\d.]+) +([\d.]+) ns$/gm)].map(([, what, ...values]) => ({
    what: `${name}: ${what}`,
    unit: "ns",
    values: values.map(Number),
  }));
}
