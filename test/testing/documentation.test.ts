import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(__dirname, "../..");

test("the example that the documentation shows is the one that is tested", () => {
  const tested = readFileSync(join(__dirname, "example.test.ts"), "utf8")
    .replace("../../src/index.ts", "nats-streaming-client")
    .replace("../../src/testing/server.ts", "nats-streaming-client/testing");
  const pages = ["README.md", "docs/testing.md"].map((page) => join(root, page)).filter((page) => existsSync(page));
  const shown = pages.map((page) => readFileSync(page, "utf8")).filter((text) => text.includes("StreamingServer.start"));
  expect(shown.length).toBeGreaterThan(0);
  for (const text of shown) expect(text).toContain(`\`\`\`ts\n${tested}\`\`\``);
});
