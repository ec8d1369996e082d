// Makes what is published, in dist or in the folder that is given: declarations as tsc emits them, and one JavaScript
// file for each layer, in which the layer's modules stand one behind the other, each behind those that it imports.
// Nothing is wrapped or renamed: a top-level name is declared once in a layer, or this fails.
//
// Declarations name each other as .js. TypeScript before 5.0 takes no .ts there, and under skipLibCheck all is then
// `any`, without a word.
//
// Why not a file for each module: Node spends 0.2 to 0.4 ms and 0.1 MiB on each. 52 of them took twice as long to load.
// Why: docs/decisions.md#one-commonjs-build
// Why: docs/decisions.md#one-file-for-each-layer

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path/posix";

const DIST = process.argv[2] ?? "dist";
const ENTRIES = [
  "index.js", "testing/server.js", "node-nats-streaming/index.js", "bridge/index.js", "cli/program.js",
];
/** The one layer that is a program. It takes what it needs of the host at once. */
const PROGRAM = "cli";

const IMPORT = /^import \{ (.*) \} from "(.*)";\n/gm;
const DECLARATION = /^((?:import|export) .* from "\..*)\.ts";$/gm;
const REEXPORT = /^export \{ (.*) \} from "(.*)";\n/gm;
const EXPORTED = /^export (?=(?:async )?(?:class|const|function\*?) (\w+))/gm;
const DECLARED = /^(?:async )?(?:class|const|let|function\*?) (\w+)/gm;

/** What tsc emits: declarations, and modules without types and comments. */
const emitted = mkdtempSync(join(tmpdir(), "nats-streaming-client-build-"));
process.on("exit", () => rmSync(emitted, { recursive: true }));
/** The layers and their modules, in the order in which they are done. */
const layers = new Map();
const modules = new Map();

function tsc(...args) {
  const all = ["node_modules/typescript/bin/tsc", "-p", "src", "--outDir", emitted, ...args];
  const { status } = spawnSync(process.execPath, all, { stdio: "inherit" });
  if (status !== 0) process.exit(1);
}

/** By TABs: with blanks the package would be a sixth larger. */
function indented(text) {
  return text.replace(/^(?: {4})+/gm, (blanks) => "\t".repeat(blanks.length / 4));
}

/** tsc leaves a comma behind the last name where there is one in the source. */
function listed(names) {
  return names.replace(/,$/, "").split(", ");
}

function layerOf(path) {
  if (path.startsWith("node:")) return path;
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : "index";
}

/** Takes a module apart, after all that it imports. */
function read(path) {
  if (modules.has(path)) return;
  const module = { path, imports: [], exports: [], code: "" };
  modules.set(path, module);
  const add = (names, from) => {
    if (from.startsWith("node:") && layerOf(path) === PROGRAM) {
      module.imports.push({ names: listed(names), from });
      return "";
    }
    // Loaded with the library, it would be; and a bundler cannot carry every `require` into an ES module.
    if (!from.startsWith(".")) {
      throw new Error(`${path} imports ${from}: what is the host's comes from core-nats/builtin.ts`);
    }
    const target = join(dirname(path), from);
    // Within a layer there is but one name for a thing. From another layer it is taken by `require`, under any name.
    if (/ as /.test(names) && layerOf(target) === layerOf(path)) {
      throw new Error(`${path} gives another name to what it imports: ${names}`);
    }
    read(target);
    module.imports.push({ names: listed(names), from: target });
    return "";
  };
  module.code = indented(readFileSync(join(emitted, path), "utf8"))
    .replace(IMPORT, (_, names, from) => add(names, from))
    .replace(REEXPORT, (_, names, from) => {
      module.exports.push(...listed(names));
      return add(names, from);
    })
    .replace(EXPORTED, (_, name) => {
      module.exports.push(name);
      return "";
    });
  const problem = /^(?:import|export)\b.*$|^[^`]*(?:`[^`]*`[^`]*)*`[^`]*$/m.exec(module.code);
  if (problem !== null) throw new Error(`${path} has a line that cannot be joined: ${problem[0]}`);

  const layer = layerOf(path);
  if (!layers.has(layer)) layers.set(layer, []);
  layers.get(layer).push(module);
}

/** The names that a layer takes from others, by the layer. */
function importsOf(layer) {
  const imports = new Map();
  for (const { names, from } of layers.get(layer).flatMap((module) => module.imports)) {
    const source = layerOf(from);
    if (source === layer) continue;
    if (!imports.has(source)) imports.set(source, new Set());
    for (const name of names) imports.get(source).add(name);
  }
  return imports;
}

/** The names that other layers, or those who use the package, take from a layer. */
function exportsOf(layer) {
  const entry = layers.get(layer).find(({ path }) => ENTRIES.includes(path));
  if (entry !== undefined) return entry.exports;
  const taken = [...layers.keys()].flatMap((other) => [...(importsOf(other).get(layer) ?? [])]);
  return [...new Set(taken.map((name) => name.replace(/ as .*/, "")))];
}

function textOf(layer) {
  const lines = layer === PROGRAM ? ["#!/usr/bin/env node", '"use strict";'] : ['"use strict";'];
  const declared = new Map();
  const declare = (name, where) => {
    if (declared.has(name)) throw new Error(`${name} is declared in ${declared.get(name)} and in ${where}`);
    declared.set(name, where);
  };
  for (const [source, names] of importsOf(layer)) {
    const target = source.startsWith("node:") ? source : `./${source}.js`;
    lines.push(`const { ${[...names].join(", ").replaceAll(" as ", ": ")} } = require("${target}");`);
    for (const name of names) declare(name.replace(/.* as /, ""), target);
  }
  for (const { path, code } of layers.get(layer)) {
    for (const [, name] of code.matchAll(DECLARED)) declare(name, path);
    if (code !== "") lines.push("", `// src/${path.replace(/\.js$/, ".ts")}`, code.trimEnd());
  }
  lines.push("", `module.exports = { ${exportsOf(layer).join(", ")} };`, "");
  return lines.join("\n");
}

tsc("--emitDeclarationOnly");
tsc("--declaration", "false", "--removeComments", "--module", "esnext", "--moduleResolution", "bundler");
for (const path of readdirSync(emitted, { recursive: true }).filter((path) => path.endsWith(".d.ts"))) {
  mkdirSync(join(DIST, dirname(path)), { recursive: true });
  writeFileSync(join(DIST, path), indented(readFileSync(join(emitted, path), "utf8")).replace(DECLARATION, '$1.js";'));
}
ENTRIES.forEach(read);
for (const layer of layers.keys()) writeFileSync(join(DIST, `${layer}.js`), textOf(layer));
