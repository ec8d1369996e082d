import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

test("the example that the README shows is the one that is tested", () => {
  const tested = readFileSync(join(__dirname, "example.test.ts"), "utf8")
    .replace("../../src/index.ts", "nats-streaming-client")
    .replace("../../src/testing/server.ts", "nats-streaming-client/testing");
  expect(readFileSync(join(__dirname, "../../README.md"), "utf8")).toContain(`\`\`\`ts\n${tested}\`\`\``);
});
