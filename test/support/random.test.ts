import { expect, test } from "vitest";
import { forEachSeed, Random } from "./random.ts";

test("the same seed gives the same numbers, another seed others", () => {
  const draw = (seed: number) => Array.from({ length: 5 }, () => new Random(seed).bits() + new Random(seed).int(0, 9));
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
  // As published for mulberry32.
  expect(new Random(0).bits()).toBe(1144304738);
});

test("whole numbers reach both ends and no further", () => {
  const random = new Random(1);
  const drawn = new Set(Array.from({ length: 1_000 }, () => random.int(-2, 2)));
  expect([...drawn].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
});

test("pieces are the bytes, in order", () => {
  const random = new Random(2);
  const bytes = random.bytes(500);
  expect(random.pieces(bytes, 7).flatMap((piece) => [...piece])).toEqual([...bytes]);
});

test("a failure names its seed", async () => {
  const failing = forEachSeed(5, (random) => {
    if (random.seed === 3) throw new Error("no");
  });
  await expect(failing).rejects.toThrow("seed 3");
});
