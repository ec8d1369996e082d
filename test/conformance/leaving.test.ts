import { expect, test } from "vitest";
import { CloseResponse, SubscriptionResponse } from "../../src/pb/control.ts";
import { unique } from "./peer.ts";
import { describeServers } from "./servers.ts";

describeServers("leaving", {}, (server) => {
  test.each(["unsub", "subclose"] as const)("%s is refused for these reasons, in this order", async (how) => {
    const [peer, other] = [await server.client(), await server.client()];
    const channel = unique("channel");
    const body = Uint8Array.of(8, 1);
    const answer = await peer.request(`_STAN.${how}.test-cluster`, body, SubscriptionResponse);
    expect(answer).toEqual({ ackInbox: "", error: "stan: invalid unsubscribe request" });
    const subscribed = await peer.subscribe(channel);
    expect(await other.end(how, { ...subscribed, channel: unique("channel"), ackInbox: "x" })).toBe(
      "stan: unknown channel",
    );
    expect(await other.end(how, { ...subscribed, ackInbox: "x" })).toBe("stan: invalid subscription");
    expect(await other.end(how, subscribed)).toBe("stan: unknown clientID");
    expect(await other.end(how, subscribed, { clientID: "nobody" })).toBe("stan: unknown clientID");
    expect(await peer.end(how, subscribed)).toBe("");
    expect(await peer.end(how, subscribed)).toBe("stan: invalid subscription");
  });

  test("a subscription can be named by the inbox of its deliveries, too", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    for (const how of ["unsub", "subclose"] as const) {
      const subscribed = await peer.subscribe(channel);
      expect(await peer.end(how, { ...subscribed, ackInbox: subscribed.inbox })).toBe("");
      expect(await peer.end(how, subscribed)).toBe("stan: invalid subscription");
    }
  });

  test("nothing is delivered after the answer", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    const subscribed = await peer.subscribe(channel);
    expect(await peer.end("subclose", subscribed)).toBe("");
    await peer.publishAll(channel, "1");
    expect(await peer.taken(subscribed)).toEqual([]);
  });

  test("acks that came before count", async () => {
    const peer = await server.client();
    const channel = unique("channel");
    await peer.publishAll(channel, "1", "2", "3");
    const subscribed = await peer.subscribe(channel, { durableName: "d" });
    expect(await peer.take(subscribed, 3)).toEqual(["1", "2", "3"]);
    peer.ack(subscribed, 1, 2);
    expect(await peer.end("subclose", subscribed)).toBe("");
    expect(await peer.taken(await peer.subscribe(channel, { durableName: "d" }))).toEqual(["3r1"]);
  });

  test("closing ends the session, and nothing else", async () => {
    const [peer, other] = [await server.client(), await server.client()];
    const channel = unique("channel");
    const answer = await peer.request("_STAN.close.test-cluster", Uint8Array.of(8, 1), CloseResponse);
    expect(answer.error).toBe("stan: invalid close request");
    expect(await peer.close("nobody")).toBe("stan: unknown clientID");
    await peer.publishAll(channel, "1");
    const subscribed = await peer.subscribe(channel);
    expect(await peer.close()).toBe("");
    expect(await peer.close()).toBe("stan: unknown clientID");
    expect((await peer.ping()).error).toBe("client has been replaced or is no longer registered");
    expect((await peer.publish(channel)).error).toBe("stan: invalid publish request");
    expect((await peer.subscribe(channel)).error).toBe("stan: unknown clientID");
    expect(await peer.end("subclose", subscribed)).toBe("stan: invalid subscription");
    expect(await other.taken(await other.subscribe(channel))).toEqual(["1"]);
  });
});
