import { describe, expect, test } from "vitest";
import type { NatsError } from "../../../src/core-nats/errors.ts";
import { InFlight } from "../../../src/streaming/publishing/in-flight.ts";
import type { PendingPublish } from "../../../src/streaming/publishing/pending-publish.ts";
import { pending } from "../../support/publisher-rig.ts";

/** Publishes in flight on one connection. The test answers its PINGs. */
class Flight {
  readonly inFlight = new InFlight();
  readonly pongs: ((error?: NatsError) => void)[] = [];

  add(size = 1, channel?: string): PendingPublish {
    const publish = pending("x", channel === undefined ? {} : { channel });
    this.inFlight.add(publish, size, { ping: (pong) => this.pongs.push(pong) });
    return publish;
  }
}

describe("a number", () => {
  test("finds its publish until that is removed, in any order", () => {
    const flight = new Flight();
    const all = Array.from({ length: 500 }, (_, i) => flight.add(i));
    expect(flight.inFlight).toMatchObject({ count: 500, bytes: (499 * 500) / 2 });
    for (const publish of [...all].reverse()) {
      expect(flight.inFlight.find(publish.number)).toBe(publish);
      flight.inFlight.remove(publish);
      expect(flight.inFlight.find(publish.number)).toBeUndefined();
    }
    expect(flight.inFlight).toMatchObject({ count: 0, bytes: 0 });
  });

  test("that is late by any power of two finds nothing, and never the publish in its place", () => {
    const flight = new Flight();
    const late = [flight.add(), flight.add(), flight.add()];
    for (const publish of late) flight.inFlight.remove(publish);
    for (let number = 4; number <= 1_100; number++) {
      const publish = flight.add();
      for (const { number } of late) expect(flight.inFlight.find(number)).toBeUndefined();
      expect(flight.inFlight.find(publish.number)).toBe(publish);
      flight.inFlight.remove(publish);
    }
    for (const number of [-1, 0, 2 ** 48 - 1]) expect(flight.inFlight.find(number)).toBeUndefined();
  });

  test("still finds its publish after thousands of others, and is not used again", () => {
    const flight = new Flight();
    const early = Array.from({ length: 5_000 }, () => flight.add());
    const lost = early[2_345]!;
    for (const publish of early) if (publish !== lost) flight.inFlight.remove(publish);
    const numbers = new Set(early.map(({ number }) => number));
    for (let round = 0; round < 20; round++) {
      const more = Array.from({ length: 1_000 }, () => flight.add());
      for (const publish of more) {
        expect(flight.inFlight.find(publish.number)).toBe(publish);
        numbers.add(publish.number);
        flight.inFlight.remove(publish);
      }
    }
    expect(numbers.size).toBe(25_000);
    expect(flight.inFlight.find(lost.number)).toBe(lost);
    expect(flight.inFlight.count).toBe(1);
  });
});

describe("a token", () => {
  test("finds its publish in any lap, over 256 and over 65 536, as long as the lap's PONG has not come", () => {
    const numbers = [1, 2, 255, 256, 257, 511, 512, 513, 4_096, 65_535, 65_536, 65_537, 65_792];
    const flight = new Flight();
    const all = Array.from({ length: 65_800 }, () => flight.add());
    const found: number[] = [];
    for (const { number } of all) {
      // The answers come in the order of the requests: PONGs, and 503s.
      if (number % 256 === 0) flight.pongs.shift()!();
      if (!numbers.includes(number)) continue;
      found.push(flight.inFlight.ofToken(flight.inFlight.token(number))!.number);
    }
    expect(found).toEqual(numbers);
    expect(flight.pongs).toEqual([]);
  });

  test("finds no publish of a lap that has begun on a connection that is lost", () => {
    for (const before of [10, 255, 256, 300, 511, 512]) {
      const flight = new Flight();
      for (const publish of Array.from({ length: before }, () => flight.add())) flight.inFlight.remove(publish);
      for (const pong of flight.pongs.splice(0)) pong({} as NatsError);
      flight.inFlight.begin();
      for (let i = 0; i < 300; i++) {
        const publish = flight.add();
        for (const pong of flight.pongs.splice(0)) pong();
        expect(flight.inFlight.ofToken(flight.inFlight.token(publish.number))).toBe(publish);
      }
    }
  });
});

test("a denial is for the latest publish that matches, in the lap that was answered last", () => {
  const flight = new Flight();
  const all = Array.from({ length: 300 }, (_, i) => flight.add(1, i % 2 === 0 ? "a" : "secret"));
  const isSecret = ({ template }: PendingPublish): boolean => template.subject === "secret";
  expect(flight.inFlight.latest(isSecret)).toBe(all[253]);
  flight.pongs.shift()!();
  expect(flight.inFlight.latest(isSecret)).toBe(all[299]);
  expect(flight.inFlight.latest(() => false)).toBeUndefined();
});

test("a connection does not begin while publishes of another one are in flight", () => {
  const flight = new Flight();
  const publish = flight.add();
  expect(() => flight.inFlight.begin()).toThrow("a lost connection has publishes in flight");
  flight.inFlight.remove(publish);
  flight.inFlight.begin();
});
