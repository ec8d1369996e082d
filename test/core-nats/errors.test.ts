import { expect, test } from "vitest";
import { NatsError } from "../../src/core-nats/errors.ts";

test("an error of a connection has its name, code, message and cause", () => {
  const cause = new Error("below");
  const error = new NatsError("TLS", "the handshake failed", cause);
  expect(error).toBeInstanceOf(Error);
  expect(error.name).toBe("NatsError");
  expect(String(error)).toBe("NatsError: the handshake failed");
  expect(error.code).toBe("TLS");
  expect(error.cause).toBe(cause);
  expect(error.stack).toContain("errors.test");
});

test("an error without a cause has none, not even an undefined one", () => {
  expect("cause" in new NatsError("CLOSED", "closed")).toBe(false);
});
