import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { allBlocks, compileBlocks, makePlace } from "../support/documents.ts";
import { root } from "../support/tarball.ts";

test("the tests in docs/testing.md pass as they stand", { timeout: 60_000 }, () => {
  const place = makePlace();
  onTestFinished(() => rmSync(place, { recursive: true, force: true }));
  const ofTesting = allBlocks().filter(({ where }) => where.startsWith("docs/testing.md:"));
  const blocks = ofTesting.filter(({ code }) => code.includes("\ntest("));
  expect(blocks.length).toBe(2);
  expect(compileBlocks(place, blocks)).toBe("");
  const config = { test: { include: ["block-*.mjs"] } };
  writeFileSync(join(place, "vitest.config.mjs"), `export default ${JSON.stringify(config)};\n`);
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const { PATH, HOME } = process.env;
  const options = { cwd: place, encoding: "utf8", env: { PATH, HOME, NO_COLOR: "1" }, timeout: 60_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [vitest, "run"], options);
  expect(stdout + stderr).toContain("2 passed (2)");
  expect(status).toBe(0);
});
