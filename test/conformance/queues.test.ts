import { expect, test } from "vitest";
import { unique } from "./peer.ts";
import { describeServers } from "./servers.ts";

const queue = { qGroup: "q" };
const durable = { qGroup: "q", durableName: "d" };

describeServers("queue groups", {}, (server) => {
  test("each message goes to one member, by turns, as far as each may be sent more", async () => {
    const [one, two] = [await server.client(), await server.client()];
    const channel = unique("channel");
    const first = await one.subscribe(channel, { ...queue, maxInFlight: 1 });
    const second = await two.subscribe(channel, { ...queue, maxInFlight: 3 });
    await one.publishAll(channel, "1", "2", "3", "4", "5", "6");
    const taken = [await one.taken(first), await two.taken(second)];
    expect(taken.map((all) => all.length)).toEqual([1, 3]);
    expect(taken.flat().sort()).toEqual(["1", "2", "3", "4"]);
    // An ack through any member's inbox is as good as through that of the one who got it.
    two.ack(second, Number(taken[0]![0]));
    one.ackTo(second.ackInbox, channel, Number(taken[1]![0]));
    const rest = [await one.taken(first), await two.taken(second)];
    expect(rest.flat().length).toBeGreaterThan(0);
  });

  test("a member that joins gets no history; the start counts for the first one", async () => {
    const [one, two] = [await server.client(), await server.client()];
    const channel = unique("channel");
    await one.publishAll(channel, "1", "2");
    const first = await one.subscribe(channel, { ...queue, maxInFlight: 1 });
    expect(await one.taken(first)).toEqual(["1"]);
    const second = await two.subscribe(channel, queue);
    const start = await two.taken(second);
    await one.publishAll(channel, "3");
    expect([...start, ...(await two.taken(second))]).toEqual(["2", "3"]);
  });

  test("what a member leaves behind comes to the others, again", async () => {
    const [one, two] = [await server.client(), await server.client()];
    const channel = unique("channel");
    const first = await one.subscribe(channel, queue);
    await one.publishAll(channel, "1", "2", "3");
    expect(await one.taken(first)).toEqual(["1", "2", "3"]);
    const second = await two.subscribe(channel, { ...queue, maxInFlight: 1 });
    one.ack(first, 2);
    expect(await one.end("subclose", first)).toBe("");
    await server.pass(150);
    expect((await two.take(second, 2)).sort()).toEqual(["1r1", "3r1"]);
    // What the one who left had received may be acknowledged through those who stayed.
    two.ack(second, 1, 3);
    await one.publishAll(channel, "4");
    expect(await two.taken(second)).toEqual(["4"]);
  });

  test("the end of a client is the end of its membership", async () => {
    const [one, two] = [await server.client(), await server.client()];
    const channel = unique("channel");
    const first = await one.subscribe(channel, queue);
    await one.publishAll(channel, "1");
    expect(await one.taken(first)).toEqual(["1"]);
    const second = await two.subscribe(channel, queue);
    expect(await one.close()).toBe("");
    await server.pass(150);
    expect(await two.take(second, 1)).toEqual(["1r1"]);
  });

  test("without members a group is no more, unless it is durable", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "1", "2", "3");
    const plain = await peer.subscribe(channel, { ...queue, maxInFlight: 2 });
    expect(await peer.taken(plain)).toEqual(["1", "2"]);
    expect(await peer.end("subclose", plain)).toBe("");
    expect(await peer.taken(await peer.subscribe(channel, { ...queue, startPosition: 1 }))).toEqual(["3"]);

    const kept = await peer.subscribe(channel, { ...durable, maxInFlight: 2 });
    expect(await peer.taken(kept)).toEqual(["1", "2"]);
    peer.ack(kept, 2);
    expect(await peer.taken(kept)).toEqual(["3"]);
    expect(await peer.end("subclose", kept)).toBe("");
    await peer.publishAll(channel, "4");
    const other = await server.client();
    const resumed = await other.subscribe(channel, { ...durable, startPosition: 0 });
    expect(await other.taken(resumed)).toEqual(["1r1", "3r1", "4"]);
  });

  test("the last member to unsubscribe ends a durable group, one of several only itself", async () => {
    const [one, two] = [await server.client(), await server.client()];
    const channel = unique("channel");
    await one.publishAll(channel, "1");
    const first = await one.subscribe(channel, durable);
    expect(await one.taken(first)).toEqual(["1"]);
    const second = await two.subscribe(channel, durable);
    expect(await one.end("unsub", first)).toBe("");
    await server.pass(150);
    expect(await two.take(second, 1)).toEqual(["1r1"]);
    expect(await two.end("unsub", second)).toBe("");
    expect(await one.taken(await one.subscribe(channel, durable))).toEqual(["1"]);
  });

  test("a plain group named durable:queue is that durable group", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "1");
    const first = await peer.subscribe(channel, durable);
    expect(await peer.taken(first)).toEqual(["1"]);
    expect(await peer.end("subclose", first)).toBe("");
    const second = await peer.subscribe(channel, { qGroup: "d:q", startPosition: 0 });
    expect(await peer.taken(second)).toEqual(["1r1"]);
    expect(await peer.end("subclose", second)).toBe("");
    expect(await peer.taken(await peer.subscribe(channel, durable))).toEqual(["1r2"]);
  });

  test("what is not acknowledged goes again to whichever member has the fewest to do", async () => {
    const [one, two] = [await server.client(), await server.client()];
    const channel = unique("channel");
    const first = await one.subscribe(channel, { ...queue, ackWaitInSecs: 1, maxInFlight: 2 });
    await one.publishAll(channel, "1", "2");
    expect(await one.taken(first)).toEqual(["1", "2"]);
    const second = await two.subscribe(channel, { ...queue, ackWaitInSecs: 1, maxInFlight: 2 });
    await server.pass(1_200);
    const taken = [await one.taken(first), await two.taken(second)];
    expect(taken.flat().sort()).toEqual(["1r1", "2r1"]);
    expect(taken[1]!.length).toBeGreaterThan(0);
    await server.pass(1_100);
    expect([await one.taken(first), await two.taken(second)].flat().sort()).toEqual(["1r2", "2r2"]);
  });

  test("what a member leaves is handed on by the time at which it is due, and equal times by sequence", async () => {
    const [one, two, three] = [await server.client(), await server.client(), await server.client()];
    const channel = unique("channel");
    const first = await one.subscribe(channel, queue);
    const second = await two.subscribe(channel, queue);
    await one.publishAll(channel, "1", "2", "3", "4");
    expect([await one.taken(first), await two.taken(second)]).toEqual([["1", "3"], ["2", "4"]]);
    expect(await one.end("subclose", first)).toBe("");
    await server.pass(150);
    // From now on these two are due a second before the others.
    expect(await two.take(second, 2)).toEqual(["1r1", "3r1"]);
    const third = await three.subscribe(channel, queue);
    expect(await two.end("subclose", second)).toBe("");
    await server.pass(150);
    expect(await three.take(third, 4)).toEqual(["1r2", "2r1", "3r2", "4r1"]);
  });

  test("a full member whose messages others acknowledge gets no new ones until an ack by its own inbox", async () => {
    const [one, two] = [await server.client(), await server.client()];
    const channel = unique("channel");
    const first = await one.subscribe(channel, { ...queue, maxInFlight: 1 });
    const second = await two.subscribe(channel, { ...queue, maxInFlight: 2 });
    const taken = async (): Promise<string[][]> => [await one.taken(first), await two.taken(second)];
    await one.publishAll(channel, "1", "2", "3");
    expect(await taken()).toEqual([["1"], ["2", "3"]]);
    two.ack(second, 1);
    await two.settle();
    await one.publishAll(channel, "4", "5", "6");
    expect(await taken()).toEqual([[], []]);
    two.ack(second, 2);
    expect(await two.taken(second)).toEqual(["4"]);
    // Any ack will do, for a message that it has not, or that nobody has.
    one.ack(first, 99);
    expect(await taken()).toEqual([["5"], []]);
    // The ack of another's message frees this one, and not the other, which is full.
    one.ack(first, 3);
    expect(await taken()).toEqual([[], []]);
    one.ack(first, 5);
    expect(await taken()).toEqual([["6"], []]);
  });

  server.timed("by the clock", () => {
    test("a message that is moved away makes room for a new one at once", async () => {
      const [one, two] = [await server.client(), await server.client()];
      const channel = unique("channel");
      const first = await one.subscribe(channel, { ...queue, maxInFlight: 3, ackWaitInSecs: 1 });
      await one.publishAll(channel, "1", "2", "3");
      const second = await two.subscribe(channel, { ...queue, maxInFlight: 1 });
      await one.publishAll(channel, "4", "5", "6", "7");
      expect([await one.taken(first), await two.taken(second)]).toEqual([["1", "2", "3"], ["4"]]);
      await server.pass(1_100);
      expect([await one.taken(first), await two.taken(second)]).toEqual([["1r1", "5", "6"], ["2r1", "3r1"]]);
    });
  });
});
