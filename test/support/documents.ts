import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(__dirname, "..", "..");

/** The documents for users and contributors, by their paths in the repository. */
export const documents: readonly string[] = [
  ...["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"],
  ...readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
];

/** The text of a file of the repository. */
export function textOf(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

/** A block of TypeScript in a document. */
export interface Block {
  /** "README.md:20", where its first line is. */
  readonly where: string;
  /** What follows `ts` on its first line: "run" for a program that can be run as it stands. */
  readonly info: string;
  readonly code: string;
  /** The block of text right after it, which is what it prints. */
  readonly output: string | undefined;
}

/** The blocks of a document that are marked as TypeScript. */
export function blocksOf(document: string, text: string): Block[] {
  const blocks: Block[] = [];
  for (const match of text.matchAll(/^```ts(?: (.*))?\n([^]*?)^```\n(?:\n```text\n([^]*?)^```$)?/gm)) {
    const where = `${document}:${text.slice(0, match.index).split("\n").length + 1}`;
    blocks.push({ where, info: match[1] ?? "", code: match[2]!, output: match[3] });
  }
  return blocks;
}

/** The examples in the docstrings of a source file. */
export function examplesOf(file: string): Block[] {
  // The docstrings alone, each line where it was.
  const lines = textOf(file).split("\n").map((line) => /^ +\* ?(.*)/.exec(line)?.[1] ?? "");
  return blocksOf(file, lines.join("\n"));
}

/** All of them, of all documents. */
export function allBlocks(): Block[] {
  return documents.flatMap((document) => blocksOf(document, textOf(document)));
}

/** What the blocks use of Node, in place of the reader's @types/node. */
const HOST = `
declare const console: Record<"log" | "info" | "warn" | "error", (...values: unknown[]) => void>;
declare const performance: { now(): number };
declare const process: {
  readonly env: Record<string, string | undefined>;
  readonly pid: number;
  exitCode: number | undefined;
  on(event: string, listener: () => unknown): void;
};
declare function setTimeout(callback: () => void, milliseconds: number): unknown;
declare function fetch(url: string, options?: { signal?: AbortSignal }): Promise<unknown>;
declare function structuredClone<T>(value: T): T;
declare module "node:fs" {
  export function readFileSync(path: string, encoding: "utf8"): string;
  export function appendFileSync(path: string, text: string): void;
  export function rmSync(path: string): void;
}
declare module "node:os" { export function tmpdir(): string; }
declare module "node:sqlite" {
  interface Statement { run(...values: (number | bigint | string)[]): unknown; }
  export class DatabaseSync {
    constructor(path: string);
    exec(sql: string): void;
    prepare(sql: string): Statement;
  }
}
declare module "node:events" {
  export class EventEmitter { on(event: string, listener: (...args: any[]) => void): this; }
}
declare module "node:http" {
  interface Request { readonly url?: string; }
  interface Response { writeHead(status: number): this; end(text: string): void; }
  interface Server { listen(port: number): void; }
  export function createServer(listener: (request: Request, response: Response) => void): Server;
}
`;

/** Runs the compiler. Returns what it prints. */
export function tsc(args: readonly string[], cwd: string): string {
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  const run = spawnSync(process.execPath, [compiler, ...args], { encoding: "utf8", cwd });
  if (run.error !== undefined) throw run.error;
  return run.stdout + run.stderr;
}

/**
 * Makes a folder where the package is installed, as the sources are now (what dist/ holds may be of yesterday). It is
 * inside the repository, so that vitest is found, and its name is ignored by git.
 */
export function makePlace(): string {
  mkdirSync(join(root, ".cache"), { recursive: true });
  const place = mkdtempSync(join(root, ".cache", "docs-"));
  const installed = join(place, "node_modules", "nats-streaming-client");
  mkdirSync(installed, { recursive: true });
  // A package of its own: within this one, its name would stand for what dist/ holds.
  writeFileSync(join(place, "package.json"), JSON.stringify({ private: true }));
  copyFileSync(join(root, "package.json"), join(installed, "package.json"));
  const build = spawnSync(process.execPath, ["build.mjs", join(installed, "dist")], { encoding: "utf8", cwd: root });
  if (build.status !== 0) throw new Error(`build.mjs failed: ${build.error?.message ?? build.stdout + build.stderr}`);
  return place;
}

/** Compiles files as a user of the package would, each a module of its own. Returns the compiler's complaints. */
export function compile(place: string, files: Readonly<Record<string, string>>, options: object = {}): string {
  const compilerOptions = {
    ...{ target: "es2022", lib: ["es2022"], types: [], module: "nodenext" },
    ...{ strict: true, exactOptionalPropertyTypes: true, skipLibCheck: true, outDir: "." },
    ...options,
  };
  const config = { compilerOptions, files: ["host.d.ts", ...Object.keys(files)] };
  writeFileSync(join(place, "tsconfig.json"), JSON.stringify(config));
  writeFileSync(join(place, "host.d.ts"), HOST);
  for (const [name, code] of Object.entries(files)) writeFileSync(join(place, name), code);
  return tsc(["-p", ".", "--pretty", "false"], place);
}

/**
 * Compiles blocks to `block-0.mjs` and so on, with what is `given` to all of them, as declarations. Returns the
 * compiler's complaints, which tell where in the documents they belong.
 */
export function compileBlocks(place: string, blocks: readonly Block[], given = "", options: object = {}): string {
  const files = Object.fromEntries(blocks.map(({ code }, i) => [`block-${i}.mts`, `${code}\nexport {};\n`]));
  const complaints = compile(place, { ...files, "given.d.ts": given }, options);
  return complaints.replace(/block-(\d+)\.mts\((\d+),/g, (_, i: string, line: string) => {
    const [document, first] = blocks[Number(i)]!.where.split(":");
    return `${document}:${Number(first) + Number(line) - 1} (`;
  });
}

/**
 * Environment for a program that connects to the server of this host on the usual port: it gets to one on another
 * port. A document is clearer without a port that nobody else has.
 */
export function redirected(place: string, port: number): Record<string, string> {
  const file = join(place, "redirect.cjs");
  writeFileSync(
    file,
    `const net = require("node:net");
     const { connect } = net;
     net.connect = (options, ...rest) =>
       connect(options.port === 4222 ? { ...options, port: ${port} } : options, ...rest);`,
  );
  return { NODE_OPTIONS: `--require "${file}"` };
}
