import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { NatsError } from "../../src/core-nats/errors.ts";
import type { NatsErrorCode } from "../../src/core-nats/errors.ts";

test("an error of a connection has its name, code, reason and cause, and says in general what its code means", () => {
  const cause = new Error("below");
  const error = new NatsError("TIMEOUT", "no PONG within 5 ms", cause);
  expect(error).toBeInstanceOf(Error);
  expect(error.name).toBe("NatsError");
  expect(String(error)).toBe("NatsError: no answer in time");
  expect(error.code).toBe("TIMEOUT");
  expect(error.reason).toBe("no PONG within 5 ms");
  expect(error.cause).toBe(cause);
  expect(error.stack).toContain("errors.test");
});

test("what a code means is said in the same words in its description", () => {
  const source = readFileSync(join(__dirname, "../../src/core-nats/errors.ts"), "utf8");
  const rows = [...source.matchAll(/^ \* \| `([A-Z_]+)` \| (.*) \|$/gm)];
  expect(rows.length).toBe(11);
  for (const [, code, meaning] of rows) expect(new NatsError(code as NatsErrorCode, "").message).toBe(meaning);
});

test("an error without a cause has none, not even an undefined one", () => {
  expect("cause" in new NatsError("CLOSED", "closed")).toBe(false);
});
