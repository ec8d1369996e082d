import { expect, test } from "vitest";
import { StartPosition, SubscriptionResponse } from "../../src/pb/control.ts";
import { bytesOf } from "../support/bytes.ts";
import { unique } from "./peer.ts";
import { describeServers } from "./servers.ts";

describeServers("subscribing", {}, (server) => {
  test("is refused for these reasons, in this order", async () => {
    const peer = await server.client();
    const wrong = { clientID: "", ackWaitInSecs: 0, maxInFlight: 0, startPosition: 5 };
    const refused = async (fields: object, channel = "a.*"): Promise<string> => {
      const { ackInbox, error } = await peer.subscribe(channel, fields);
      expect(ackInbox).toBe("");
      return error;
    };
    const body = Uint8Array.of(8, 1);
    const answer = await peer.request("_STAN.sub.test-cluster", body, SubscriptionResponse);
    expect(answer).toEqual({ ackInbox: "", error: "stan: invalid subscription request" });
    expect(await refused(wrong)).toBe("stan: clientID missing");
    expect(await refused({ ...wrong, clientID: "x" })).toBe("stan: invalid ack wait time, should be >= 1s");
    expect(await refused({ ...wrong, clientID: "x", ackWaitInSecs: -1 })).toBe(
      "stan: invalid ack wait time, should be >= 1s",
    );
    const maxInFlight = "stan: invalid MaxInflight, should be >= 1";
    expect(await refused({ ...wrong, clientID: "x", ackWaitInSecs: 1 })).toBe(maxInFlight);
    expect(await refused({ ...wrong, clientID: "x", ackWaitInSecs: 1, maxInFlight: -1 })).toBe(maxInFlight);
    expect(await refused({ clientID: "x", startPosition: 5 })).toBe("stan: invalid start position");
    expect(await refused({ clientID: "x", startPosition: -1 })).toBe("stan: invalid start position");
    for (const channel of ["a.*", "", ">", "a..b", "a/b"]) {
      expect(await refused({ clientID: "x" }, channel)).toBe("stan: invalid subject");
    }
    expect(await refused({ clientID: "x" }, unique("channel"))).toBe("stan: unknown clientID");
    const colon = "stan: durable name of a durable queue subscriber can't contain the character ':'";
    expect(await refused({ qGroup: "q", durableName: "a:b" }, unique("channel"))).toBe(colon);
    const channel = unique("channel");
    expect((await peer.subscribe(channel, { durableName: "a:b" })).error).toBe("");
    expect(await refused({ durableName: "a:b" }, channel)).toBe("stan: duplicate durable registration");
  });

  test("the answer comes before the first message, and tells where acks go", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "x");
    peer.raw.collect();
    const { inbox, ackInbox } = await peer.subscribe(channel);
    expect(ackInbox).toMatch(/^_INBOX\.[0-9A-Za-z]{22}$/);
    await peer.settle();
    const frames = peer.raw.collect().filter((frame) => frame.verb === "MSG");
    expect(frames.map((frame) => frame.subject)).toEqual([inbox]);
    const all = String.fromCharCode(...peer.raw.received());
    expect(all.indexOf(ackInbox)).toBeLessThan(all.indexOf(`MSG ${inbox}`));
  });

  test("any inbox is accepted, even none", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    const request = bytesOf(`\n${String.fromCharCode(peer.clientId.length)}${peer.clientId}`);
    const subject = bytesOf(`\x12${String.fromCharCode(channel.length)}${channel}`);
    const body = Uint8Array.of(...request, ...subject, 0x28, 1, 0x30, 1);
    expect((await peer.request("_STAN.sub.test-cluster", body, SubscriptionResponse)).error).toBe("");
  });

  test.each([
    ["NewOnly", { startPosition: StartPosition.NewOnly }, ["4"]],
    ["LastReceived", { startPosition: StartPosition.LastReceived }, ["3", "4"]],
    ["First", { startPosition: StartPosition.First }, ["1", "2", "3", "4"]],
    ["SequenceStart 0", { startPosition: StartPosition.SequenceStart }, ["1", "2", "3", "4"]],
    ["SequenceStart 2", { startPosition: StartPosition.SequenceStart, startSequence: 2n }, ["2", "3", "4"]],
    ["SequenceStart 4", { startPosition: StartPosition.SequenceStart, startSequence: 4n }, ["4"]],
    ["SequenceStart 1000", { startPosition: StartPosition.SequenceStart, startSequence: 1000n }, ["4"]],
    ["TimeDeltaStart 0", { startPosition: StartPosition.TimeDeltaStart }, ["4"]],
    [
      "TimeDeltaStart -1 h",
      { startPosition: StartPosition.TimeDeltaStart, startTimeDelta: -3_600_000_000_000n },
      ["4"],
    ],
    [
      "TimeDeltaStart 1 h",
      { startPosition: StartPosition.TimeDeltaStart, startTimeDelta: 3_600_000_000_000n },
      ["1", "2", "3", "4"],
    ],
  ])("of three messages and one more, %s gets the right ones", async (_, fields, wanted) => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "1", "2", "3");
    await server.pass(2);
    const subscribed = await peer.subscribe(channel, fields);
    await peer.publishAll(channel, "4");
    expect(await peer.taken(subscribed)).toEqual(wanted);
  });

  test.each([
    { startPosition: StartPosition.NewOnly },
    { startPosition: StartPosition.LastReceived },
    { startPosition: StartPosition.First },
    { startPosition: StartPosition.SequenceStart, startSequence: 7n },
    { startPosition: StartPosition.TimeDeltaStart, startTimeDelta: 1_000_000_000n },
  ])("of a new channel everything is new: %o", async (fields) => {
    const peer = await server.client();
    const channel = unique("channel");
    const subscribed = await peer.subscribe(channel, fields);
    await peer.publishAll(channel, "1", "2");
    expect(await peer.taken(subscribed)).toEqual(["1", "2"]);
  });

  test("TimeDeltaStart is exact between two messages", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "1");
    await server.pass(1_000);
    await peer.publishAll(channel, "2");
    const subscribed = await peer.subscribe(channel, {
      startPosition: StartPosition.TimeDeltaStart,
      startTimeDelta: 500_000_000n,
    });
    expect(await peer.taken(subscribed)).toEqual(["2"]);
  });
});
