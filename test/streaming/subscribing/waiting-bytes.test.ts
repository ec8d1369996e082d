import { expect, test } from "vitest";
import { WaitingBytes } from "../../../src/streaming/subscribing/waiting-bytes.ts";

test("counts the data of each message, and 256 bytes more, up to the limit", () => {
  const waiting = new WaitingBytes(1_000);
  const data = new Uint8Array(200);
  expect(waiting.add(data)).toBe(true);
  expect(waiting.add(data)).toBe(true);
  expect(waiting.bytes).toBe(912);
  expect(waiting.add(data)).toBe(false);
  expect(waiting.bytes).toBe(912);
  waiting.remove(data);
  expect(waiting.bytes).toBe(456);
  expect(waiting.add(data)).toBe(true);
});

test("takes a single message of any size, and then no other", () => {
  const waiting = new WaitingBytes(1_000);
  const large = new Uint8Array(5_000);
  expect(waiting.add(large)).toBe(true);
  expect(waiting.add(new Uint8Array(0))).toBe(false);
  waiting.remove(large);
  expect(waiting.bytes).toBe(0);
});
