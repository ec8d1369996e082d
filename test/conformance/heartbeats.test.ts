import { expect, test } from "vitest";
import { unique } from "./peer.ts";
import type { Peer } from "./peer.ts";
import { describeServers } from "./servers.ts";

const gone = "client has been replaced or is no longer registered";
// A client is forgotten at its second failure: with an answer missing after 1 400 ms, with nobody there after 800 ms.
const heartbeat = { interval: 400, timeout: 300, failCount: 1 };

describeServers("heartbeats", { heartbeat }, (server) => {
  server.timed("each in its own time", () => {
    test("an empty request comes again and again; any answer keeps a client, and pings alone do not", async () => {
      const [peer, silent] = [await server.client(), await server.client()];
      silent.mute(true);
      for (let i = 0; i < 6; i++) {
        await server.pass(400);
        expect((await peer.ping()).error).toBe("");
        await silent.ping();
      }
      expect((await silent.ping()).error).toBe(gone);
    });

    test("a client that does not answer is forgotten after more than failCount failures", async () => {
      const peer = await server.client();
      peer.mute(true);
      await server.pass(1_100);
      expect((await peer.ping()).error).toBe("");
      await server.pass(500);
      await expectForgotten(peer);
    });

    test("a client whose connection is gone is forgotten without the wait for answers", async () => {
      const peer = await server.client();
      const watcher = await server.peer();
      const channel = unique("channel");
      await peer.publishAll(channel, "1");
      const durable = await peer.subscribe(channel, { durableName: "d" });
      expect(await peer.take(durable, 1)).toEqual(["1"]);
      peer.destroy();
      expect((await watcher.ping(peer.connId)).error).toBe("");
      await server.pass(1_000);
      expect((await watcher.ping(peer.connId)).error).toBe(gone);
      watcher.clientId = peer.clientId;
      await watcher.register();
      expect(await watcher.take(await watcher.subscribe(channel, { durableName: "d" }), 1)).toEqual(["1r1"]);
    });
  });
});

async function expectForgotten(peer: Peer): Promise<void> {
  expect((await peer.ping()).error).toBe(gone);
  expect((await peer.publish(unique("channel"))).error).toBe("stan: invalid publish request");
  expect((await peer.subscribe(unique("channel"))).error).toBe("stan: unknown clientID");
  expect(await peer.close()).toBe("stan: unknown clientID");
}

const slow = { heartbeat: { interval: 1_000, timeout: 500, failCount: 9 } };

describeServers("a client that missed a heartbeat", slow, (server) => {
  server.timed("each in its own time", () => {
    test("gets new messages still, old ones once it has answered, and a ping of its makes the server ask", async () => {
      const peer = await server.client();
      const channel = unique("channel");
      const subscribed = await peer.subscribe(channel, { ackWaitInSecs: 1 });
      peer.mute(true);
      await server.pass(1_600);
      // It has failed once.
      await peer.publishAll(channel, "1");
      expect(await peer.taken(subscribed)).toEqual(["1"]);
      // The redelivery due at 2.6 s is passed over, and at 3 s the client fails again. The next heartbeat is due at 4
      // s.
      await server.pass(1_550);
      expect(await peer.taken(subscribed)).toEqual([]);
      peer.mute(false);
      expect((await peer.ping()).error).toBe("");
      await server.pass(650);
      expect(await peer.taken(subscribed)).toEqual(["1r1"]);
    });

    test("gets again what a subscription got that it made meanwhile", async () => {
      const peer = await server.client();
      const channel = unique("channel");
      peer.mute(true);
      await server.pass(1_600);
      // It has failed once, and will again at 3 s, before the next redelivery.
      const subscribed = await peer.subscribe(channel, { ackWaitInSecs: 1 });
      await peer.publishAll(channel, "1");
      await server.pass(1_850);
      expect(await peer.taken(subscribed)).toEqual(["1", "1r1"]);
      await server.pass(700);
      expect(await peer.taken(subscribed)).toEqual(["1r2"]);
    });

    test("is the last of its queue group to get messages", async () => {
      const [peer, other] = [await server.client(), await server.client()];
      const channel = unique("channel");
      const failing = await peer.subscribe(channel, { qGroup: "q" });
      const well = await other.subscribe(channel, { qGroup: "q", maxInFlight: 3 });
      peer.mute(true);
      await server.pass(1_600);
      await other.publishAll(channel, "1", "2", "3");
      expect([await peer.taken(failing), await other.taken(well)]).toEqual([[], ["1", "2", "3"]]);
    });
  });
});
