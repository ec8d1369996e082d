import { spawn, spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { embedded } from "../support/clients.ts";
import { allBlocks, compile, makePlace, redirected } from "../support/documents.ts";
import { installPackage } from "../support/packages.ts";
import { until } from "../support/until.ts";

/** One that has node:sqlite. */
const NODE = "node@24.21.0";
const ALL = `import { DatabaseSync } from "node:sqlite";
const rows = new DatabaseSync("orders.db").prepare("select sequence, text from orders order by 1").all();
console.log(JSON.stringify(rows));`;

const long = { timeout: 120_000 };
test("the recipe for node:sqlite inserts each message once, and ends at a SIGTERM", long, async ({ skip }) => {
  const node = installPackage(NODE);
  if ("missing" in node) {
    if (process.env["CI"] === "true") throw new Error(node.missing);
    skip(node.missing);
    return;
  }
  const place = makePlace();
  onTestFinished(() => rmSync(place, { recursive: true, force: true }));
  const { code } = allBlocks().find((block) => block.code.includes("node:sqlite"))!;
  expect(compile(place, { "recipe.mts": code })).toBe("");

  const server = await embedded();
  for (let i = 1; i <= 1_200; i++) server.publish("orders", `order ${i}`);
  const options = { cwd: place, env: { ...process.env, ...redirected(place, server.port) } };
  const path = join(node.path, "node_modules", "node", "bin", "node");
  const run = spawn(path, ["recipe.mjs"], { ...options, stdio: ["ignore", "inherit", "inherit"] });
  const ended = new Promise((resolve) => run.once("close", (...how) => resolve(how)));
  onTestFinished(() => void run.kill("SIGKILL"));
  await until("all is acknowledged", () => server.subscriptions("orders")[0]?.pending.length === 0);
  // One that was inserted before, and comes again: its ack was lost.
  server.swallow("Ack");
  server.publish("orders", "order 1201");
  await until("it is acknowledged", async () => {
    await server.advance(30_000);
    return server.subscriptions("orders")[0]?.pending.length === 0;
  });
  run.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
  const { stdout } = spawnSync(path, ["--input-type=module", "--eval", ALL], { cwd: place, encoding: "utf8" });
  const rows = Array.from({ length: 1_201 }, (_, i) => ({ sequence: i + 1, text: `order ${i + 1}` }));
  expect(JSON.parse(stdout)).toEqual(rows);
});
