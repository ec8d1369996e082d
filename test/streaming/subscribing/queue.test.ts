import { expect, test } from "vitest";
import { Queue } from "../../../src/streaming/subscribing/queue.ts";
import { forEachSeed } from "../../support/random.ts";

test("gives back what it took, first in first out, whatever the order of calls", async () => {
  await forEachSeed(20, (random) => {
    const queue = new Queue<number>();
    let model: number[] = [];
    let next = 0;
    const likely = random.fraction();
    for (let step = 0; step < 6_000; step++) {
      if (random.bool(likely)) {
        queue.push(++next);
        model.push(next);
      } else {
        const shifted = queue.shift();
        const expected = model.shift();
        if (shifted !== expected) expect.fail(`${shifted}, not ${expected}`);
      }
      if (random.bool(0.0005)) {
        expect(queue.drain()).toEqual(model);
        model = [];
      }
      if (queue.length !== model.length) expect.fail(`${queue.length} long, not ${model.length}`);
    }
    expect(queue.drain()).toEqual(model);
    expect(queue.length).toBe(0);
  });
});

test("an empty queue gives undefined and stays usable", () => {
  const queue = new Queue<string>();
  expect(queue.shift()).toBeUndefined();
  expect(queue.drain()).toEqual([]);
  queue.push("a");
  expect(queue.length).toBe(1);
  expect(queue.shift()).toBe("a");
  expect(queue.shift()).toBeUndefined();
  expect(queue.length).toBe(0);
});
