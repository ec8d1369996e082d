import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { type Program, start } from "./program.ts";

const root = join(__dirname, "..", "..");

/** The examples as programs, compiled to a folder of their own for all tests of a file. */
export class Examples {
  /** Also for files that the tests need. */
  readonly folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-examples-"));

  constructor() {
    beforeAll(() => {
      const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
      // Not into build/, where others may be running what this would overwrite.
      const args = [compiler, "-p", "bench", "--outDir", join(this.folder, "build")];
      spawnSync(process.execPath, args, { encoding: "utf8", cwd: root });
    });
    afterAll(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  pathOf(name: string): string {
    return join(this.folder, "build", "examples", `${name}.js`);
  }

  run(name: string, args: readonly string[], env: Record<string, string | undefined> = {}): Program {
    return start(this.pathOf(name), args, env);
  }

  /** An environment in which a program takes its stderr for a terminal of so many columns. */
  terminal(columns: number): Record<string, string> {
    const code = `Object.assign(process.stderr, { isTTY: true, columns: ${columns} });`;
    const file = this.file(`terminal-${columns}.cjs`, code);
    return { NODE_OPTIONS: `--require ${file}`, TERM: "xterm" };
  }

  file(name: string, content: string | Uint8Array): string {
    const file = join(this.folder, name);
    writeFileSync(file, content);
    return file;
  }
}

/** What a program has drawn on a terminal, each line in place of the one before, and what it printed in between. */
export function drawn(err: string): string[] {
  return err.split("\r\x1b[K").slice(1);
}
