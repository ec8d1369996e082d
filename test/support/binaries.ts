import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { cacheFolder, fillOnce } from "./cache.ts";

/** A program that tests or benchmarks run against, and where it may come from. */
export interface BinarySpec {
  readonly name: string;
  readonly version: string;
  /** What `go install` takes. */
  readonly source: string;
  /** The environment variable that names an executable to use instead. */
  readonly variable: string;
  /** What `--version` prints, in part. Without it PATH is not searched, since nothing tells which version is there. */
  readonly says?: string;
}

/** The programs in use: the oldest and the newest streaming server, a newer NATS server, stan.go's benchmark. */
export const binaries = {
  streaming: {
    name: "nats-streaming-server",
    version: "0.25.6",
    source: "github.com/nats-io/nats-streaming-server@v0.25.6",
    variable: "NATS_STREAMING_SERVER",
    says: "version 0.25.6,",
  },
  oldStreaming: {
    name: "nats-streaming-server",
    version: "0.17.0",
    source: "github.com/nats-io/nats-streaming-server@v0.17.0",
    variable: "NATS_STREAMING_SERVER_0_17",
    says: "version 0.17.0,",
  },
  nats: {
    name: "nats-server",
    version: "2.10.29",
    source: "github.com/nats-io/nats-server/v2@v2.10.29",
    variable: "NATS_SERVER",
    says: "v2.10.29",
  },
  stanBench: {
    name: "stan-bench",
    version: "0.10.4",
    source: "github.com/nats-io/stan.go/examples/stan-bench@v0.10.4",
    variable: "STAN_BENCH",
  },
} as const satisfies Record<string, BinarySpec>;

/** Names of the programs in `binaries`. */
export type BinaryName = keyof typeof binaries;

/** An executable, or why there is none. */
export type Found = { readonly path: string } | { readonly missing: string };

const found = new Map<string, Found>();

/**
 * Looks for a program: the one that its environment variable names, one of the right version in PATH, the one
 * installed earlier. Never installs. A success is remembered for the life of this process.
 */
export function findBinary(spec: BinarySpec): Found {
  const key = `${spec.name}@${spec.version}`;
  const known = found.get(key);
  if (known !== undefined) return known;
  const result = search(spec);
  if ("path" in result) found.set(key, result);
  return result;
}

/**
 * As `findBinary`, and where the program is missing and `go` is in PATH, installs it into the user's cache folder:
 * once, since a second process waits for the first. Takes about a minute; blocks.
 */
export function installBinary(spec: BinarySpec): Found {
  const result = findBinary(spec);
  if ("path" in result || process.env[spec.variable] !== undefined) return result;
  const go = inPath("go");
  if (go === undefined) return { missing: `${result.missing}; go, to install it, is not in PATH` };
  const problem = fillOnce(folderOf(spec), (aside) => install(spec, go, aside));
  return problem === undefined
    ? findBinary(spec)
    : { missing: `${result.missing}; it cannot be installed: ${problem}` };
}

/** The path of a program, or an error with the reason why there is none. */
export function binaryPath(spec: BinarySpec): string {
  const result = findBinary(spec);
  if ("missing" in result) throw new Error(result.missing);
  return result.path;
}

function search(spec: BinarySpec): Found {
  const title = `${spec.name} ${spec.version}`;
  const named = process.env[spec.variable];
  if (named !== undefined) {
    const wrong = wrongVersion(spec, named);
    return wrong === undefined
      ? { path: named }
      : { missing: `${title}: ${spec.variable} names ${named}, but ${wrong}` };
  }
  const inCache = join(folderOf(spec), spec.name);
  const candidate = spec.says === undefined ? undefined : inPath(spec.name);
  const wrong = candidate === undefined ? "none in PATH" : wrongVersion(spec, candidate);
  if (candidate !== undefined && wrong === undefined) return { path: candidate };
  if (existsSync(inCache)) return { path: inCache };
  const passedOver = candidate === undefined ? "" : ` (${candidate}: ${wrong})`;
  return { missing: `${title} is not in PATH${passedOver} or installed, and ${spec.variable} is not set` };
}

/** What is wrong with an executable's version; undefined when nothing is. */
function wrongVersion(spec: BinarySpec, path: string): string | undefined {
  if (spec.says === undefined) return existsSync(path) ? undefined : "there is no such file";
  const run = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 10_000 });
  if (run.error !== undefined) return run.error.message;
  const says = (run.stdout + run.stderr).trim();
  return says.includes(spec.says) ? undefined : `it says "${says.slice(0, 80)}"`;
}

/** Returns what went wrong, if anything did. */
function install(spec: BinarySpec, go: string, folder: string): string | undefined {
  const run = spawnSync(go, ["install", spec.source], {
    encoding: "utf8",
    env: { ...process.env, GOBIN: folder },
    timeout: 15 * 60_000,
  });
  if (run.status === 0) return undefined;
  return `go install ${spec.source} failed: ${run.error?.message ?? run.stderr.trim().split("\n").at(-1) ?? ""}`;
}

function folderOf(spec: BinarySpec): string {
  return cacheFolder("bin", `${spec.name}@${spec.version}`);
}

function inPath(name: string): string | undefined {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = join(folder, name);
    if (folder !== "" && isExecutable(path)) return path;
  }
  return undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
