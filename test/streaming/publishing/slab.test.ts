import { expect, test } from "vitest";
import { Slabs } from "../../../src/streaming/publishing/slab.ts";
import type { Slab } from "../../../src/streaming/publishing/slab.ts";
import { forEachSeed } from "../../support/random.ts";

const encoder = new TextEncoder();

interface Kept {
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
  readonly expected: Uint8Array;
}

function hold(slabs: Slabs, data: string | Uint8Array): Kept {
  const expected = typeof data === "string" ? encoder.encode(data) : data.slice();
  slabs.hold(data);
  const { slab, start, end } = slabs;
  return { slab, start, end, expected };
}

function bytesIn(kept: Kept): Uint8Array {
  return kept.slab.bytes.subarray(kept.start, kept.end);
}

/** Quick equality: the matcher's own is slow for large arrays. */
function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && !a.some((byte, i) => byte !== b[i]);
}

test("what is held stays as it was until it is released, whatever else comes and goes", async () => {
  await forEachSeed(5, (random) => {
    const slabs = new Slabs();
    const all: Kept[] = [];
    for (let step = 0; step < 400; step++) {
      if (all.length > 0 && random.bool(0.45)) {
        const [kept] = all.splice(random.int(0, all.length - 1), 1);
        expect(same(bytesIn(kept), kept.expected)).toBe(true);
        slabs.release(kept.slab);
      } else {
        const length = random.bool(0.05) ? random.int(0, 70_000) : random.int(0, 4_000);
        const data = random.bool() ? random.bytes(length) : random.text(length, "abcäß€𝄞\u0000\ud800");
        all.push(hold(slabs, data));
        if (data instanceof Uint8Array) data.fill(0xee);
      }
    }
    for (const kept of all) {
      expect(same(bytesIn(kept), kept.expected)).toBe(true);
      slabs.release(kept.slab);
    }
  });
});

test("text is UTF-8, short or long, and a lone surrogate is U+FFFD", () => {
  const slabs = new Slabs();
  const around = ["€".repeat(47), "x".repeat(48), "x".repeat(49), `${"x".repeat(47)}ä`, "𝄞".repeat(9_000)];
  for (const text of ["", "a", "ä", "\ud800", ...around]) {
    const kept = hold(slabs, text);
    expect(new TextDecoder().decode(bytesIn(kept))).toBe(text.replace("\ud800", "\ufffd"));
  }
});

test("a part of a larger array is held as that part", () => {
  const slabs = new Slabs();
  const whole = Uint8Array.from({ length: 100_000 }, (_, i) => i);
  for (const [from, to] of [[10, 20], [5, 90_000]] as const) {
    const kept = hold(slabs, whole.subarray(from, to));
    expect(same(bytesIn(kept), whole.subarray(from, to))).toBe(true);
  }
});

test("memory is used again once nothing is in it", () => {
  const slabs = new Slabs();
  const seen = new Set<Slab>();
  for (let round = 0; round < 100; round++) {
    const kept = Array.from({ length: 40 }, () => hold(slabs, new Uint8Array(8_000)));
    for (const one of kept) seen.add(one.slab);
    for (const one of kept) slabs.release(one.slab);
  }
  // 40 pieces of 8 000 bytes fill five slabs of 64 KiB.
  expect(seen.size).toBeLessThan(10);
});

test("large data has memory of its own", () => {
  const slabs = new Slabs();
  const small = hold(slabs, "small");
  const large = hold(slabs, new Uint8Array(20_000));
  expect(large.slab).not.toBe(small.slab);
  expect(large.slab.bytes.length).toBe(20_000);
  expect(hold(slabs, new Uint8Array(20_000)).slab).not.toBe(large.slab);
  expect(same(bytesIn(small), small.expected)).toBe(true);
});

test("the memory of large data is used again for data of about that size, once its last user has released it", () => {
  const slabs = new Slabs();
  const { slab } = hold(slabs, new Uint8Array(20_000));
  slab.users++;
  slabs.release(slab);
  expect(hold(slabs, new Uint8Array(20_000)).slab).not.toBe(slab);
  slabs.release(slab);
  const again = hold(slabs, new Uint8Array(18_000).fill(7));
  expect(again.slab).toBe(slab);
  expect(same(bytesIn(again), again.expected)).toBe(true);
  slabs.release(again.slab);
  expect(hold(slabs, new Uint8Array(20_001)).slab).not.toBe(slab);
});

test("of large memory no more than 8 MiB are kept", () => {
  const slabs = new Slabs();
  const kept = Array.from({ length: 20 }, () => hold(slabs, new Uint8Array(1024 * 1024)));
  const first = new Set(kept.map(({ slab }) => slab));
  for (const { slab } of kept) slabs.release(slab);
  const again = Array.from({ length: 20 }, () => hold(slabs, new Uint8Array(1024 * 1024)));
  expect(again.filter(({ slab }) => first.has(slab)).length).toBe(8);
});

test("empty data, held first, leaves nothing that later data would not fit into", () => {
  const slabs = new Slabs();
  const empty = hold(slabs, "");
  const all = Array.from({ length: 20 }, () => hold(slabs, new Uint8Array(10_000).fill(1)));
  slabs.release(empty.slab);
  all.push(...Array.from({ length: 20 }, () => hold(slabs, new Uint8Array(10_000).fill(2))));
  for (const kept of all) expect(same(bytesIn(kept), kept.expected)).toBe(true);
});
