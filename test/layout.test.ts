import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

// The rules of the source tree, read from the source itself.

interface Import {
  /** Path of the file below src, and of what it imports, or the name of a module of the host. */
  readonly from: string;
  readonly to: string;
  /** False: only types, of which nothing is left at run time. */
  readonly value: boolean;
}

const src = resolve("src");

function filesBelow(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name !== "node_modules")
    .flatMap((name) => {
      const path = join(folder, name);
      return statSync(path).isDirectory() ? filesBelow(path) : [path];
    })
    .sort();
}

/** Without comments; what is in strings stays, and none of them holds what looks like a comment's begin. */
function codeOf(path: string): string {
  return readFileSync(path, "utf8")
    .replace(/\/\*[^]*?\*\//g, "")
    .replace(/(^|\s)\/\/.*$/gm, "$1");
}

const paths = filesBelow(src).filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"));
const modules = paths.map((path) => ({ name: relative(src, path).replaceAll("\\", "/"), path, code: codeOf(path) }));

function importsOf({ name, path, code }: (typeof modules)[number]): Import[] {
  const found: Import[] = [];
  const add = (target: string, value: boolean): void => {
    const to = target.startsWith(".") ? relative(src, resolve(dirname(path), target)).replaceAll("\\", "/") : target;
    found.push({ from: name, to, value });
  };
  const statements = code.matchAll(/\b(?:import|export)\s+(type\s)?[\w\s{},*]*?\bfrom\s*"([^"]+)"/g);
  for (const [, type, target] of statements) add(target, type === undefined);
  for (const [, target] of code.matchAll(/\bimport\s*"([^"]+)"/g)) add(target, true);
  for (const [, target] of code.matchAll(/\brequire\(\s*"([^"]+)"\s*\)/g)) add(target, true);
  for (const [, before, target] of code.matchAll(/(typeof\s+|:\s*)?\bimport\(\s*"([^"]+)"\s*\)/g)) {
    add(target, before === undefined);
  }
  return found;
}

const imports = modules.flatMap(importsOf);
const folderOf = (file: string): string => (file.includes("/") ? file.slice(0, file.indexOf("/")) : "index");

describe("imports", () => {
  test("are all found: none is computed, and none is of another form", () => {
    expect(modules.length).toBeGreaterThan(20);
    for (const { name, code } of modules) {
      const words = [...code.matchAll(/(?<!")\bfrom\s*"|\bimport\s*"|\bimport\(|\brequire\(/g)].length;
      expect(imports.filter(({ from }) => from === name).length, name).toBe(words);
    }
  });

  const mayImport: Record<string, readonly string[]> = {
    pb: ["pb"],
    "core-nats": ["core-nats"],
    streaming: ["streaming", "core-nats", "pb"],
    testing: ["testing", "core-nats", "pb"],
    index: ["streaming", "core-nats"],
    "node-nats-streaming": ["node-nats-streaming", "index"],
    monitoring: ["monitoring", "core-nats", "pb"],
    bridge: ["bridge", "monitoring", "core-nats", "index"],
    cli: ["cli", "bridge", "monitoring", "testing", "core-nats", "index"],
  };
  /** The bridge checks its arguments as the client does. */
  const checks = ["streaming/checks.ts", "streaming/signal.ts"];
  /** What the layer for programs of node-nats-streaming needs of the host. */
  const host = ["core-nats/builtin.ts", "core-nats/clock.ts"];

  test("go from streaming to core-nats and pb, and never back", () => {
    const own = imports.filter(({ to }) => !to.startsWith("node:"));
    for (const { from, to } of own) {
      if (folderOf(from) === "node-nats-streaming" && host.includes(to)) continue;
      if (folderOf(from) === "bridge" && checks.includes(to)) continue;
      expect(mayImport[folderOf(from)] ?? [], `${from} imports ${to}`).toContain(folderOf(to));
    }
    const known = ["index.ts", "runtime.d.ts", "tsconfig.json", ...Object.keys(mayImport)];
    expect(readdirSync(src).filter((name) => !known.includes(name))).toEqual([]);
  });

  test("name files that exist, with their extension", () => {
    for (const { from, to } of imports) {
      const exists = existsSync(join(src, to)) && to.endsWith(".ts");
      if (!to.startsWith("node:")) expect(exists, `${from} imports ${to}`).toBe(true);
    }
  });

  test("reach the host through one file, when what it has is used, and not by importing the library", () => {
    const ofHost = imports.filter(({ to }) => !/^[\w-]+(\/[\w-]+)*\.ts$/.test(to));
    const loaded = new Set(ofHost.filter(({ value }) => value).map(({ from, to }) => `${from} ${to}`));
    // UTF-8 is global but in jest's jsdom.
    const utf8 = ["core-nats/text.ts node:util", "pb/wire.ts node:util"];
    const inBuiltin = ["crypto", "events", "fs", "net", "tls"].map((name) => `core-nats/builtin.ts node:${name}`);
    // The command line is a program of its own.
    const inProgram = ["cli/arguments.ts node:util", "cli/lag.ts node:http", "cli/program.ts node:fs"];
    expect([...loaded].sort()).toEqual([...inProgram, ...inBuiltin, ...utf8]);
    const { code } = modules.find(({ name }) => name === "core-nats/builtin.ts")!;
    expect(code).not.toMatch(/^import\b/m);
    // Who uses it: sockets, timers, node:crypto for nkeys, the embedded server, which listens, and programs of
    // node-nats-streaming, whose classes are emitters, and whose `userCreds` is a path.
    const users = modules.filter(({ code }) => /\bbuiltin\b/.test(code)).map(({ name }) => name.split("/").pop());
    expect(users).toEqual([
      ...["auth.ts", "builtin.ts", "clock.ts", "socket.ts"],
      ...["event-emitter.ts", "stan-options.ts", "listener.ts"],
    ]);
  });

  test("make the layer for programs of node-nats-streaming small, and nothing else needs it", () => {
    const layer = modules.filter(({ name }) => folderOf(name) === "node-nats-streaming");
    const lines = layer.map(({ path }) => readFileSync(path, "utf8").split("\n"));
    expect(lines.reduce((sum, each) => sum + each.length - 1, 0)).toBeLessThanOrEqual(900);
    for (const line of lines.flat()) expect(line.length, line).toBeLessThanOrEqual(120);
    const ofLayer = imports.filter(({ to }) => to.startsWith("node-nats-streaming/"));
    const users = ofLayer.filter(({ from, to }) => folderOf(from) !== folderOf(to));
    expect(users).toEqual([]);
  });

  test("make the bridge a layer for the command line alone, and that one a layer for nobody", () => {
    const users = imports.filter(({ from, to }) => folderOf(to) === "bridge" && folderOf(from) !== "bridge");
    expect([...new Set(users.map(({ from }) => folderOf(from)))]).toEqual(["cli"]);
    expect(imports.filter(({ from, to }) => folderOf(to) === "cli" && folderOf(from) !== "cli")).toEqual([]);
    const ofCli = readdirSync(join(src, "cli")).map((name) => readFileSync(join(src, "cli", name), "utf8"));
    expect(ofCli.reduce((sum, text) => sum + text.split("\n").length - 1, 0)).toBeLessThanOrEqual(1_500);
  });

  test("form no circles, types included", () => {
    const next = new Map<string, string[]>();
    for (const { from, to } of imports) next.set(from, [...(next.get(from) ?? []), to]);
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) expect.fail([...path.slice(path.indexOf(file)), file].join(" -> "));
      if (done.has(file)) return;
      for (const to of next.get(file) ?? []) visit(to, [...path, file]);
      done.add(file);
    };
    for (const { name } of modules) visit(name, []);
    expect(done.size).toBeGreaterThanOrEqual(modules.length);
  });

  test("run down in streaming: publishing and subscribing never meet, and the session knows neither", () => {
    const rooms: Record<string, readonly string[]> = {
      "streaming/publishing": ["streaming/publishing", "streaming/session", "ground"],
      "streaming/subscribing": ["streaming/subscribing", "streaming/session", "ground"],
      "streaming/session": ["streaming/session", "ground"],
      ground: ["ground"],
    };
    const top = ["client", "connect-options", "status"].map((name) => `streaming/${name}.ts`);
    const roomOf = (file: string): string => (dirname(file) === "streaming" ? "ground" : dirname(file));
    let checked = 0;
    for (const { from, to } of imports) {
      if (!from.startsWith("streaming/") || !to.startsWith("streaming/") || top.includes(from)) continue;
      checked++;
      expect(top, `${from} imports ${to}`).not.toContain(to);
      expect(rooms[roomOf(from)], `${from} imports ${to}`).toContain(roomOf(to));
    }
    expect(checked).toBeGreaterThan(80);
  });
});

describe("the source", () => {
  test("takes timers and the time from one file: those that tests make fake would stop the client", () => {
    const timers = /(?<![.\w#])(?:set|clear)(?:Timeout|Interval|Immediate)\(|\bqueueMicrotask\b|\bnextTick\b/;
    const time = /\bDate\.now\b|\bnew Date\(\)|\bperformance\b/;
    for (const { name, code } of modules) {
      if (["core-nats/clock.ts", "core-nats/builtin.ts"].includes(name)) continue;
      let rest = code;
      for (const [, names] of code.matchAll(/import \{ (.*) \} from "(?:\.|(?:\.\.\/)+core-nats)\/clock\.ts"/g)) {
        for (const each of names!.split(", ")) rest = rest.replaceAll(new RegExp(`(?<![.\\w#])${each}\\(`, "g"), "");
      }
      for (const pattern of [timers, time]) expect(pattern.exec(rest)?.[0], name).toBeUndefined();
    }
  });

  test("compiles no text, reads no environment, and prints nothing but the one warning", () => {
    for (const { name, code } of modules) {
      expect(code, name).not.toMatch(/\beval\b|\bnew Function\b|\bFunction\(/);
      if (name === "cli/program.ts") continue;
      const process = [...code.matchAll(/\bprocess\b(?:\s*\?*[.[])+\s*\w*/g)].map(([text]) => text);
      expect([...new Set(process)], name).toEqual(name === "core-nats/builtin.ts" ? ["process?.getBuiltinModule"] : []);
      const printed = [...code.matchAll(/\bconsole\b\s*[.[]\s*\w*/g)].map(([text]) => text);
      expect(printed, name).toEqual(name === "streaming/status.ts" ? ["console.warn"] : []);
    }
  });

  test("escapes its types nowhere", () => {
    for (const { name, path, code } of modules) {
      expect(code, name).not.toMatch(/(:|\bas|<|\|)\s*any\b/);
      expect(readFileSync(path, "utf8"), name).not.toMatch(/@ts-(ignore|expect-error|nocheck)|eslint|prettier-ignore/);
      expect(code, name).not.toMatch(/\b(enum|namespace)\s+\w+\s*\{/);
    }
  });

  test("uses every member of the host, and every event, that is declared for it", () => {
    const declarations = codeOf(join(src, "runtime.d.ts"));
    const code = modules.map((module) => module.code).join("\n");
    const MEMBER =
      /(?:^ +(?:readonly |export function )?|\bdeclare (?:function|const|var) |[{;] (?:readonly )?)(\w+)\??[(:]/gm;
    const members = declarations.matchAll(MEMBER);
    const events = declarations.matchAll(/(?<=event: [^)]*)("\w+")/g);
    const names = [...members, ...events].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(70);
    for (const name of names) expect(code, name).toMatch(new RegExp(`(?<!\\w)${name}(?!\\w)`));
  });

  test("has a docstring at every exported name; a type and a value of the same name share one", () => {
    const declarations = /^export (?:abstract |async )*(?:class|function|interface|type|const) (\w+)/gm;
    let checked = 0;
    for (const { name, path } of modules) {
      const text = readFileSync(path, "utf8");
      const documented = new Map<string, boolean>();
      for (const { 1: exported, index } of text.matchAll(declarations)) {
        documented.set(exported, documented.get(exported) === true || text.slice(0, index).endsWith("*/\n"));
        checked++;
      }
      for (const [exported, has] of documented) expect(has, `${exported} of ${name} has a docstring`).toBe(true);
    }
    expect(checked).toBeGreaterThan(100);
  });
});

describe("the files", () => {
  const linesOf = (path: string): string[] => readFileSync(path, "utf8").trimEnd().split("\n");
  const nameOf = (path: string): string => relative(resolve("."), path).replaceAll("\\", "/");

  test("have lines of at most 120 columns: sources, tests, benchmarks, examples and the build", () => {
    // A row of a Markdown table is one line. Charts, results, the dashboard and keys are written by programs.
    const other = /\.(md|svg|json|pem)$/;
    const files = ["src", "test", "bench", "examples"].flatMap((folder) => filesBelow(resolve(folder)));
    const checked = [...files, resolve("build.mjs"), resolve("vitest.config.mts")].filter((path) => !other.test(path));
    expect(checked.length).toBeGreaterThan(250);
    const long = checked.flatMap((path) =>
      linesOf(path).flatMap((line, i) => (line.length > 120 ? [`${nameOf(path)}:${i + 1} has ${line.length}`] : [])),
    );
    expect(long).toEqual([]);
  });

  test("have at most 400 lines in src, and need no comments that name their sections", () => {
    for (const path of filesBelow(src)) {
      const lines = linesOf(path);
      expect.soft(lines.length, nameOf(path)).toBeLessThanOrEqual(400);
      expect.soft(lines.filter((line) => /^ *\/\/ *[-=#*]{2,}/.test(line)), nameOf(path)).toEqual([]);
    }
  });
});

interface Manifest {
  readonly [field: string]: unknown;
  readonly devDependencies: Record<string, string>;
  readonly scripts: Record<string, string>;
}

describe("the package", () => {
  const manifest = JSON.parse(readFileSync("package.json", "utf8")) as Manifest;

  test("depends on nothing; to work on it takes typescript and vitest", () => {
    expect(Object.keys(manifest).filter((field) => /dependenc/i.test(field))).toEqual(["devDependencies"]);
    expect(Object.keys(manifest.devDependencies).sort()).toEqual(["typescript", "vitest"]);
  });

  test("runs nothing when it is installed", () => {
    const hooks = /^(pre|post)?(install|prepare)$|^prepublish$/;
    expect(Object.keys(manifest.scripts).filter((name) => hooks.test(name))).toEqual([]);
    for (const field of ["gypfile", "binary", "man"]) expect(manifest[field], field).toBeUndefined();
    expect(manifest["bin"]).toEqual({ "nats-streaming-client": "dist/cli.js" });
  });

  test("has nothing but tools of development in its lock file", () => {
    type Locked = Record<string, { dev?: boolean; devOptional?: boolean }>;
    const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as { packages: Locked };
    const others = Object.entries(lock.packages).filter(([name]) => name !== "");
    expect(others.filter(([, { dev, devOptional }]) => dev !== true && devOptional !== true)).toEqual([]);
    expect(others.length).toBeGreaterThan(2);
  });
});
