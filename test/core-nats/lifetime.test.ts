import { expect, test } from "vitest";
import { Lifetime } from "../../src/core-nats/lifetime.ts";

test("a lifetime ends once, with its first reason", () => {
  const lifetime = new Lifetime();
  expect([lifetime.aborted, lifetime.reason]).toEqual([false, undefined]);
  lifetime.abort("one");
  lifetime.abort("two");
  expect([lifetime.aborted, lifetime.reason]).toEqual([true, "one"]);
});

test("listeners are called in their order, before abort returns, once, and not after they were taken away", () => {
  const lifetime = new Lifetime();
  const calls: string[] = [];
  const away = (): void => void calls.push("away");
  lifetime.addEventListener("abort", () => {
    expect(lifetime.aborted).toBe(true);
    calls.push("first");
  });
  lifetime.addEventListener("abort", away);
  lifetime.addEventListener("abort", () => void calls.push("second"));
  lifetime.removeEventListener("abort", away);
  lifetime.abort();
  lifetime.abort();
  lifetime.addEventListener("abort", away);
  expect(calls).toEqual(["first", "second"]);
});

test.each([1, 3])(
  "a listener that an earlier one takes away while the lifetime ends is not called (%i of them)",
  (others) => {
    const lifetime = new Lifetime();
    const calls: string[] = [];
    const away = Array.from({ length: others }, (_, i) => (): void => void calls.push(`away ${i}`));
    lifetime.addEventListener("abort", () => {
      calls.push("first");
      for (const listener of away) lifetime.removeEventListener("abort", listener);
    });
    for (const listener of away) lifetime.addEventListener("abort", listener);
    lifetime.addEventListener("abort", () => void calls.push("last"));
    lifetime.abort();
    expect(calls).toEqual(["first", "last"]);
  },
);
