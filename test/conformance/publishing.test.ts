import { expect, test } from "vitest";
import { PubAck } from "../../src/testing/messages.ts";
import { bytesOf } from "../support/bytes.ts";
import { unique } from "./peer.ts";
import { describeServers } from "./servers.ts";

const invalid = "stan: invalid publish request";

describeServers("publishing", {}, (server) => {
  test("stores, numbers from 1 and tells; the ack comes after the delivery", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    const subscribed = await peer.subscribe(channel);
    // Nanoseconds since 1970, by a clock that need not agree with this one to the millisecond (seen: half a one
    // behind).
    const before = BigInt(Date.now() - 1_000) * 1_000_000n;
    peer.raw.subscribe("_INBOX.acks");
    peer.raw.publish(
      `_STAN.pub.test-cluster.${channel}`,
      peer.message(channel, "hello", { guid: "g", reply: "r" }),
      "_INBOX.acks",
    );
    const first = await peer.raw.next((frame) => frame.subject === subscribed.inbox || frame.subject === "_INBOX.acks");
    expect(first.subject).toBe(subscribed.inbox);
    expect(first.reply).toBe("");
    const ack = await peer.raw.next((frame) => frame.subject === "_INBOX.acks");
    expect(PubAck.read(ack.payload)).toEqual({ guid: "g", error: "" });
    await peer.publishAll(channel, "");
    const second = await peer.next(subscribed);
    expect(second).toMatchObject({
      sequence: 2n,
      subject: channel,
      reply: "",
      redelivered: false,
      redeliveryCount: 0,
      CRC32: 0,
    });
    expect(second.data.length).toBe(0);
    expect(second.timestamp).toBeGreaterThan(before);
  });

  test("the channel is the message's, not the NATS subject's", async () => {
    const peer = await server.client();
    const [channel, other] = [unique("channel"), unique("channel")];
    expect((await peer.publish(channel, "x", {}, other)).error).toBe("");
    expect(await peer.take(await peer.subscribe(channel), 1)).toEqual(["1"]);
    expect(await peer.taken(await peer.subscribe(other))).toEqual([]);
  });

  test("nothing is a double, and a guid is not passed on", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    const [one, two] = [
      await peer.publish(channel, "x", { guid: "same" }),
      await peer.publish(channel, "x", { guid: "same" }),
    ];
    expect([one, two]).toEqual([{ guid: "same", error: "" }, { guid: "same", error: "" }]);
    expect(await peer.take(await peer.subscribe(channel), 2)).toEqual(["1", "2"]);
  });

  test("without a reply subject a message is stored, and nobody is told", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    peer.raw.publish(`_STAN.pub.test-cluster.${channel}`, peer.message(channel, "x"));
    await peer.publishAll(channel, "y");
    expect(await peer.take(await peer.subscribe(channel), 2)).toEqual(["1", "2"]);
  });

  test.each(["", "a..b", ".a", "a.", "a.*", "a>", "a/b", "*"])("refuses the channel %j", async (channel) => {
    const peer = await server.client();
    expect(await peer.publish(channel, "x", { guid: "g" }, "any")).toEqual({ guid: "g", error: invalid });
  });

  test.each(["bad..x", ".x", "x."])("a NATS subject that ends in %j reaches nobody", async (natsChannel) => {
    const peer = await server.client();
    await expect(peer.publish(unique("channel"), "x", {}, natsChannel)).rejects.toThrow("NATS/1.0 503");
  });

  test("refuses a message without guid, of a client that it does not know, or that is none", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    expect(await peer.publish(channel, "x", { guid: "" })).toEqual({ guid: "", error: invalid });
    expect((await peer.publish(channel, "x", { connID: bytesOf("unknown") })).error).toBe(invalid);
    expect((await peer.publish(channel, "x", { connID: new Uint8Array(0), clientID: "unknown" })).error).toBe(invalid);
    expect((await peer.request("_STAN.pub.test-cluster.x", Uint8Array.of(255), PubAck)).error).toBe(invalid);
    expect((await peer.request("_STAN.pub.test-cluster.x", new Uint8Array(0), PubAck)).error).toBe(invalid);
  });

  test("what reads as a control message among servers is not answered", async () => {
    const peer = await server.client();
    peer.raw.subscribe("_INBOX.control");
    peer.raw.publish("_STAN.pub.test-cluster.x", Uint8Array.of(8, 1), "_INBOX.control");
    peer.raw.publish("_STAN.pub.test-cluster.x", Uint8Array.of(8, 3, 18, 1, 65), "_INBOX.control");
    await peer.publishAll(unique("channel"), "x");
    expect(peer.raw.collect().filter((frame) => frame.subject === "_INBOX.control")).toEqual([]);
  });

  test("channels whose names differ in case alone are refused, for publishes and subscriptions", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    const upper = channel.toUpperCase();
    await peer.publishAll(channel, "x");
    const reason = `because channel "${channel}" alreay exists (different cases not allowed)`;
    const error = `rejecting channel "${upper}" ${reason}`;
    expect((await peer.publish(upper)).error).toBe(error);
    expect((await peer.subscribe(upper)).error).toBe(error);
  });
});

describeServers("limits", { limits: { channels: 3, subscriptions: 2, messages: 3 } }, (server) => {
  test("too many channels, too many subscriptions, and the oldest messages go", async () => {
    const peer = await server.client();
    await peer.publishAll("one", "1", "2", "3", "4", "5");
    const first = await peer.subscribe("one");
    expect(await peer.take(first, 3)).toEqual(["3", "4", "5"]);
    const durable = await peer.subscribe("one", { durableName: "d", startPosition: 1 });
    expect(await peer.take(durable, 1)).toEqual(["5"]);
    expect((await peer.subscribe("one")).error).toBe("too many subscriptions per channel");

    // A durable counts while it is closed, and comes back nevertheless.
    expect(await peer.end("subclose", durable)).toBe("");
    expect((await peer.subscribe("one")).error).toBe("too many subscriptions per channel");
    const resumed = await peer.subscribe("one", { durableName: "d" });
    expect(await peer.take(resumed, 1)).toEqual(["5r1"]);
    expect(await peer.end("unsub", resumed)).toBe("");

    // A start before the oldest message is a start at that; what was sent and is gone is not sent again, nor waited
    // for.
    expect((await peer.subscribe("two", { maxInFlight: 1 })).error).toBe("");
    const early = await peer.subscribe("one", {
      startPosition: 3,
      startSequence: 1n,
      maxInFlight: 2,
      ackWaitInSecs: 1,
    });
    expect(await peer.take(early, 2)).toEqual(["3", "4"]);
    await peer.publishAll("one", "6", "7", "8");
    await server.pass(1_100);
    expect(await peer.take(early, 2)).toEqual(["6", "7"]);

    expect((await peer.publish("three")).error).toBe("");
    expect((await peer.publish("four")).error).toBe("too many channels");
    expect((await peer.subscribe("four")).error).toBe("too many channels");
    expect((await peer.publish("ONE")).error).toContain("different cases not allowed");
  });
});

describeServers("limits of 0", { limits: { channels: 0, subscriptions: 0, messages: 0 } }, (server) => {
  test("are none", async () => {
    const peer = await server.client();
    await peer.publishAll("one", "1", "2", "3");
    expect(await peer.take(await peer.subscribe("one"), 3)).toEqual(["1", "2", "3"]);
    expect(await peer.take(await peer.subscribe("one"), 3)).toEqual(["1", "2", "3"]);
    for (let i = 0; i < 101; i++) expect((await peer.publish(`other.${i}`)).error).toBe("");
  });
});
