import { expect, test } from "vitest";
import { unique } from "./peer.ts";
import { describeServers } from "./servers.ts";

describeServers("delivery", {}, (server) => {
  test("no more than maxInFlight wait for their acks, and each ack lets one more through", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "1", "2", "3", "4");
    const subscribed = await peer.subscribe(channel, { maxInFlight: 2 });
    expect(await peer.taken(subscribed)).toEqual(["1", "2"]);
    peer.ack(subscribed, 2);
    expect(await peer.taken(subscribed)).toEqual(["3"]);
    peer.ack(subscribed, 1, 3);
    expect(await peer.taken(subscribed)).toEqual(["4"]);
  });

  test("acks that fit nothing are passed over: unknown, double, unreadable, of another subscription", async () => {
    const peer = await server.client();
    const [channel, elsewhere] = [unique("channel"), unique("channel")];
    await peer.publishAll(channel, "1", "2");
    await peer.publishAll(elsewhere, "1", "2");
    const subscribed = await peer.subscribe(channel, { maxInFlight: 1 });
    const other = await peer.subscribe(channel, { maxInFlight: 1 });
    expect(await peer.take(subscribed, 1)).toEqual(["1"]);
    expect(await peer.take(other, 1)).toEqual(["1"]);
    peer.ack(subscribed, 0, 2, 99);
    peer.ackTo(subscribed.ackInbox, elsewhere, 1);
    peer.ackTo(subscribed.ackInbox, "no-such-channel", 1);
    peer.raw.publish(subscribed.ackInbox, Uint8Array.of(255));
    peer.ack(other, 1, 1);
    expect(await peer.taken(subscribed)).toEqual([]);
    await peer.settle();
    peer.ack(subscribed, 1);
    expect(await peer.taken(subscribed)).toEqual(["2"]);
  });

  test("nothing ever answers an ack, and an ack inbox that is no more has no listener", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "1");
    const subscribed = await peer.subscribe(channel);
    const sid = peer.raw.subscribe("_INBOX.acked");
    peer.ackTo(subscribed.ackInbox, channel, 1, "_INBOX.acked");
    await peer.settle();
    expect(peer.raw.collect().filter((frame) => frame.subject === "_INBOX.acked")).toEqual([]);
    expect(await peer.end("subclose", subscribed)).toBe("");
    peer.ackTo(subscribed.ackInbox, channel, 1, "_INBOX.acked");
    const frame = await peer.raw.next((frame) => frame.subject === "_INBOX.acked");
    expect([frame.verb, frame.sid]).toEqual(["HMSG", sid]);
  });

  server.timed("by the clock", () => {
    test("what is not acknowledged comes again every ackWait, counted, whatever maxInFlight is", async () => {
      const peer = await server.client();
      const channel = unique("channel");
      await peer.publishAll(channel, "1", "2", "3");
      const subscribed = await peer.subscribe(channel, { maxInFlight: 2, ackWaitInSecs: 1 });
      expect(await peer.taken(subscribed)).toEqual(["1", "2"]);
      await server.pass(1_100);
      expect(await peer.taken(subscribed)).toEqual(["1r1", "2r1"]);
      peer.ack(subscribed, 1);
      expect(await peer.taken(subscribed)).toEqual(["3"]);
      await server.pass(1_300);
      expect((await peer.taken(subscribed)).sort()).toEqual(["2r2", "3r1"]);
      peer.ack(subscribed, 2, 3);
      await server.pass(1_100);
      expect(await peer.taken(subscribed)).toEqual([]);
    });

    test("new messages come in between those that come again", async () => {
      const peer = await server.client();
      const channel = unique("channel");
      await peer.publishAll(channel, "1");
      const subscribed = await peer.subscribe(channel, { ackWaitInSecs: 1 });
      await server.pass(1_100);
      await peer.publishAll(channel, "2");
      expect(await peer.taken(subscribed)).toEqual(["1", "1r1", "2"]);
    });

    test("a message that was sent to nobody comes with a count of 1 when somebody is there", async () => {
      const peer = await server.client();
      const channel = unique("channel");
      const subscribed = await peer.subscribe(channel, { ackWaitInSecs: 1 });
      peer.raw.send(`UNSUB ${subscribed.sid}\r\n`);
      await peer.publishAll(channel, "1");
      peer.raw.subscribe(subscribed.inbox);
      await server.pass(1_100);
      expect(await peer.taken(subscribed)).toEqual(["1r1"]);
    });
  });
});
