import { describe, expect, test } from "vitest";
import type { Delivery } from "../../src/core-nats/delivery.ts";
import { Parser } from "../../src/core-nats/parser.ts";
import { binary } from "../support/parsing.ts";

const MIB = 1024 * 1024;
const utf8 = new TextEncoder();

describe("the memory of a parser", () => {
  /** Runs, and tells the sizes of the arrays allocated meanwhile and how many bytes were copied into arrays. */
  function watch(run: (allocated: number[]) => void): { allocated: number[]; copied: number } {
    const allocated: number[] = [];
    let copied = 0;
    const Real = globalThis.Uint8Array;
    globalThis.Uint8Array = new Proxy(Real, {
      construct(target, args: [unknown]) {
        if (typeof args[0] === "number") allocated.push(args[0]);
        return Reflect.construct(target, args) as object;
      },
    });
    const set = Real.prototype.set;
    Real.prototype.set = function (source, offset) {
      copied += source.length;
      set.call(this, source, offset);
    };
    try {
      run(allocated);
    } finally {
      globalThis.Uint8Array = Real;
      delete (Real.prototype as Partial<Uint8Array>).set;
    }
    return { allocated, copied };
  }

  function parserCounting(): { parser: Parser; count: () => number; last: () => Delivery | undefined } {
    let count = 0;
    let last: Delivery | undefined;
    const counting = (): void => void count++;
    const parser = new Parser({
      info: counting,
      message: (delivery) => {
        last = delivery;
        count++;
      },
      ping: counting,
      pong: counting,
      ok: counting,
      error: counting,
    });
    return { parser, count: () => count, last: () => last };
  }

  test("is not taken because a line claims a size", () => {
    const { parser } = parserCounting();
    const start = binary(`MSG a 1 ${MIB}\r\n0123456789`);
    const { allocated } = watch(() => parser.parse(start));
    expect(Math.max(...allocated)).toBeLessThanOrEqual(512);
  });

  test.each(["MSG", "INFO"])("for a %s of 1 MiB that comes byte by byte grows with it, at linear cost", (verb) => {
    const { parser, count } = parserCounting();
    const bytes = new Uint8Array(verb === "MSG" ? MIB + 19 : MIB).fill(0x78);
    bytes.set(utf8.encode(verb === "MSG" ? `MSG a 1 ${MIB}\r\n` : "INFO "));
    bytes.set(utf8.encode("\r\n"), bytes.length - 2);
    let mostAtOnce = 0;
    const { allocated, copied } = watch((soFar) => {
      let seen = 0;
      for (let at = 0; at < bytes.length; at++) {
        parser.parse(bytes.subarray(at, at + 1));
        for (; seen < soFar.length; seen++) {
          // Never more than twice what has come, but for the least size.
          if (soFar[seen] > Math.max(2 * (at + 1), 512)) expect.fail(`${soFar[seen]} bytes taken for ${at + 1}`);
          mostAtOnce = Math.max(mostAtOnce, soFar[seen] + (soFar[seen - 1] ?? 0));
        }
      }
    });
    expect(count()).toBe(1);
    expect(mostAtOnce).toBeLessThanOrEqual(2 * bytes.length);
    expect(copied).toBeLessThanOrEqual(3 * bytes.length + 1024);
    expect(allocated.length).toBeLessThan(20);
  });

  test("of a large message is let go, that of small ones is used again", () => {
    const { parser, count, last } = parserCounting();
    const send = (size: number): void => {
      parser.parse(utf8.encode(`MSG a 1 ${size}\r\n`));
      parser.parse(new Uint8Array(size));
      parser.parse(utf8.encode("\r\n"));
    };
    send(1000);
    const ofReader = 1;
    expect(watch(() => send(1000)).allocated.length - ofReader).toBe(0);
    send(MIB);
    expect(last()?.bytes).toHaveLength(0);
    expect(watch(() => send(MIB)).allocated.length - ofReader).toBeGreaterThan(0);
    expect(count()).toBe(4);
  });
});
