import { expect, test } from "vitest";
import { ConnectResponse, PingResponse } from "../../src/pb/control.ts";
import { bytesOf } from "../support/bytes.ts";
import { unique } from "./peer.ts";
import { describeServers } from "./servers.ts";

const inUse = "stan: clientID already registered";
const gone = "client has been replaced or is no longer registered";

describeServers("registration", {}, (server) => {
  test("answers with the subjects to use, and with what was said of pings", async () => {
    const peer = await server.peer();
    expect(await peer.connect()).toEqual({
      pubPrefix: "_STAN.pub.test-cluster",
      subRequests: "_STAN.sub.test-cluster",
      unsubRequests: "_STAN.unsub.test-cluster",
      closeRequests: "_STAN.close.test-cluster",
      error: "",
      subCloseRequests: "_STAN.subclose.test-cluster",
      pingRequests: "_STAN.discover.test-cluster.pings",
      pingInterval: 5,
      pingMaxOut: 3,
      protocol: 1,
      publicKey: "",
    });
  });

  test("with protocol 0 says nothing of pings", async () => {
    const answer = await (await server.peer()).connect({ protocol: 0 });
    expect(answer).toMatchObject({ error: "", pingRequests: "", pingInterval: 0, pingMaxOut: 0, protocol: 1 });
  });

  test("refuses what it cannot read, and a client without a heartbeat inbox", async () => {
    const peer = await server.peer();
    const invalid = { ...ConnectResponse.read(new Uint8Array(0)), error: "stan: invalid connection request" };
    expect(await peer.request("_STAN.discover.test-cluster", Uint8Array.of(8, 1), ConnectResponse)).toEqual(invalid);
    expect(await peer.connect({ heartbeatInbox: "" })).toEqual(invalid);
    expect(await peer.connect({ heartbeatInbox: "", clientID: "" })).toEqual(invalid);
  });

  test.each(["", "a.b", "a b", "é", "a/b"])("refuses the client ID %j", async (clientID) => {
    const { error } = await (await server.peer()).connect({ clientID });
    expect(error).toBe("stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed");
  });

  test("accepts a client ID of 300 characters", async () => {
    expect((await (await server.peer()).connect({ clientID: "a".repeat(300) })).error).toBe("");
  });

  test("refuses a client ID whose owner answers, also to the owner itself", async () => {
    const owner = await server.client();
    const other = await server.peer();
    expect((await other.connect({ clientID: owner.clientId })).error).toBe(inUse);
    expect((await owner.connect()).error).toBe(inUse);
    expect((await owner.ping()).error).toBe("");
  });

  test("replaces an owner that is gone, at once, and what it subscribed to", async () => {
    const owner = await server.client();
    const channel = unique("channel");
    await owner.publishAll(channel, "1");
    const plain = await owner.subscribe(channel);
    const durable = await owner.subscribe(channel, { durableName: "d" });
    expect(await owner.take(durable, 1)).toEqual(["1"]);
    owner.raw.send(`UNSUB ${owner.heartbeatSid}\r\n`);
    await owner.raw.flush();

    const heir = await server.peer();
    heir.clientId = owner.clientId;
    await heir.register();
    expect((await owner.ping()).error).toBe(gone);
    expect((await owner.publish(channel)).error).toBe("stan: invalid publish request");
    expect(await heir.end("subclose", plain)).toBe("stan: invalid subscription");
    expect(await heir.end("subclose", durable)).toBe("stan: invalid subscription");
    const resumed = await heir.subscribe(channel, { durableName: "d" });
    expect(await heir.take(resumed, 1)).toEqual(["1r1"]);
  });

  test("waits half a second for an owner that is there and does not answer; meanwhile refuses others", async () => {
    const owner = await server.client();
    owner.mute(true);
    const [heir, third] = [await server.peer(), await server.peer()];
    const answer = heir.connect({ clientID: owner.clientId });
    await owner.raw.flush();
    await heir.raw.flush();
    expect((await third.connect({ clientID: owner.clientId })).error).toBe(inUse);
    await server.pass(510);
    expect((await answer).error).toBe("");
    expect((await owner.ping()).error).toBe(gone);
  });

  test("takes a connection ID and a heartbeat inbox again once their owner is gone", async () => {
    const peer = await server.client();
    expect(await peer.close()).toBe("");
    expect((await peer.connect()).error).toBe("");
    expect((await peer.ping()).error).toBe("");
  });

  test("to publish and ping, the connection ID counts; to subscribe and close, the client ID alone", async () => {
    const peer = await server.client();
    const stranger = await server.peer();
    const channel = unique("channel");
    expect((await stranger.publish(channel, "", { connID: bytesOf(peer.connId) })).error).toBe("");
    expect((await stranger.publish(channel, "", { clientID: peer.clientId })).error).toBe(
      "stan: invalid publish request",
    );
    const noConnection = { clientID: peer.clientId, connID: new Uint8Array(0) };
    expect((await stranger.publish(channel, "", noConnection)).error).toBe("");
    expect((await stranger.ping(peer.connId)).error).toBe("");
    expect((await stranger.ping(stranger.connId)).error).toBe(gone);
    expect((await stranger.subscribe(channel, { clientID: peer.clientId })).error).toBe("");
    expect(await stranger.close(peer.clientId)).toBe("");
    expect((await peer.ping()).error).toBe(gone);
  });

  test("a ping of a live session gets an answer of no bytes, one that is empty or unreadable gets none", async () => {
    const peer = await server.client();
    const subject = "_STAN.discover.test-cluster.pings";
    peer.raw.subscribe("_INBOX.ping");
    peer.raw.publish(subject, "", "_INBOX.ping");
    peer.raw.publish(subject, Uint8Array.of(8, 1), "_INBOX.ping");
    expect(await peer.request(subject, Uint8Array.of(10, 1, 88), PingResponse)).toEqual({ error: gone });
    expect(peer.raw.collect().filter((frame) => frame.subject === "_INBOX.ping")).toEqual([]);
    const answer = await peer.raw.request(subject, pingOf(peer.connId));
    expect(answer.payload.length).toBe(0);
  });
});

function pingOf(connId: string): Uint8Array {
  const bytes = bytesOf(connId);
  return Uint8Array.of(10, bytes.length, ...bytes);
}
