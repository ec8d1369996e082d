import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../support/tarball.ts";

/** How a module name is resolved. */
export type Resolution = "node10" | "node16" | "nodenext" | "bundler";

/** A consumer: a file of test/types/consumers, and the libraries that its compiler knows. */
export interface Consumer {
  readonly name: "es-module" | "common-js" | "testing" | "host" | "disposal" | "drop-in" | "drop-in-require" | "wrong";
  readonly lib: readonly string[];
  /** Packages of types to know, from node_modules. */
  readonly types?: readonly string[];
  /** Default false. */
  readonly esModuleInterop?: boolean;
}

/** The consumers that must compile. The first three know no host. */
export const consumers: readonly Consumer[] = [
  { name: "es-module", lib: ["es2022"] },
  { name: "common-js", lib: ["es2022"] },
  { name: "testing", lib: ["es2022"] },
  { name: "host", lib: ["es2022", "dom"] },
  { name: "disposal", lib: ["es2022", "esnext.disposable"] },
];

/** Programs of node-nats-streaming, which must compile as well. They know Node, as they did. */
export const dropIns: readonly Consumer[] = [
  { name: "drop-in", lib: ["es2022"], types: ["node"], esModuleInterop: true },
  { name: "drop-in-require", lib: ["es2022"], types: ["node"] },
];

/** The consumer that must not compile. */
export const wrong: Consumer = { name: "wrong", lib: ["es2022"] };

const consumersFolder = join(root, "test", "types", "consumers");
const modules: Record<Resolution, string> = {
  node10: "commonjs",
  node16: "node16",
  nodenext: "nodenext",
  bundler: "esnext",
};

/** Whether there is such a thing as this consumer under this resolution: a bundler is given ES modules. */
export function applies(consumer: Consumer, resolution: Resolution): boolean {
  return !isCommonJs(consumer) || resolution !== "bundler";
}

function isCommonJs({ name }: Consumer): boolean {
  return name === "common-js" || name === "drop-in-require";
}

/**
 * Compiles a consumer in a folder of its own below `folder`, whose node_modules has the library, and returns what the
 * compiler says, which is nothing if all is well. `compiler` is the path of a tsc. With `skipLibCheck`, as many
 * projects have it, it says nothing about the library's own types. `importing` may change what the consumer imports.
 */
export function compile(
  compiler: string,
  consumer: Consumer,
  resolution: Resolution,
  folder: string,
  skipLibCheck = false,
  importing: (code: string) => string = (code) => code,
): string {
  const project = join(folder, `${consumer.name}-${resolution}`);
  mkdirSync(project, { recursive: true });
  // Only under these two the ending says which kind of module it is.
  const byEnding = resolution === "node16" || resolution === "nodenext";
  const file = `consumer.${byEnding ? (isCommonJs(consumer) ? "cts" : "mts") : "ts"}`;
  const code = readFileSync(join(consumersFolder, `${consumer.name}.ts`), "utf8");
  writeFileSync(join(project, file), importing(code));
  const options = {
    target: "es2022",
    lib: consumer.lib,
    types: consumer.types ?? [],
    module: modules[resolution],
    // Before 5.0 that was its only name.
    moduleResolution: resolution === "node10" ? "node" : resolution,
    strict: true,
    // TypeScript 7 knows no other way than true, and takes no false.
    ...(consumer.esModuleInterop === true ? { esModuleInterop: true } : {}),
    exactOptionalPropertyTypes: true,
    skipLibCheck,
    noEmit: true,
  };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: [file] }));
  const run = spawnSync(process.execPath, [compiler, "-p", "."], { encoding: "utf8", cwd: project });
  if (run.error !== undefined) throw run.error;
  return run.status === 0 ? "" : `${run.stdout}${run.stderr}` || `exit code ${run.status}`;
}

/** The lines of the consumer "wrong" that must be refused, and no others. */
export const wrongLines: readonly number[] = readFileSync(join(consumersFolder, "wrong.ts"), "utf8")
  .split("\n")
  .flatMap((line, i) => (line.startsWith("void ") ? [i + 1] : []));

/** The lines that the compiler complains about. */
export function refusedLines(said: string): number[] {
  return [...said.matchAll(/^consumer\.\w+\((\d+),/gm)].map(([, line]) => Number(line));
}
