import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { install, pack, root } from "../support/tarball.ts";
import { applies, compile, consumers, refusedLines, wrong, wrongLines } from "./compile.ts";

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

test("the packed types refuse what is wrong, on each line of the consumer that is", () => {
  expect(wrongLines.length).toBeGreaterThan(0);
  expect(refusedLines(compile(tsc, wrong, "nodenext", folder))).toEqual(wrongLines);
});
