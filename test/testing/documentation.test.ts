import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

test("the example that docs/testing.md shows is the one that is tested", () => {
  const tested = readFileSync(join(__dirname, "example.test.ts"), "utf8")
    .replace("../../src/index.ts", "nats-streaming-client")
    .replace("../../src/testing/server.ts", "nats-streaming-client/testing");
  expect(readFileSync(join(__dirname, "../../docs/testing.md"), "utf8")).toContain(`\`\`\`ts\n${tested}\`\`\``);
});
