import { fork, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { StreamingServer } from "../test/support/server.ts";
import { install, pack } from "../test/support/tarball.ts";
import { entries } from "./contestants.ts";
import type { Idle } from "./idle.ts";
import { PEERS } from "./peers.ts";
import type { Fact, FactSheet } from "./results.ts";

/** Facts, and how to come by them. */
export interface Sheet {
  readonly name: string;
  readonly measure: (rounds: number) => Promise<FactSheet>;
}

const PACKAGE = "nats-streaming-client";
const PEER = "node-nats-streaming";
const SUBSCRIPTIONS = 10_000;
const MIB = 1_048_576;
/** An idle client takes long to measure: so many times are enough. */
const IDLE_ROUNDS = 3;

const title = { import: "import and installed size", idle: "an idle client", units: "units, without a network" } as const;

/** All of them, in the order in which they are measured. */
export const sheets: readonly Sheet[] = [
  { name: "import", measure: async (rounds) => sheet("import", await imports(rounds)) },
  { name: "idle", measure: async (rounds) => sheet("idle", await idle(rounds)) },
  { name: "units", measure: async () => sheet("units", ["codec", "parser", "outbox"].flatMap(units)) },
];

function sheet(name: keyof typeof title, facts: readonly Fact[]): FactSheet {
  return { name, title: title[name], date: new Date().toISOString().slice(0, 10), facts };
}

/** Of the package as it is published and installed. */
async function imports(rounds: number): Promise<Fact[]> {
  const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-bench-"));
  try {
    const packed = pack(folder);
    install(packed, join(folder, "user"));
    const ours = join(folder, "user", "node_modules", PACKAGE);
    const peerMissing = entries[PEER].prepare();
    const peer = join(PEERS, "node_modules", PEER);
    const programs: [what: string, args: string[], target?: number][] = [
      [`${PACKAGE} by require, over bare Node`, ["-e", timed(`require(${JSON.stringify(ours)})`)], 10],
      [`${PACKAGE} by import, over bare Node`, ["--input-type=module", "-e", timed(`await import(${JSON.stringify(`${ours}/dist/index.js`)})`)]],
    ];
    if (peerMissing === undefined) programs.push([`${PEER} by require`, ["-e", timed(`require(${JSON.stringify(peer)})`)]]);
    const times = programs.map((): number[] => []);
    for (let round = 0; round <= rounds; round++) {
      for (const [i, [, args]] of programs.entries()) {
        const time = Number(spawnSync(process.execPath, args, { encoding: "utf8" }).stdout);
        // The first one fills the system's cache of files.
        if (round > 0) times[i]!.push(time);
      }
    }
    const facts = programs.map(([what, , target], i): Fact => ({ what, unit: "ms", values: times[i]!, ...(target === undefined ? {} : { target }) }));
    facts.push(...sizeOf(PACKAGE, ours));
    if (peerMissing === undefined) facts.push(...sizeOf(PEER, peer));
    return facts;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function timed(code: string): string {
  return `const start = performance.now(); ${code}; process.stdout.write(String(performance.now() - start));`;
}

/** Of a package with all that it depends on. */
function sizeOf(name: string, path: string): Fact[] {
  const packages = new Set<string>();
  const add = (folder: string): void => {
    if (packages.has(folder)) return;
    packages.add(folder);
    const { dependencies = {} } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { dependencies?: Record<string, string> };
    for (const dependency of Object.keys(dependencies)) add(resolvePackage(dependency, folder));
  };
  add(path);
  const files = [...packages].flatMap(filesOf);
  const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
  return [
    { what: `${name}: packages`, unit: "", values: [packages.size] },
    { what: `${name}: files`, unit: "", values: [files.length] },
    { what: `${name}: unpacked`, unit: "KB", values: [bytes / 1_000] },
  ];
}

/** As Node resolves it. */
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
  const clients = [PACKAGE, PEER].filter((client) => client === PACKAGE || entries[PEER].prepare() === undefined);
  const found = clients.map((): Idle[] => []);
  for (let round = 0; round < Math.min(rounds, IDLE_ROUNDS); round++) {
    for (const [i, client] of clients.entries()) {
      const server = await StreamingServer.start({ args: ["-msu", "0"] });
      try {
        const args = [client === PACKAGE ? "ours" : client, server.url, server.clusterId, String(rounds), String(SUBSCRIPTIONS)];
        found[i]!.push(await runIdle(args));
      } finally {
        await server.stop("SIGKILL");
      }
    }
  }
  return clients.flatMap((client, i) => {
    const many = `${SUBSCRIPTIONS.toLocaleString("en")} idle subscriptions`;
    const fact = (what: string, unit: string, value: (idle: Idle) => number, target?: number): Fact => ({
      what: `${client}: ${what}`,
      unit,
      values: found[i]!.map(value),
      ...(target === undefined || client !== PACKAGE ? {} : { target }),
    });
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

/** What bench/units/NAME prints, a line for each fact: best, median and worst of its rounds. */
function units(name: string): Fact[] {
  const run = spawnSync(process.execPath, [join(__dirname, "units", `${name}.js`)], { encoding: "utf8", timeout: 300_000 });
  if (run.status !== 0) throw new Error(`units/${name}: ${run.stderr}`);
  return [...run.stdout.matchAll(/^(.*?) +([\d.]+) +([\d.]+) +([\d.]+) ns$/gm)].map(([, what, ...values]) => ({
    what: `${name}: ${what}`,
    unit: "ns",
    values: values.map(Number),
  }));
}
