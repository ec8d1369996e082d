import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installPackage } from "../support/packages.ts";
import { install, pack } from "../support/tarball.ts";
import { applies, compile, consumers, refusedLines, wrong, wrongLines } from "./compile.ts";
import type { Consumer, Resolution } from "./compile.ts";

/** A TypeScript that the packed types are tried under. */
interface Compiler {
  readonly version: string;
  readonly resolutions: readonly Resolution[];
  /** A version of @types/node whose own declarations it understands. */
  readonly nodeTypes: string;
}

const compilers: readonly Compiler[] = [
  { version: "5.0.4", resolutions: ["node10", "node16", "nodenext", "bundler"], nodeTypes: "20.11.0" },
  { version: "5.9.3", resolutions: ["node10", "node16", "nodenext", "bundler"], nodeTypes: "24.10.1" },
  // It warns of node10 that it will go, which 7 does not know any more.
  { version: "6.0.3", resolutions: ["node16", "nodenext", "bundler"], nodeTypes: "24.10.1" },
  { version: "7.0.2", resolutions: ["node16", "nodenext", "bundler"], nodeTypes: "24.10.1" },
];

const withNodeTypes: Consumer = { name: "host", lib: ["es2022"], types: ["node"] };

/** All compilers, or those of the given versions. */
function main(versions: readonly string[]): void {
  const chosen = compilers.filter(({ version }) => versions.length === 0 || versions.includes(version));
  if (chosen.length < versions.length) throw new Error(`only these are tried: ${compilers.map(({ version }) => version).join(" ")}`);
  const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-types-"));
  let failures = 0;
  try {
    const tarball = pack(folder);
    for (const compiler of chosen) {
      const project = join(folder, compiler.version);
      install(tarball, project);
      symlinkSync(join(packageOf(`@types/node@${compiler.nodeTypes}`), "@types"), join(project, "node_modules", "@types"));
      const tsc = join(packageOf(`typescript@${compiler.version}`), "typescript", "bin", "tsc");
      for (const resolution of compiler.resolutions) failures += tryOut(tsc, compiler.version, resolution, project);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (failures > 0) process.exitCode = 1;
}

/** Compiles all consumers, prints what came of it, and returns how many failed. */
function tryOut(tsc: string, version: string, resolution: Resolution, project: string): number {
  let failures = 0;
  const trials = [...consumers, withNodeTypes].filter((consumer) => applies(consumer, resolution));
  for (const consumer of trials) {
    // The language has it since 5.2.
    if (consumer.name === "disposal" && version.startsWith("5.0.")) continue;
    const problem = compile(tsc, consumer, resolution, project);
    const title = `TypeScript ${version} ${resolution} ${consumer.name} ${[...consumer.lib, ...(consumer.types ?? [])].join("+")}`;
    process.stdout.write(`${title}: ${problem === "" ? "compiles" : `FAILED\n${problem}`}\n`);
    if (problem !== "") failures++;
  }
  // Types that are not found, or anything at all, would compile, too.
  const refused = refusedLines(compile(tsc, wrong, resolution, project));
  if (String(refused) === String(wrongLines)) return failures;
  process.stdout.write(`TypeScript ${version} ${resolution}: FAILED to refuse what is wrong; refuses the lines ${refused.join(", ")}\n`);
  return failures + 1;
}

/** The node_modules folder with a package. */
function packageOf(spec: string): string {
  const found = installPackage(spec);
  if ("missing" in found) throw new Error(found.missing);
  return join(found.path, "node_modules");
}

main(process.argv.slice(2));
