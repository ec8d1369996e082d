import { describe, expect, test } from "vitest";
import type { Message, SubscribeOptions } from "../../../src/index.ts";
import { StartPosition } from "../../../src/pb/control.ts";
import { range } from "../../support/clients.ts";
import { msgProto } from "../../support/fake-streaming.ts";
import { Forgetful } from "../../support/forgetful.ts";
import { until } from "../../support/until.ts";

const kinds: [string, SubscribeOptions][] = [["plain", {}], ["durable", { durable: "d" }]];

describe.concurrent.each(kinds)("what the server of a %s subscription has forgotten", (_, options) => {
  test("and the channel still has is handled after all, as redelivered, without a gap", () =>
    Forgetful.run(options, async (server) => {
      server.deliver(1, 2);
      for (const sequence of [3, 4]) server.stored.add(sequence);
      server.deliver(5, 6);
      await server.received.until(6);
      expect(server.received.sequences).toEqual([1, 2, 5, 6, 3, 4]);
      const redelivered = server.received.all.filter((message) => message.redelivered);
      expect(redelivered.map(({ sequence }) => sequence)).toEqual([3, 4]);
      await until("all is acknowledged", () => server.acked.length === 6);
      expect(server.asks).toHaveLength(1);
      // The subscriptions of peeks are closed again.
      await until("each peek is closed", () => server.fake.leaves.length === server.peeks.length);
      expect(server.statuses.of("gap")).toEqual([]);
    }));

  test("and the channel has no more is reported as a gap, and that alone", () =>
    Forgetful.run(options, async (server) => {
      server.deliver(1);
      for (const sequence of [3, 6]) server.stored.add(sequence);
      server.deliver(8);
      await server.statuses.until("gap", 3);
      expect(server.received.sequences).toEqual([1, 8, 3, 6]);
      expect(server.statuses.of("gap").map(({ from, to }) => [from, to])).toEqual([[2, 2], [4, 5], [7, 7]]);
    }));

  test("is handled one at a time, in order, and once, where one is handled at a time", () => {
    let running = 0;
    const slow = async (message: Message): Promise<void> => {
      expect(++running).toBe(1);
      // The server remembers, too.
      if (message.sequence === 2) server!.fake.deliver(msgProto({ sequence: 2n, redelivered: true }), server!.main);
      await new Promise<void>((resolve) => setTimeout(resolve, 5));
      running--;
    };
    let server: Forgetful | undefined;
    return Forgetful.run({ ...options, concurrency: 1, maxInFlight: 2 }, async (started) => {
      server = started;
      server.deliver(1);
      for (const sequence of range(2, 6)) server.stored.add(sequence);
      server.deliver(7);
      await server.received.until(7);
      expect(server.received.sequences).toEqual(range(1, 7));
      await until("all is acknowledged", () => new Set(server!.acked).size === 7);
    }, slow);
  });

  test("after a handler failed, and does not send again, is handled again", () => {
    let failures = 0;
    return Forgetful.run(options, async (server) => {
      server.deliver(1, 2);
      await server.received.until(3);
      expect(server.received.sequences).toEqual([1, 2, 2]);
      await until("all is acknowledged", () => server.acked.length === 2);
    }, ({ sequence }) => {
      if (sequence === 2 && failures++ === 0) throw new Error("once");
    });
  });
});

test.concurrent("a message that failed and is gone holds back those behind it no longer than it may come again", () =>
  Forgetful.run({ concurrency: 1, maxInFlight: 10 }, async (server) => {
    server.deliver(1, 2, 3);
    server.stored.delete(2);
    await server.received.until(3);
    expect(server.received.sequences).toEqual([1, 2, 3]);
    await server.statuses.until("gap");
    expect(server.statuses.of("gap")).toMatchObject([{ from: 2, to: 2 }]);
  }, ({ sequence }) => {
    if (sequence === 2) throw new Error("poison");
  }),
);

describe.concurrent("a silent subscription", () => {
  test.each(kinds)("is requested again, once, when after an outage the channel has more messages: %s", (_, options) =>
    Forgetful.run(options, async (server) => {
      server.deliver(1, 2);
      await server.received.until(2);
      await server.cut();
      for (const sequence of [3, 4]) server.stored.add(sequence);
      const [first, again] = (await server.statuses.until("subscribed", 3)).slice(1);
      expect(first).toMatchObject({ resumed: true });
      expect(first!.reason).toBeUndefined();
      expect(again!.reason).toBe("nothing came for 5 s, and the channel has messages up to 4");
      expect(server.asks).toHaveLength(2);
      // A plain subscription names the start. The server knows the position of a durable.
      const plain = { startPosition: StartPosition.SequenceStart, startSequence: 2n };
      if (options.durable === undefined) expect(server.asks[1]).toMatchObject(plain);
      else expect(server.received.sequences).toEqual([1, 2, 3, 4]);
    }));

  test("of a durable whose earlier process may have had all is left alone", () =>
    Forgetful.run({ durable: "d" }, async (server) => {
      server.stored.add(1);
      await server.cut();
      const pings = server.fake.pings.length;
      await until("many pings later", () => server.fake.pings.length > pings + 7);
      expect(server.peeks).toEqual([]);
      expect(server.asks).toHaveLength(1);
    }));

  test("of a group is requested again once, though other members may have had the missing messages", () =>
    Forgetful.run({ queue: "q" }, async (server) => {
      server.deliver(1);
      await server.received.until(1);
      await server.cut();
      server.stored.add(2);
      await until("it is asked for again", () => server.asks.length === 2);
      const pings = server.fake.pings.length;
      await until("many pings later", () => server.fake.pings.length > pings + 7);
      expect(server.asks).toHaveLength(2);
      expect(server.received.sequences).toEqual([1]);
    }));
});

describe.concurrent("a gap", () => {
  test.each(["d", undefined])("is nothing that an earlier process may have acknowledged (durable: %s)", (durable) =>
    Forgetful.run({ durable }, async (server) => {
      // Of 3 to 5 the earlier process acknowledged two. The first new message is 6.
      server.fake.deliver(msgProto({ sequence: 3n, redelivered: true }), server.main);
      server.deliver(6, 9);
      const ofThisProcess = { from: 7, to: 8 };
      const expected = durable === undefined ? [{ from: 4, to: 5 }, ofThisProcess] : [ofThisProcess];
      await server.statuses.until("gap", expected.length);
      expect(server.statuses.of("gap")).toMatchObject(expected);
    }));
});
