import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Found } from "./binaries.ts";
import { cacheFolder, fillOnce } from "./cache.ts";

/**
 * Installs a package of the npm registry that this project runs against but does not depend on, such as "bun@1.4.5",
 * with what it depends on, or several with blanks between them: once, into a folder of their own in the user's cache.
 * Returns that folder, or why it could not be. Blocks.
 */
export function installPackage(spec: string): Found {
  const folder = packageFolder(spec);
  const problem = fillOnce(folder, (aside) => {
    mkdirSync(aside, { recursive: true });
    const args = ["install", "--no-save", "--fetch-retries=0", "--prefix", aside, ...spec.split(" ")];
    return npm(args) ?? withoutProgram(aside);
  });
  return problem === undefined ? { path: folder } : { missing: `${spec}: ${problem}` };
}

/** Runs npm. Returns what went wrong, if anything did. */
export function npm(args: readonly string[]): string | undefined {
  const run = spawnSync("npm", [...args, "--no-audit", "--no-fund"], { encoding: "utf8", timeout: 10 * 60_000 });
  if (run.status === 0) return undefined;
  const said = run.stderr.replaceAll("npm error ", "").trim().split("\n").slice(0, 4).join(", ");
  return `npm ${args[0]} failed: ${run.error?.message ?? said}`;
}

/** What tells that npm has been set up to run no install scripts, by which some packages get their executables. */
function withoutProgram(folder: string): string | undefined {
  const bin = join(folder, "node_modules", ".bin");
  const missing = existsSync(bin) ? readdirSync(bin).filter((name) => !existsSync(join(bin, name))) : [];
  return missing.length === 0 ? undefined : `npm has installed no ${missing.join(", ")}`;
}

function packageFolder(spec: string): string {
  return cacheFolder("packages", spec.replaceAll(/[ /]/g, "+"));
}
