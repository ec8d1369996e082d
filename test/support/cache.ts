import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** The folder in the user's cache that things of a kind are installed into under a name. It may not exist. */
export function cacheFolder(kind: string, name: string): string {
  const cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return join(cache, "nats-streaming-client", kind, name);
}

/**
 * Fills a folder, unless it is there: once, since a second process waits for the first. `fill` fills a folder aside and
 * returns what went wrong, if anything did; it is renamed when complete, so that a folder under the final name is
 * always whole. Returns what went wrong. Blocks.
 */
export function fillOnce(folder: string, fill: (aside: string) => string | undefined): string | undefined {
  if (existsSync(folder)) return undefined;
  const lock = `${folder}.lock`;
  try {
    mkdirSync(dirname(folder), { recursive: true });
    while (!take(lock)) sleep(200);
  } catch (error) {
    return String(error);
  }
  const aside = `${folder}.partial`;
  try {
    if (existsSync(folder)) return undefined;
    rmSync(aside, { recursive: true, force: true });
    const problem = fill(aside);
    if (problem === undefined) renameSync(aside, folder);
    else rmSync(aside, { recursive: true, force: true });
    return problem;
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Takes a lock file, also one whose owner has died. False: its owner lives. */
function take(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as { code?: string }).code !== "EEXIST") throw error;
    if (isOrphan(lock)) rmSync(lock, { force: true });
    return false;
  }
}

function isOrphan(lock: string): boolean {
  try {
    const owner = Number(readFileSync(lock, "utf8"));
    // An empty file is a lock that its owner is about to write its number into.
    if (owner > 0) process.kill(owner, 0);
    return false;
  } catch {
    return true;
  }
}

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
