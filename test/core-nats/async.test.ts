import { describe, expect, test } from "vitest";
import { aborted, anySignal, deferred, onAbort, settled, settledWithin, sleep } from "../../src/core-nats/async.ts";
import { Lifetime } from "../../src/core-nats/lifetime.ts";

/** A lifetime that says how many listen to it. */
class Counted extends Lifetime {
  listeners = 0;

  override addEventListener(type: "abort", listener: () => void): void {
    this.listeners++;
    super.addEventListener(type, listener);
  }

  override removeEventListener(type: "abort", listener: () => void): void {
    this.listeners--;
    super.removeEventListener(type, listener);
  }
}

function two(): [Counted, Counted] {
  return [new Counted(), new Counted()];
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
}

describe("waiting", () => {
  test("a deferred is settled from outside", async () => {
    const yes = deferred<number>();
    yes.resolve(5);
    expect(await yes.promise).toBe(5);
    const no = deferred();
    no.reject(new Error("no"));
    await expect(no.promise).rejects.toThrow("no");
  });

  test("a listener to an end is called once, at once if it has come, and not after it was taken away", () => {
    const lifetime = new Lifetime();
    let calls = 0;
    const release = onAbort(() => calls++, lifetime);
    release();
    onAbort(() => (calls += 10), lifetime);
    lifetime.abort();
    lifetime.abort();
    expect(calls).toBe(10);
    onAbort(() => (calls += 100), lifetime)();
    expect(calls).toBe(110);
  });

  test("a listener to several ends is called once, though all of them come", () => {
    const [one, other] = two();
    let calls = 0;
    onAbort(() => calls++, one, other);
    one.abort();
    other.abort();
    expect(calls).toBe(1);
  });

  test("takes an AbortSignal of the host for an end, too", async () => {
    const controller = new AbortController();
    const wait = aborted(controller.signal);
    controller.abort();
    await wait;
    await aborted(controller.signal);
  });

  test("for one of several ends: is over with the first, and listens to none any more", async () => {
    const [one, other] = two();
    const wait = aborted(one, other);
    expect([one.listeners, other.listeners]).toEqual([1, 1]);
    other.abort();
    await wait;
    expect([one.listeners, other.listeners]).toEqual([0, 0]);
  });

  test("for an end that has come already is over at once, and leaves no listener with the others", async () => {
    const [one, other] = two();
    other.abort();
    await aborted(one, other);
    await aborted(other, one);
    await settled(new Promise(() => {}), other, one);
    await sleep(1_000_000, other, one);
    expect(one.listeners).toBe(0);
  });

  test("for a time is over by itself, or with an end, which leaves no timer behind", async () => {
    const [lifetime] = two();
    await sleep(1, lifetime);
    expect(lifetime.listeners).toBe(0);
    const before = timers();
    const wait = sleep(1_000_000, lifetime);
    expect(timers()).toBe(before + 1);
    lifetime.abort();
    await wait;
    expect(timers()).toBe(before);
  });

  test("for a promise ends when it settles, a signal aborts, or time is up; never rejects", async () => {
    const [lifetime] = two();
    const before = timers();
    for (const promise of [Promise.resolve(1), Promise.reject(new Error("no"))]) {
      expect(await settled(promise, lifetime)).toBe(true);
      expect(await settledWithin(1_000_000, promise, lifetime)).toBe(true);
    }
    expect(await settledWithin(1, new Promise(() => {}), lifetime)).toBe(false);
    expect(lifetime.listeners).toBe(0);
    const never = deferred();
    const waits = [settled(never.promise, lifetime), settledWithin(1_000_000, never.promise, lifetime)];
    lifetime.abort();
    expect(await Promise.all(waits)).toEqual([false, false]);
    expect(timers()).toBe(before);
    // Whoever gave up does not have to see what becomes of it.
    never.reject(new Error("later"));
  });

  test("a lifetime within others ends with the reason of the first of them, and can be let go", () => {
    const [one, other] = two();
    const first = anySignal(one, other);
    other.abort("because");
    expect(first.lifetime.reason).toBe("because");
    const second = anySignal(one);
    second.release();
    expect(one.listeners).toBe(0);
    one.abort();
    expect(second.lifetime.aborted).toBe(false);
    expect(anySignal(one).lifetime.aborted).toBe(true);
  });
});
