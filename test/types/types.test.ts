import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installPackage } from "../support/packages.ts";
import { install, pack, root } from "../support/tarball.ts";
import { applies, compile, consumers, dropIns, refusedLines, wrong, wrongLines } from "./compile.ts";
import { compilers } from "./compilers.ts";

const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-types-"));
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");

beforeAll(() => install(pack(folder), folder));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// Other resolutions and compilers are tried by `npm run types`.
for (const consumer of consumers) {
  const resolution = applies(consumer, "bundler") ? "bundler" : "nodenext";
  test(`the packed types compile in the consumer ${consumer.name}, resolved as by ${resolution}`, () => {
    expect(compile(tsc, consumer, resolution, folder)).toBe("");
  });
}

test("the consumer es-module names everything that is public", () => {
  const exported = readFileSync(join(root, "src", "index.ts"), "utf8").matchAll(/^export (?:type )?\{ (.*) \}/gm);
  const names = [...exported].flatMap(([, names]) => names!.split(", "));
  expect(names.length).toBeGreaterThan(20);
  const consumer = readFileSync(join(root, "test", "types", "consumers", "es-module.ts"), "utf8");
  const imported = consumer.match(/^import .*?from/gms)!.join();
  for (const name of names) expect(imported).toMatch(new RegExp(`\\b${name}\\b`));
});

test("the packed types refuse what is wrong, on each line of the consumer that is", () => {
  expect(wrongLines.length).toBeGreaterThan(0);
  expect(refusedLines(compile(tsc, wrong, "nodenext", folder))).toEqual(wrongLines);
});

const [least] = compilers;

const long = { timeout: 120_000 };

test(`TypeScript ${least!.version}, the least, takes the types and refuses what is wrong`, long, ({ skip }) => {
  const found = installPackage(`typescript@${least!.version}`);
  if ("missing" in found) {
    if (process.env["CI"] === "true") throw new Error(found.missing);
    skip(found.missing);
    return;
  }
  const old = join(found.path, "node_modules", "typescript", "bin", "tsc");
  expect(compile(old, consumers[0]!, "node16", folder)).toBe("");
  for (const resolution of ["node10", "node16"] as const) {
    // Most projects do not check their libraries. Types that cannot be found are `any` there, without a word.
    for (const skipLibCheck of [false, true]) {
      const refused = refusedLines(compile(old, wrong, resolution, folder, skipLibCheck));
      expect(refused, `${resolution} ${skipLibCheck}`).toEqual(wrongLines);
    }
  }
});

test("programs of node-nats-streaming compile, by the least TypeScript and this one", long, ({ skip }) => {
  const found = installPackage(`typescript@${least!.version}`);
  const newest = compilers.at(-1)!;
  const typesOf = [least!, newest].map(({ nodeTypes }) => installPackage(`@types/node@${nodeTypes}`));
  const missing = [found, ...typesOf].flatMap((each) => ("missing" in each ? [each.missing] : []));
  if ("missing" in found || missing.length > 0) {
    if (process.env["CI"] === "true") throw new Error(missing.join());
    skip(missing.join());
    return;
  }
  const old = join(found.path, "node_modules", "typescript", "bin", "tsc");
  for (const [i, [compiler, resolution]] of ([[old, "node10"], [tsc, "nodenext"]] as const).entries()) {
    const types = join(folder, "node_modules", "@types");
    rmSync(types, { force: true });
    symlinkSync(join((typesOf[i] as { path: string }).path, "node_modules", "@types"), types);
    for (const consumer of dropIns) expect(compile(compiler, consumer, resolution, folder), consumer.name).toBe("");
  }
});
