import { expect, test, vi } from "vitest";
import { AbortSignals } from "../../../src/streaming/publishing/abort-signals.ts";
import type { PendingPublish } from "../../../src/streaming/publishing/pending-publish.ts";
import { pending } from "../../support/publisher-rig.ts";

/** Signals that remove what is aborted, as the publisher does, and what was aborted for which reason. */
function start(): { signals: AbortSignals; aborted: [PendingPublish, unknown][] } {
  const aborted: [PendingPublish, unknown][] = [];
  const signals = new AbortSignals((publishes, reason) => {
    for (const publish of publishes) {
      aborted.push([publish, reason]);
      signals.remove(publish);
    }
  });
  return { signals, aborted };
}

test("a signal that is shared by many publishes is listened to once, and let go with the last of them", () => {
  const { signals } = start();
  const { signal } = new AbortController();
  const add = vi.spyOn(signal, "addEventListener");
  const remove = vi.spyOn(signal, "removeEventListener");
  const publishes = Array.from({ length: 10 }, () => pending());
  for (const publish of publishes) signals.add(publish, signal);
  expect(add).toHaveBeenCalledTimes(1);
  for (const publish of publishes) {
    expect(remove).not.toHaveBeenCalled();
    signals.remove(publish);
  }
  expect(remove).toHaveBeenCalledTimes(1);
});

test("a signal aborts all its publishes that are not removed, and no other, with its reason", () => {
  const { signals, aborted } = start();
  const [one, two] = [new AbortController(), new AbortController()];
  const publishes = Array.from({ length: 4 }, () => pending());
  for (const publish of publishes) signals.add(publish, one.signal);
  const other = pending();
  signals.add(other, two.signal);
  signals.remove(publishes[1]!);
  one.abort("why");
  expect(aborted.map(([publish]) => publishes.indexOf(publish))).toEqual([0, 2, 3]);
  expect(aborted.every(([, reason]) => reason === "why")).toBe(true);
  two.abort("because");
  expect(aborted.slice(3)).toEqual([[other, "because"]]);
});
