import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { npm } from "./packages.ts";

/** The folder of this project: npm and vitest run there. */
export const root = process.cwd();

/** What `npm pack` has packed, in its own words. */
export interface Tarball {
  /** Where it is. */
  readonly path: string;
  /** Of the whole tarball. Equal for equal contents, since npm leaves out times and owners. */
  readonly integrity: string;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string; readonly size: number; readonly mode: number }[];
}

/** What does not belong to a clean clone. */
const UNTRACKED: readonly string[] = [".git", ".cache", "node_modules", "dist", "build"];

/** Copies this project, or a copy of it, to `clone` in a folder, as a clean clone with dependencies, and packs it. */
export function pack(folder: string, from = root): Tarball {
  const clone = join(folder, "clone");
  cpSync(from, clone, { recursive: true, filter: (path) => !UNTRACKED.includes(basename(path)) });
  symlinkSync(join(root, "node_modules"), join(clone, "node_modules"));
  const run = spawnSync("npm", ["pack", "--json", "--pack-destination", folder], { encoding: "utf8", cwd: clone });
  if (run.status !== 0) throw new Error(`npm pack failed: ${run.error?.message ?? run.stdout + run.stderr}`);
  // What the prepack script prints comes first.
  const [packed] = JSON.parse(run.stdout.slice(run.stdout.search(/^\[/m))) as [Tarball & { filename: string }];
  return { ...packed, path: join(folder, packed.filename) };
}

/** Installs a tarball into a folder, as a user does: it must need nothing from elsewhere. */
export function install(tarball: Tarball, folder: string): void {
  mkdirSync(folder, { recursive: true });
  const problem = npm(["install", "--offline", "--no-save", "--prefix", folder, tarball.path]);
  if (problem !== undefined) throw new Error(problem);
}
