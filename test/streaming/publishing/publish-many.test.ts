import { describe, expect, test } from "vitest";
import { publishMany } from "../../../src/streaming/publishing/publish-many.ts";
import type { PubMsg } from "../../../src/testing/messages.ts";
import { Rig } from "../../support/publisher-rig.ts";

describe("publishMany", () => {
  test("draws no faster than acks come in, and resolves with the number stored", async () => {
    const rig = new Rig({ maxPubAcksInFlight: 4 }).register();
    let drawn = 0;
    const counts: number[] = [];
    function* source(): Generator<string> {
      for (; drawn < 100; ) yield String(++drawn);
    }
    const done = publishMany(rig.publisher, "a", source(), { onStored: (stored) => counts.push(stored) });
    let acked = 0;
    while (acked < 100) {
      expect(drawn).toBeLessThanOrEqual(acked + 5);
      const sent = rig.messages();
      expect(sent.length).toBeGreaterThan(0);
      for (const message of sent) {
        rig.ack(message);
        acked++;
      }
      for (let i = 0; i < 20; i++) await Promise.resolve();
    }
    expect(await done).toBe(100);
    expect(counts).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  });

  test("at the first failure draws no more, closes the source, and waits for the rest", async () => {
    const rig = new Rig({ maxPubAcksInFlight: 3 }).register();
    let closed = false;
    let drawn = 0;
    async function* source(): AsyncGenerator<string> {
      try {
        for (;;) yield String(++drawn);
      } finally {
        closed = true;
      }
    }
    let settled = false;
    const done = publishMany(rig.publisher, "a", source()).finally(() => (settled = true));
    done.catch(() => {});
    const sent: (PubMsg & { ackTo: string })[] = [];
    for (let i = 0; i < 50; i++) await Promise.resolve();
    sent.push(...rig.messages());
    expect(sent.length).toBe(3);
    rig.ack(sent[1], "too many channels");
    for (let i = 0; i < 50; i++) await Promise.resolve();
    expect(closed).toBe(true);
    const most = drawn;
    rig.ack(sent[0]);
    expect(settled).toBe(false);
    for (let i = 0; i < 50; i++) await Promise.resolve();
    for (let next = [sent[2], ...rig.messages()]; next.length > 0; next = rig.messages()) {
      for (const message of next) rig.ack(message);
    }
    await expect(done).rejects.toMatchObject({
      code: "REFUSED", message: expect.stringMatching(/^publish a: too many channels; \d+ items are stored/),
    });
    expect(drawn).toBe(most);
  });

  test("does not wait for a source that has nothing to yield when a publish has failed", async () => {
    const rig = new Rig().register();
    let closed = 0;
    const source: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => {
        let drawn = 0;
        return {
          next: () => (drawn++ === 0 ? Promise.resolve({ done: false, value: "1" }) : new Promise(() => {})),
          return: () => {
            closed++;
            return new Promise(() => {});
          },
        };
      },
    };
    const done = publishMany(rig.publisher, "a", source);
    for (let i = 0; i < 20; i++) await Promise.resolve();
    rig.ack(rig.messages()[0], "too many channels");
    await expect(done).rejects.toMatchObject({ code: "REFUSED" });
    expect(closed).toBe(1);
  });

  test("passes on what the source throws, after the rest has settled; an empty source is 0", async () => {
    const rig = new Rig().register();
    function* source(): Generator<string> {
      yield "1";
      throw new RangeError("of the source");
    }
    const done = publishMany(rig.publisher, "a", source());
    for (const message of rig.messages()) rig.ack(message);
    await expect(done).rejects.toMatchObject({
      code: "ABORTED", cause: new RangeError("of the source"), stored: 1, firstUncertain: 1, failed: 0,
    });
    expect(await publishMany(rig.publisher, "a", [])).toBe(0);
  });

  test("a listener that throws, and bad data in the source, end it or nothing", async () => {
    const rig = new Rig().register();
    const done = publishMany(rig.publisher, "a", ["1", "2"], {
      onStored: () => {
        throw new Error("mine");
      },
    });
    for (const message of rig.messages()) rig.ack(message);
    expect(await done).toBe(2);
    // Were it not taken care of, vitest would report the rejection as unhandled.
    const rejecting = publishMany(rig.publisher, "a", ["3"], { onStored: () => Promise.reject(new Error("mine")) });
    for (const message of rig.messages()) rig.ack(message);
    expect(await rejecting).toBe(1);
    await expect(publishMany(rig.publisher, "a", [5 as unknown as string])).rejects.toMatchObject({
      code: "ABORTED", cause: expect.any(TypeError),
    });
    await expect(publishMany(rig.publisher, "a.>", [])).rejects.toBeInstanceOf(TypeError);
    for (const source of [5, "text", new Uint8Array(2), null, {}]) {
      await expect(publishMany(rig.publisher, "a", source as string[])).rejects.toThrow(/^source must be an iterable/);
    }
  });
});
