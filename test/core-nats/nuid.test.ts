import { expect, test, vi } from "vitest";
import { nuid } from "../../src/core-nats/nuid.ts";
import { Random } from "../support/random.ts";

test("an identifier is 22 characters of 0-9, A-Z and a-z", () => {
  for (let i = 0; i < 1000; i++) expect(nuid()).toMatch(/^[0-9A-Za-z]{22}$/);
});

test("no identifier comes twice", () => {
  const count = 20_000;
  expect(new Set(Array.from({ length: count }, () => nuid())).size).toBe(count);
});

test("every character is equally likely", () => {
  const random = new Random(1);
  const source = vi.spyOn(crypto, "getRandomValues").mockImplementation((into) => {
    into.set(random.bytes(into.length));
    return into;
  });
  const counts = new Map<string, number>();
  for (let i = 0; i < 20_000; i++) {
    for (const character of nuid()) counts.set(character, (counts.get(character) ?? 0) + 1);
  }
  source.mockRestore();
  expect(counts.size).toBe(62);
  // 7 097 of each are expected, give or take 84; the remainder of a division by 62 would be off by 25 %.
  for (const count of counts.values()) expect(Math.abs(count / ((20_000 * 22) / 62) - 1)).toBeLessThan(0.08);
});

test("random bytes that have no character are drawn again", () => {
  let calls = 0;
  const source = vi.spyOn(crypto, "getRandomValues").mockImplementation((bytes) => bytes.fill(calls++ === 0 ? 63 : 1));
  const id = nuid();
  source.mockRestore();
  expect(id).toBe("1".repeat(22));
  expect(calls).toBe(2);
});
