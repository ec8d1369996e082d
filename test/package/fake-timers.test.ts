import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { installPackage } from "../support/packages.ts";
import { forSuite } from "../support/suite.ts";
import { install, pack, root } from "../support/tarball.ts";

const JEST = "jest@30.5.2";

/** A user's project: the packed library, and the tests of a consumer. */
const project = forSuite(async () => {
  const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-fake-timers-"));
  install(pack(folder), folder);
  cpSync(join(root, "test", "package", "fake-timers"), folder, { recursive: true });
  return {
    folder,
    async stop() {
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    },
  };
});

/** Runs a program of another package in the project. Returns whether it went well, and all that it printed. */
function run(args: readonly string[], env: Record<string, string> = {}): { status: number | null; output: string } {
  const { PATH, HOME } = process.env;
  const options = { cwd: project().folder, env: { PATH, HOME, NO_COLOR: "1", ...env }, timeout: 120_000 };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", ...options });
  return { status, output: stdout + stderr };
}

test(
  "fake timers of vitest, all by default and each alone, change nothing for client and server",
  { timeout: 180_000 },
  () => {
    const config = { test: { globals: true, include: ["in-vitest.test.mjs"], testTimeout: 10_000 } };
    writeFileSync(join(project().folder, "vitest.config.mjs"), `export default ${JSON.stringify(config)};\n`);
    const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
    const { status, output } = run([vitest, "run", "--reporter=verbose"]);
    expect(output).toContain("11 passed");
    expect(status).toBe(0);
  },
);

for (const [how, globally, cases] of [
  ["all by default and each alone", false, 12],
  ["all from before the library is loaded", true, 1],
] as const) {
  test(`fake timers of jest, ${how}, change nothing for client and server`, { timeout: 360_000 }, ({ skip }) => {
    const jest = installPackage(JEST);
    if ("missing" in jest) {
      if (process.env["CI"] === "true") throw new Error(jest.missing);
      skip(jest.missing);
      return;
    }
    const fakeTimers = { enableGlobally: globally };
    const config = {
      rootDir: ".",
      testMatch: ["<rootDir>/in-jest.test.cjs"],
      transform: {},
      testTimeout: 10_000,
      fakeTimers,
    };
    const program = join(jest.path, "node_modules", "jest", "bin", "jest.js");
    const { status, output } = run([program, "--runInBand", "--config", JSON.stringify(config)], {
      GLOBALLY: String(globally),
    });
    expect(output).toContain(`${cases} passed`);
    expect(status).toBe(0);
  });
}
