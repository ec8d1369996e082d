import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = join(__dirname, "..");
const documents = ["README.md", "CHANGELOG.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)];
/** Inside the repository, so that the examples find vitest; its name is ignored by git. */
let folder = "";

/** What the examples use of Node, in place of the reader's @types/node. */
const HOST = `
declare const console: Record<"log" | "info" | "warn" | "error", (...values: unknown[]) => void>;
declare const performance: { now(): number };
declare const process: { env: Record<string, string | undefined>; exitCode: number | undefined; on(event: string, listener: () => void): void };
declare function setTimeout(callback: () => void, milliseconds: number): unknown;
declare module "node:fs" { export function readFileSync(path: string, encoding: "utf8"): string; }
`;

interface Block {
  /** "README.md:20", where its first line is. */
  readonly where: string;
  readonly code: string;
}

/** The blocks of a document that are marked as TypeScript. */
function blocksOf(document: string, text: string): Block[] {
  const blocks: Block[] = [];
  for (const match of text.matchAll(/^```ts\n(.*?)^```$/gms)) {
    blocks.push({ where: `${document}:${text.slice(0, match.index).split("\n").length + 1}`, code: match[1]! });
  }
  return blocks;
}

function tsc(args: readonly string[], cwd: string): string {
  const run = spawnSync(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), ...args], { encoding: "utf8", cwd });
  if (run.error !== undefined) throw run.error;
  return run.stdout + run.stderr;
}

/** Type-checks blocks as a user of the package would, each a module of its own. Returns the compiler's complaints. */
function check(blocks: readonly Block[]): string {
  const place = mkdtempSync(join(folder, "check-"));
  const entries = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { exports: Record<string, { types?: string } | string> };
  const paths: Record<string, string[]> = {};
  for (const [subpath, entry] of Object.entries(entries.exports)) {
    if (typeof entry === "string" || entry.types === undefined) continue;
    paths[`nats-streaming-client${subpath.slice(1)}`] = [join(folder, entry.types)];
  }
  const compilerOptions = {
    target: "es2022", lib: ["es2022"], types: [], module: "nodenext", strict: true, exactOptionalPropertyTypes: true,
    noEmit: true, skipLibCheck: true, paths,
  };
  writeFileSync(join(place, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.mts", "host.d.ts"] }));
  writeFileSync(join(place, "host.d.ts"), HOST);
  blocks.forEach(({ code }, i) => writeFileSync(join(place, `block-${i}.mts`), `${code}\nexport {};\n`));
  return tsc(["-p", ".", "--pretty", "false"], place).replace(/block-(\d+)\.mts\((\d+),/g, (_, i: string, line: string) => {
    const [document, first] = blocks[Number(i)]!.where.split(":");
    return `${document}:${Number(first) + Number(line) - 1} (`;
  });
}

const textOf = (document: string): string => readFileSync(join(root, document), "utf8");

describe("the documents", () => {
  beforeAll(() => {
    mkdirSync(join(root, ".cache"), { recursive: true });
    folder = mkdtempSync(join(root, ".cache", "docs-"));
    // Declarations of the sources as they are now; what dist/ holds may be of yesterday.
    tsc(["-p", "src", "--outDir", join(folder, "dist")], root);
  });

  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test("have TypeScript examples that compile against the package", () => {
    const blocks = documents.flatMap((document) => blocksOf(document, textOf(document)));
    expect(blocks.map(({ where }) => where)).toContainEqual(expect.stringMatching(/^README\.md:/));
    expect(check(blocks)).toBe("");
  });

  test("would be found out by an example with a wrong name, and told where it is", () => {
    const text = 'Text.\n\n```ts\nimport { connect } from "nats-streaming-client";\nawait connect({ clusterId: "a", clientID: "b" });\n```\n';
    const complaints = check(blocksOf("docs/wrong.md", text));
    expect(complaints).toMatch(/^docs\/wrong\.md:5 \(.*clientID/);
  });
});

/** The names of the members of an exported interface or union of strings, as src/streaming has them. */
function membersOf(file: string, pattern: RegExp, member: RegExp): string[] {
  const body = pattern.exec(textOf(file))?.[1];
  if (body === undefined) throw new Error(`${file} has nothing like ${pattern.source}`);
  return [...body.matchAll(member)].map((match) => match[1]!);
}

/** The first column of the tables under a heading of README.md. */
function namesUnder(heading: string): string[] {
  const section = textOf("README.md").split(/^#+ /m).find((section) => section.startsWith(heading));
  return [...(section ?? "").matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1]!);
}

describe("README.md", () => {
  test("lists exactly the options of connect, subscribe and publish", () => {
    const optionsOf = (name: string): string[] =>
      membersOf("src/streaming/options.ts", new RegExp(`export interface ${name} \\{(.*?)^\\}`, "ms"), /^ {2}(\w+)\??:/gm);
    expect(namesUnder("Options of `connect`").sort()).toEqual(optionsOf("ConnectOptions").sort());
    expect(namesUnder("Options of `subscribe`").sort()).toEqual(optionsOf("SubscribeOptions").sort());
    const line = /^- `client\.publish\(.*?`options`: (.*)\.$/m.exec(textOf("README.md"))?.[1];
    expect(line?.replaceAll("`", "").split(", ").sort()).toEqual(optionsOf("PublishOptions").sort());
  });

  test("has the defaults that the options' own descriptions give", () => {
    const described = [...textOf("src/streaming/options.ts").matchAll(/ Default ([\d ]+(?: MiB)?)\. ?\*\/\n {2}(\w+)\?/g)];
    expect(described.length).toBeGreaterThan(8);
    for (const [, value, option] of described) {
      expect(textOf("README.md")).toMatch(new RegExp(`^\\| \`${option}\` \\| ${value} \\|`, "m"));
    }
  });

  test("lists exactly the error codes, each with the words of its source", () => {
    const rows = (text: string): string[] => [...text.matchAll(/\| (`[A-Z]\w+` \| .*) \|$/gm)].map((match) => match[1]!);
    expect(rows(textOf("README.md"))).toEqual(rows(textOf("src/streaming/errors.ts")));
    const codes = membersOf("src/streaming/errors.ts", /StreamingErrorCode =\n(.*?);/s, /"(\w+)"/g);
    expect(namesUnder("Errors").sort()).toEqual(codes.sort());
  });

  test("and the other documents link to nothing that is not there", () => {
    for (const document of documents) {
      for (const [, target] of textOf(document).matchAll(/\]\((?!https?:)([^)#]+)/g)) {
        expect(existsSync(join(root, document, "..", target!)), `${document} links to ${target}`).toBe(true);
      }
    }
  });
});

describe("docs/design.md", () => {
  const text = textOf("docs/design.md");

  test("names every file of the library, and no other", () => {
    const files = ["pb", "core-nats", "streaming"].flatMap((layer) => readdirSync(join(root, "src", layer)).map((name) => `src/${layer}/${name}`));
    const table = /^## What is where$(.*?)^## /ms.exec(text)?.[1] ?? "";
    const named = [...table.matchAll(/`(src\/[\w-]+\/[\w.-]+)`/g)].map((match) => match[1]!);
    expect(named.sort()).toEqual(files.sort());
  });

  test("walks through functions that are where it says", () => {
    const steps = [...text.matchAll(/^\| \d+ \| `(src\/\S+)` (.*?) \|/gm)];
    expect(steps.length).toBeGreaterThan(25);
    for (const [, file, functions] of steps) {
      const source = textOf(file!);
      for (const [, name] of functions!.matchAll(/`([#\w]+)`/g)) {
        // A member or function is defined in the file, not merely used: at the start of a line.
        const defined = new RegExp(`^ *(?:export |static |async |readonly |private )*${name}(?:\\(|<| = |: )`, "m");
        expect(defined.test(source), `${name} in ${file}`).toBe(true);
      }
    }
  });
});
