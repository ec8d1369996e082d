import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { root } from "../support/tarball.ts";

const LAYERS = ["core-nats", "pb", "streaming", "testing", "node-nats-streaming", "monitoring", "bridge"];
let place = "";

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "nats-streaming-client-build-test-"));
  for (const name of ["src", "tsconfig.json", "build.mjs"]) {
    cpSync(join(root, name), join(place, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(place, "node_modules"));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

/** Adds code to one of the modules. */
function append(code: string): void {
  const path = join(place, "src", "core-nats", "headers.ts");
  writeFileSync(path, readFileSync(path, "utf8") + code);
}

function build(): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["build.mjs"], { encoding: "utf8", cwd: place });
  return { status, output: stdout + stderr };
}

test("each layer becomes one file, with every module once, behind those that it imports", () => {
  expect(build()).toEqual({ status: 0, output: "" });
  for (const layer of LAYERS) {
    const text = readFileSync(join(place, "dist", `${layer}.js`), "utf8");
    // Twice, bundlers would warn of it.
    const exported = /^module\.exports = \{ (.*) \};$/m.exec(text)![1]!.split(/, */);
    expect(exported).toEqual([...new Set(exported)].filter((name) => name !== ""));
    const joined = [...text.matchAll(/^\/\/ src\/([\w/-]+\.ts)$/gm)].map(([, path]) => path!);
    // Of those that hold types alone nothing is left.
    const modules = (readdirSync(join(place, "src", layer), { recursive: true }) as string[])
      .filter((path) => path.endsWith(".ts"))
      .map((path) => join(layer, path));
    const source = (path: string): string => readFileSync(join(place, "src", path), "utf8");
    const CODE = /^export (?:async |abstract )?(?:class|const|function)/m;
    const withCode = modules.filter((path) => CODE.test(source(path)));
    expect([...joined].sort()).toEqual(withCode.sort());
    for (const [i, path] of joined.entries()) {
      for (const [, imported] of source(path).matchAll(/^import (?!type\b)[^;]* from "(\.[\w./-]+\.ts)"/gm)) {
        const target = join(dirname(path), imported!);
        if (withCode.includes(target)) expect(joined.slice(0, i), `${layer}: what ${path} imports`).toContain(target);
      }
    }
  }
});

test("a name that is declared twice in a layer fails the build, which names both places", () => {
  append("\nconst alphabet = 1;\nexport const twice = alphabet;\n");
  const { status, output } = build();
  expect(status).not.toBe(0);
  expect(output).toContain("alphabet is declared in core-nats/nuid.js and in core-nats/headers.js");
});

test("what cannot be joined line by line fails the build", () => {
  append("\nexport const lines = `one\n    two`;\n");
  const { status, output } = build();
  expect(status).not.toBe(0);
  expect(output).toContain("core-nats/headers.js has a line that cannot be joined");
});

test("what is imported from another layer may have another name there", () => {
  expect(build()).toEqual({ status: 0, output: "" });
  const text = readFileSync(join(place, "dist", "node-nats-streaming.js"), "utf8");
  expect(text).toMatch(/^const \{ .*\bconnect: connectClient\b.* \} = require\("\.\/index\.js"\);$/m);
});

test("what is imported by another name from the same layer fails the build, since it keeps its own", () => {
  append('\nimport { nuid as other } from "./nuid.ts";\nexport const id = other();\n');
  const { status, output } = build();
  expect(status).not.toBe(0);
  expect(output).toContain("core-nats/headers.js gives another name to what it imports: nuid as other");
});

test("a type error fails the build", () => {
  append("\nexport const wrong: string = 1;\n");
  expect(build()).toMatchObject({ status: 1, output: expect.stringContaining("headers.ts") });
});
