import { expect, test } from "vitest";
import { Slots } from "../../../src/streaming/subscribing/slots.ts";

/** Takes a slot and notes when it is there. */
function taker(slots: Slots, log: string[], name: string, ...signals: AbortSignal[]): Promise<void> {
  return slots.take(...signals).then(() => void log.push(name));
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

test("lets so many in at once, the rest in their order", async () => {
  const slots = new Slots(2);
  const log: string[] = [];
  for (const name of ["a", "b", "c", "d", "e"]) void taker(slots, log, name);
  await settle();
  expect(log).toEqual(["a", "b"]);
  slots.release();
  await settle();
  expect(log).toEqual(["a", "b", "c"]);
  slots.release();
  slots.release();
  await settle();
  expect(log).toEqual(["a", "b", "c", "d", "e"]);
});

test("one that stops waiting takes nobody's turn", async () => {
  const slots = new Slots(1);
  const log: string[] = [];
  const leaving = new AbortController();
  void taker(slots, log, "a");
  void taker(slots, log, "b", leaving.signal);
  void taker(slots, log, "c");
  await settle();
  leaving.abort();
  await settle();
  expect(log).toEqual(["a", "b"]);
  // b has nothing, and releases all the same; then a.
  slots.release();
  await settle();
  slots.release();
  await settle();
  expect(log).toEqual(["a", "b", "c"]);
  slots.release();
  await taker(slots, log, "d");
  expect(log).toEqual(["a", "b", "c", "d"]);
});

test("never more than so many hold a slot, even when one leaves that waited", async () => {
  const slots = new Slots(1);
  const log: string[] = [];
  const leaving = new AbortController();
  void taker(slots, log, "a");
  void taker(slots, log, "left", leaving.signal).then(() => slots.release());
  void taker(slots, log, "c");
  await settle();
  leaving.abort();
  await settle();
  // a still holds the only slot.
  expect(log).not.toContain("c");
  slots.release();
  await settle();
  expect(log).toContain("c");
});
