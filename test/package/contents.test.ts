import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { install, pack, root } from "../support/tarball.ts";
import type { Tarball } from "../support/tarball.ts";

/** What the package holds beyond what is compiled: what is for its users, with the charts of the README. */
const TEXTS = [
  ...["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "package.json"],
  ...readdirSync(join(root, "docs"))
    .filter((name) => !["design.md", "design-bridge.md", "decisions.md"].includes(name))
    .map((name) => `docs/${name}`),
  ...[...readFileSync(join(root, "README.md"), "utf8").matchAll(/!\[.*\]\((.*)\)/g)].map(([, chart]) => chart!),
];
const MOST_FILES = 100;
/** Bytes. */
const MOST_UNPACKED = 800_000;
/** What `import "nats-streaming-client"` loads. */
const MOST_LOADED = 245_000;
const MOST_TESTING = 80_000;
/** What programs of node-nats-streaming load as well. */
const MOST_DROP_IN = 40_000;
/** What the bridge loads as well. */
const MOST_BRIDGE = 150_000;
const MOST_BRIDGE_LINES = 2_400;

interface Manifest {
  readonly main: string;
  readonly types: string;
  readonly exports: Record<string, string | { readonly types: string; readonly default: string }>;
  readonly typesVersions: Record<string, Record<string, readonly string[]>>;
  readonly scripts: Record<string, string>;
  readonly [field: string]: unknown;
}

const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-package-"));
const installed = join(folder, "one", "node_modules", "nats-streaming-client");
let tarball: Tarball;
let manifest: Manifest;

beforeAll(() => {
  mkdirSync(join(folder, "one"));
  tarball = pack(join(folder, "one"));
  install(tarball, join(folder, "one"));
  manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as Manifest;
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** All files below a folder, as paths relative to it. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true }).filter((path) => statSync(join(folder, path)).isFile());
}

/** The declaration files that are reached from those given, themselves included. */
function reached(files: readonly string[]): Set<string> {
  const all = new Set(files);
  for (const file of all) {
    const text = readFileSync(join(installed, file), "utf8");
    for (const [, path] of text.matchAll(/(?:from |import\()"(\.[^"]+)"/g)) {
      // TypeScript before 5.0 takes no other ending, and then all is `any`.
      expect(path, file).toMatch(/\.js$/);
      all.add(join(dirname(file), path!.replace(/\.js$/, ".d.ts")));
    }
  }
  return all;
}

test("the package is one file for each layer, the declarations of what is public, and the documents for users", () => {
  const client = ["pb", "core-nats", "streaming", "index"];
  const layers = [...client, "testing", "node-nats-streaming", "monitoring", "bridge", "cli"];
  const compiled = layers.map((layer) => `dist/${layer}.js`);
  const entries = Object.values(manifest.exports).flatMap((target) =>
    typeof target === "string" ? [] : [target.types.replace("./", "")],
  );
  const expected = [...TEXTS, ...compiled, ...reached(entries)];
  expect(tarball.files.map(({ path }) => path).sort()).toEqual(expected.sort());
  expect(filesIn(installed).sort()).toEqual(expected.sort());
});

test("each relative link of a document in the package leads to what is in the package", () => {
  const linked = new Set<string>();
  for (const document of filesIn(installed).filter((path) => path.endsWith(".md"))) {
    const text = readFileSync(join(installed, document), "utf8").replace(/^```.*?^```/gms, "");
    for (const [, a, b, c] of text.matchAll(/\]\(([^)\s]+)|^\[[^\]]+\]: (\S+)|\b(?:href|src)="([^"]+)"/gm)) {
      const target = (a ?? b ?? c)!;
      if (/^(https?:|#)/.test(target)) continue;
      const path = join(dirname(document), target.replace(/#.*/, ""));
      expect(filesIn(installed), `${document} links to ${target}`).toContain(path);
      linked.add(path);
    }
  }
  // And each text can be found, by the README or another.
  const found = [...linked, "README.md", "package.json"];
  for (const text of TEXTS) expect(found).toContain(text);
});

test("the package is small", () => {
  const testing = tarball.files.filter(({ path }) => /^dist\/testing[./]/.test(path));
  expect(tarball.files.length).toBeLessThanOrEqual(MOST_FILES);
  expect(tarball.unpackedSize).toBeLessThanOrEqual(MOST_UNPACKED);
  const loaded = tarball.files.filter(({ path }) => /^dist\/(index|streaming|core-nats|pb)\.js$/.test(path));
  expect(loaded.length).toBe(4);
  expect(loaded.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(MOST_LOADED);
  expect(testing.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(MOST_TESTING);
  const dropIn = tarball.files.filter(({ path }) => /^dist\/node-nats-streaming[./]/.test(path));
  expect(dropIn.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(MOST_DROP_IN);
  const bridge = tarball.files.filter(({ path }) => /^dist\/(bridge|monitoring)[./]/.test(path));
  expect(bridge.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(MOST_BRIDGE);
  const lines = readFileSync(join(installed, "dist", "bridge.js"), "utf8").split("\n").length;
  expect(lines).toBeLessThanOrEqual(MOST_BRIDGE_LINES);
});

test("nothing in the package can be executed, and nothing tells where it was built", () => {
  for (const { path, mode } of tarball.files) expect(mode & 0o111, path).toBe(0);
  for (const path of filesIn(installed)) expect(readFileSync(join(installed, path), "utf8"), path).not.toContain(root);
});

test("installing the package brings in nothing else and runs nothing", () => {
  expect(readdirSync(join(folder, "one", "node_modules")).filter((name) => !name.startsWith("."))).toEqual([
    "nats-streaming-client",
  ]);
  for (const field of [
    "dependencies",
    "peerDependencies",
    "optionalDependencies",
    "bundleDependencies",
    "gypfile",
  ]) {
    expect(manifest[field], field).toBeUndefined();
  }
  for (const script of ["preinstall", "install", "postinstall", "prepare"]) {
    expect(manifest.scripts[script], script).toBeUndefined();
  }
});

test("old and new ways to look up a module find the same files, and they are there", () => {
  const { main, types, exports, typesVersions } = manifest;
  expect(exports["."]).toEqual({ types, default: main });
  // TypeScript's "node10" knows no exports.
  const typesOf = (path: string): string => (exports[path] as { types: string }).types;
  const entries = ["testing", "node-nats-streaming", "bridge"].map((entry) => [entry, [typesOf(`./${entry}`)]]);
  expect(typesVersions).toEqual({ "*": Object.fromEntries(entries) });
  const targets = Object.values(exports).flatMap((target) =>
    typeof target === "string" ? [target] : Object.values(target),
  );
  for (const target of targets) expect(filesIn(installed), target).toContain(target.replace("./", ""));
  // The first condition that fits counts.
  for (const target of Object.values(exports)) {
    if (typeof target === "object") expect(Object.keys(target)).toEqual(["types", "default"]);
  }
});

// The time of the hook above, which does the same: on a busy machine it took more than 20 s (seen once).
test("two builds from clean clones are equal, byte by byte", { timeout: 120_000 }, () => {
  mkdirSync(join(folder, "two"));
  const second = pack(join(folder, "two"), join(folder, "one", "clone"));
  install(second, join(folder, "two"));
  const other = join(folder, "two", "node_modules", "nats-streaming-client");
  const digests = (place: string): string[] =>
    filesIn(place)
      .sort()
      .map((path) => `${path} ${createHash("sha256").update(readFileSync(join(place, path))).digest("hex")}`);
  expect(digests(other)).toEqual(digests(installed));
  expect(second.integrity).toBe(tarball.integrity);
});
