import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installPackage } from "../support/packages.ts";
import { install, pack } from "../support/tarball.ts";
import { applies, compile, consumers, dropIns, refusedLines, wrong, wrongLines } from "./compile.ts";
import type { Consumer, Resolution } from "./compile.ts";
import { type Compiler, compilers } from "./compilers.ts";

const withNodeTypes: Consumer = { name: "host", lib: ["es2022"], types: ["node"] };

/** All compilers, or those of the given versions. */
function main(versions: readonly string[]): void {
  const chosen = compilers.filter(({ version }) => versions.length === 0 || versions.includes(version));
  if (chosen.length < versions.length) {
    throw new Error(`only these are tried: ${compilers.map(({ version }) => version).join(" ")}`);
  }
  const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-types-"));
  let failures = 0;
  try {
    const tarball = pack(folder);
    for (const compiler of chosen) {
      const project = join(folder, compiler.version);
      install(tarball, project);
      symlinkSync(
        join(packageOf(`@types/node@${compiler.nodeTypes}`), "@types"),
        join(project, "node_modules", "@types"),
      );
      const tsc = join(packageOf(`typescript@${compiler.version}`), "typescript", "bin", "tsc");
      for (const resolution of compiler.resolutions) failures += tryOut(tsc, compiler, resolution, project);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (failures > 0) process.exitCode = 1;
}

/** Compiles all consumers, prints what came of it, and returns how many failed. */
function tryOut(tsc: string, { version, disposal }: Compiler, resolution: Resolution, project: string): number {
  let failures = 0;
  const trials = [...consumers, ...dropIns, withNodeTypes].filter((consumer) => applies(consumer, resolution));
  for (const consumer of trials) {
    if (consumer.name === "disposal" && !disposal) continue;
    const problem = compile(tsc, consumer, resolution, project);
    const libraries = [...consumer.lib, ...(consumer.types ?? [])].join("+");
    const title = `TypeScript ${version} ${resolution} ${consumer.name} ${libraries}`;
    process.stdout.write(`${title}: ${problem === "" ? "compiles" : `FAILED\n${problem}`}\n`);
    if (problem !== "") failures++;
  }
  // Types that are not found, or anything at all, would compile, too: where libraries are not checked, without a word.
  for (const skipLibCheck of [false, true]) {
    const refused = refusedLines(compile(tsc, wrong, resolution, project, skipLibCheck));
    const right = String(refused) === String(wrongLines);
    const outcome = right ? "refused" : `FAILED to refuse the lines ${wrongLines}; refuses ${refused}`;
    process.stdout.write(`TypeScript ${version} ${resolution} wrong skipLibCheck=${skipLibCheck}: ${outcome}\n`);
    if (!right) failures++;
  }
  return failures;
}

/** The node_modules folder with a package. */
function packageOf(spec: string): string {
  const found = installPackage(spec);
  if ("missing" in found) throw new Error(found.missing);
  return join(found.path, "node_modules");
}

main(process.argv.slice(2));
