import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { binaries } from "./binaries.ts";

const root = join(__dirname, "..", "..");

/** Runs tests that need a real server, in a vitest of their own that finds none. */
function runWithoutServers(CI: string): { status: number | null; stdout: string } {
  const nowhere = Object.values(binaries).map(({ variable }) => [variable, "/nowhere/server"]);
  const env = { ...process.env, ...Object.fromEntries(nowhere), CI, NO_COLOR: "1" };
  const args = [join(root, "node_modules", "vitest", "vitest.mjs"), "run", "test/support/server.test.ts"];
  return spawnSync(process.execPath, args, { cwd: root, env, encoding: "utf8", timeout: 60_000 });
}

test("without servers, the tests that need them are skipped and counted, with the reason", { timeout: 90_000 }, () => {
  const { status, stdout } = runWithoutServers("");
  expect(stdout).toMatch(
    /^SKIPPED \d+: nats-streaming-server 0\.25\.6: NATS_STREAMING_SERVER names \/nowhere\/server, but .*ENOENT/m,
  );
  expect(stdout).toMatch(/\n0 passed, 0 failed, [1-9]\d* skipped\n$/);
  expect(status).toBe(0);
});

test("without servers and with CI=true, the run fails", { timeout: 90_000 }, () => {
  const { status, stdout } = runWithoutServers("true");
  expect(stdout).toMatch(/\n0 passed, [1-9]\d* failed\n$/);
  expect(status).toBe(1);
});
