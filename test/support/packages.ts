import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import type { Found } from "./binaries.ts";
import { cacheFolder, fillOnce } from "./cache.ts";

/**
 * Installs a package of the npm registry that this project runs against but does not depend on, such as "bun@1.4.5", with
 * what it depends on: once, into a folder of its own in the user's cache. Returns that folder, or why it could not be.
 * Blocks.
 */
export function installPackage(spec: string): Found {
  const folder = packageFolder(spec);
  const problem = fillOnce(folder, (aside) => {
    mkdirSync(aside, { recursive: true });
    return npm(["install", "--no-save", "--fetch-retries=0", "--prefix", aside, spec]);
  });
  return problem === undefined ? { path: folder } : { missing: `${spec}: ${problem}` };
}

/** As `installPackage`, of a package that is there already: never installs. */
export function findPackage(spec: string): Found {
  const folder = packageFolder(spec);
  return existsSync(folder) ? { path: folder } : { missing: `${spec} is not installed` };
}

/** Runs npm, in `cwd` if given. Returns what went wrong, if anything did. */
export function npm(args: readonly string[], cwd?: string): string | undefined {
  const options = { encoding: "utf8", timeout: 10 * 60_000 } as const;
  const run = spawnSync("npm", [...args, "--no-audit", "--no-fund"], cwd === undefined ? options : { ...options, cwd });
  if (run.status === 0) return undefined;
  return `npm ${args[0]} failed: ${run.error?.message ?? run.stderr.trim().slice(-2_000)}`;
}

function packageFolder(spec: string): string {
  return cacheFolder("packages", spec.replaceAll("/", "+"));
}
