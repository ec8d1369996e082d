import { expect, test } from "vitest";
import { Guids } from "../../../src/streaming/publishing/guid.ts";
import { latin1 } from "../../support/bytes.ts";
import { forEachSeed } from "../../support/random.ts";

const encoder = new TextEncoder();

function read(guids: Guids, text: string): number {
  const bytes = encoder.encode(`..${text}..`);
  return guids.read(bytes, 2, bytes.length - 2);
}

test("a number is found in its guid again, up to 2^48 - 1", async () => {
  const guids = new Guids();
  const check = (number: number): void => {
    guids.set(number);
    const text = latin1(guids.bytes);
    expect(text).toMatch(/^[0-9A-Za-z]{10}[0-9a-f]{12}$/);
    expect(text.slice(10)).toBe(number.toString(16).padStart(12, "0"));
    expect(read(guids, text)).toBe(number);
  };
  for (let power = 0; power <= 48; power++) {
    for (const by of [-1, 0, 1]) if (2 ** power + by < 2 ** 48) check(2 ** power + by);
  }
  await forEachSeed(50, (random) => check(random.bits() * 2 ** 16 + random.int(0, 2 ** 16 - 1)));
});

test("no other text is taken for one", () => {
  const guids = new Guids();
  guids.set(0xabc);
  const own = latin1(guids.bytes);
  const strangers = [
    "",
    "__proto__",
    "constructor",
    own.slice(0, -1),
    `${own}0`,
    own.toUpperCase() === own ? own.toLowerCase() : `${own.slice(0, 10)}${own.slice(10).toUpperCase()}`,
    latin1(new Guids().bytes),
    `${own.slice(0, 21)}g`,
    `${own.slice(0, 21)}/`,
    `${own.slice(0, 21)}:`,
    `${own.slice(0, 21)}\``,
    `${own.slice(0, 21)} `,
    `${own.slice(0, 10)}-${own.slice(11)}`,
    `${own[0] === "a" ? "b" : "a"}${own.slice(1)}`,
  ];
  for (const text of strangers) expect(read(guids, text), JSON.stringify(text)).toBe(-1);
});

test("two clients' guids begin differently", () => {
  const starts = new Set(Array.from({ length: 1_000 }, () => latin1(new Guids().bytes).slice(0, 10)));
  expect(starts.size).toBe(1_000);
});
