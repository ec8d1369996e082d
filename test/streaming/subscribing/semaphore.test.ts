import { expect, test } from "vitest";
import { Semaphore } from "../../../src/streaming/subscribing/semaphore.ts";

/** Acquires the semaphore and notes when it has. */
async function acquire(semaphore: Semaphore, log: string[], name: string, ...signals: AbortSignal[]): Promise<boolean> {
  const acquired = await semaphore.acquire(...signals);
  log.push(acquired ? name : `not ${name}`);
  return acquired;
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

test("lets a limited number in at once, the rest in their order", async () => {
  const semaphore = new Semaphore(2);
  const log: string[] = [];
  for (const name of ["a", "b", "c", "d", "e"]) void acquire(semaphore, log, name);
  await settle();
  expect(log).toEqual(["a", "b"]);
  semaphore.release();
  await settle();
  expect(log).toEqual(["a", "b", "c"]);
  semaphore.release();
  semaphore.release();
  await settle();
  expect(log).toEqual(["a", "b", "c", "d", "e"]);
});

test("one that stops waiting takes nobody's turn", async () => {
  const semaphore = new Semaphore(1);
  const log: string[] = [];
  const leaving = new AbortController();
  void acquire(semaphore, log, "a");
  void acquire(semaphore, log, "b", leaving.signal);
  void acquire(semaphore, log, "c");
  await settle();
  leaving.abort();
  await settle();
  expect(log).toEqual(["a", "not b"]);
  semaphore.release();
  await settle();
  expect(log).toEqual(["a", "not b", "c"]);
  semaphore.release();
  await acquire(semaphore, log, "d");
  expect(log).toEqual(["a", "not b", "c", "d"]);
});

test("never lets more in, even when one leaves that waited", async () => {
  const semaphore = new Semaphore(1);
  const log: string[] = [];
  const leaving = new AbortController();
  void acquire(semaphore, log, "a");
  void acquire(semaphore, log, "left", leaving.signal).then((acquired) => acquired && semaphore.release());
  void acquire(semaphore, log, "c");
  await settle();
  leaving.abort();
  await settle();
  // a still holds it.
  expect(log).not.toContain("c");
  semaphore.release();
  await settle();
  expect(log).toContain("c");
});
