import { expect, test } from "vitest";
import { unique } from "./peer.ts";
import { describeServers } from "./servers.ts";

const durable = { durableName: "d" };

describeServers("durables", {}, (server) => {
  test("opened again, one begins with what was not acknowledged, whatever maxInFlight is, and goes on", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "1", "2", "3", "4");
    const first = await peer.subscribe(channel, { ...durable, maxInFlight: 3 });
    expect(await peer.taken(first)).toEqual(["1", "2", "3"]);
    peer.ack(first, 1);
    expect(await peer.taken(first)).toEqual(["4"]);
    expect(await peer.end("subclose", first)).toBe("");
    await peer.publishAll(channel, "5");

    // The start position counts for nothing; inbox, ack inbox and maxInFlight are the new ones.
    const second = await peer.subscribe(channel, { ...durable, maxInFlight: 1, startPosition: 0 });
    expect(second.ackInbox).not.toBe(first.ackInbox);
    expect(await peer.taken(second)).toEqual(["2r1", "3r1", "4r1"]);
    peer.ack(first, 2);
    peer.ack(second, 3);
    expect(await peer.taken(second)).toEqual([]);
    // Received through the first, acknowledged through the second.
    peer.ack(second, 2, 4);
    expect(await peer.taken(second)).toEqual(["5"]);
    expect(await peer.end("subclose", second)).toBe("");
    const third = await peer.subscribe(channel, durable);
    expect(await peer.taken(third)).toEqual(["5r1"]);
    expect(await peer.end("subclose", third)).toBe("");
    expect(await peer.taken(await peer.subscribe(channel, durable))).toEqual(["5r2"]);
  });

  test("the end of its client closes one too", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "1", "2");
    const first = await peer.subscribe(channel, durable);
    expect(await peer.take(first, 2)).toEqual(["1", "2"]);
    peer.ack(first, 1);
    expect(await peer.close()).toBe("");
    expect((await peer.connect()).error).toBe("");
    expect(await peer.taken(await peer.subscribe(channel, durable))).toEqual(["2r1"]);
  });

  test("unsubscribed, one is forgotten", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "1", "2");
    const first = await peer.subscribe(channel, durable);
    expect(await peer.take(first, 2)).toEqual(["1", "2"]);
    expect(await peer.end("unsub", first)).toBe("");
    expect(await peer.taken(await peer.subscribe(channel, { ...durable, startPosition: 1 }))).toEqual(["2"]);
  });

  test("while it is open it cannot be opened again, and while it is closed it cannot be unsubscribed", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    const first = await peer.subscribe(channel, durable);
    expect((await peer.subscribe(channel, durable)).error).toBe("stan: duplicate durable registration");
    expect(await peer.end("subclose", first)).toBe("");
    expect(await peer.end("unsub", first, durable)).toBe("stan: invalid subscription");
    expect(await peer.end("unsub", { ...first, ackInbox: "" }, durable)).toBe("stan: invalid subscription");
  });

  test("the same name of another client, in another channel, or with a queue, is another one", async () => {
    const [peer, other] = [await server.client(), await server.client()];
    const [channel, elsewhere] = [unique("channel"), unique("channel")];
    await peer.publishAll(channel, "1");
    await peer.publishAll(elsewhere, "1");
    expect(await peer.taken(await peer.subscribe(channel, durable))).toEqual(["1"]);
    expect(await peer.taken(await peer.subscribe(elsewhere, durable))).toEqual(["1"]);
    expect(await peer.taken(await peer.subscribe(channel, { ...durable, qGroup: "q" }))).toEqual(["1"]);
    expect(await other.taken(await other.subscribe(channel, durable))).toEqual(["1"]);
  });

  test("the ackWait of one that is opened again is the new one", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "1");
    const first = await peer.subscribe(channel, { ...durable, ackWaitInSecs: 1 });
    expect(await peer.taken(first)).toEqual(["1"]);
    expect(await peer.end("subclose", first)).toBe("");
    const second = await peer.subscribe(channel, { ...durable, ackWaitInSecs: 30 });
    expect(await peer.taken(second)).toEqual(["1r1"]);
    await server.pass(1_200);
    expect(await peer.taken(second)).toEqual([]);
  });

  server.timed("by the clock", () => {
    test("what cannot be sent, for want of an inbox, is tried again every ackWait and counted", async () => {
      const peer = await server.client();
      const channel = unique("channel");
      await peer.publishAll(channel, "1");
      const first = await peer.subscribe(channel, { ...durable, ackWaitInSecs: 1 });
      expect(await peer.taken(first)).toEqual(["1"]);
      expect(await peer.end("subclose", first)).toBe("");
      const second = await peer.subscribe(channel, { ...durable, inbox: "", ackWaitInSecs: 1 });
      await server.pass(1_500);
      expect(await peer.end("subclose", second)).toBe("");
      expect(await peer.taken(await peer.subscribe(channel, durable))).toEqual(["1r3"]);
    });
  });
});
