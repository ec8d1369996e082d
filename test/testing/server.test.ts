import { afterEach, describe, expect, test } from "vitest";
import { type Client, type Status, type SubscribeOptions, connect } from "../../src/index.ts";
import { StreamingServer, type StreamingServerOptions } from "../../src/testing/server.ts";
import { Peer, unique } from "../conformance/peer.ts";
import { RawClient } from "../support/raw.ts";
import { until } from "../support/until.ts";

const ending: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

async function start(options: StreamingServerOptions = {}): Promise<StreamingServer> {
  const server = await StreamingServer.start(options);
  ending.push(() => server.stop());
  return server;
}

/** A client, and what it was told and got. */
interface Watched {
  readonly client: Client;
  readonly statuses: Status[];
  /** "text sequence redeliveryCount". */
  readonly got: string[];
  subscribe(channel: string, options?: SubscribeOptions): Promise<unknown>;
}

async function watched(
  server: StreamingServer,
  clientId: string,
  options: { requestTimeout?: number } = {},
): Promise<Watched> {
  const statuses: Status[] = [];
  const got: string[] = [];
  const client = await connect({
    ...{ clusterId: "test-cluster", clientId, servers: server.url, reconnectDelay: () => 1, ...options },
    onStatus: (status) => statuses.push(status),
  });
  ending.push(() => client.close());
  const subscribe = (channel: string, options: SubscribeOptions = {}) =>
    client.subscribe(channel, (m) => got.push(`${m.text()} ${m.sequence} ${m.redeliveryCount}`), {
      startAt: "first",
      ...options,
    });
  return { client, statuses, got, subscribe };
}

async function peer(server: StreamingServer): Promise<Peer> {
  const peer = await Peer.dial(server.port);
  ending.push(async () => peer.destroy());
  await peer.register();
  return peer;
}

const seen = ({ statuses }: Watched, type: Status["type"]) => statuses.some((status) => status.type === type);

describe("to look at", () => {
  test("a message that the test itself has published: a copy, also of a Buffer", async () => {
    const server = await start();
    for (const bytes of [Uint8Array.of(104, 105), Buffer.from("hi")]) {
      server.publish("c", bytes);
      bytes.fill(0);
    }
    expect(server.messages("c").map(({ text }) => text)).toEqual(["hi", "hi"]);
    const number: unknown = 5;
    const refusal = new TypeError("data must be a string or a Uint8Array");
    expect(() => server.publish("c", number as string)).toThrow(refusal);
  });

  test("messages, clients and subscriptions, those of closed durables included", async () => {
    const server = await start();
    const { client, subscribe } = await watched(server, "me");
    await client.publish("c", "é", { reply: "r" });
    await client.publish("c", Uint8Array.of(0, 255));
    expect(server.messages("c")).toMatchObject([
      { sequence: 1, text: "é", reply: "r" },
      { sequence: 2, data: Uint8Array.of(0, 255), reply: "" },
    ]);
    expect(server.messages("c")[1]!.timestamp).toBeGreaterThanOrEqual(server.messages("c")[0]!.timestamp);
    expect(server.messages("d")).toEqual([]);
    expect(server.clients).toEqual(["me"]);
    await subscribe("c", { manualAck: true, maxInFlight: 1 });
    await subscribe("c", { queue: "q", durable: "d" });
    await server.idle();
    expect(server.subscriptions("c")).toEqual([
      { clientId: "me", durable: "", queue: "", online: true, pending: [1] },
      { clientId: "me", durable: "d", queue: "q", online: true, pending: [] },
    ]);
    await client.close();
    expect(server.clients).toEqual([]);
    expect(server.subscriptions("c")).toEqual([
      { clientId: "me", durable: "d", queue: "q", online: false, pending: [] },
    ]);
  });

  test("idle waits until what was published has been delivered and acknowledged", async () => {
    const server = await start();
    const { client, got, subscribe } = await watched(server, "me");
    await subscribe("c", { maxInFlight: 1 });
    for (let i = 0; i < 100; i++) void client.publish("c", `${i}`);
    await server.idle();
    expect(got).toHaveLength(100);
    expect(server.subscriptions("c")[0]!.pending).toEqual([]);
  });

  test("idle does not wait for a client that does not answer", async () => {
    const server = await start();
    const raw = await RawClient.connect(server.port);
    raw.pause();
    await server.idle();
    raw.destroy();
  });
});

describe("the clock", () => {
  test("advance brings all redeliveries and heartbeats of that time, in order, and clients keep up", async () => {
    const server = await start();
    const { client, got, subscribe } = await watched(server, "me");
    await subscribe("c", { manualAck: true, ackWait: 1_000 });
    server.publish("c", "x");
    await server.advance(5_000);
    expect(got).toEqual(["x 1 0", "x 1 1", "x 1 2", "x 1 3", "x 1 4", "x 1 5"]);
    await server.advance(10 * 60_000);
    expect(server.clients).toEqual(["me"]);
    expect(client.state).toBe("registered");
  });

  test("a client that answers no heartbeats is forgotten in no time", async () => {
    const server = await start();
    const one = await peer(server);
    one.mute(true);
    await server.advance(439_000);
    expect(server.clients).toEqual([one.clientId]);
    await server.advance(2_000);
    expect(server.clients).toEqual([]);
  });

  test("publish stores by the server's clock, and refuses what the server refuses", async () => {
    const server = await start({ limits: { channels: 1 } });
    expect(server.publish("c", "1")).toBe(1);
    await server.advance(3_600_000);
    expect(server.publish("c", Uint8Array.of(50))).toBe(2);
    const [first, second] = server.messages("c");
    expect(second!.timestamp - first!.timestamp).toBeGreaterThanOrEqual(3_600_000_000_000n);
    expect(() => server.publish("other", "x")).toThrow("too many channels");
  });
});

describe("faults", () => {
  test("cut: the client comes back to the same session", async () => {
    const server = await start();
    const [me, other] = [await watched(server, "me"), await watched(server, "other")];
    await me.subscribe("c");
    server.cut("me");
    server.publish("c", "sent into the dead link");
    await server.present("me");
    await until("me was told", () => me.statuses.some((status) => status.type === "registered" && status.resumed));
    expect(seen(other, "disconnected")).toBe(false);
    await server.advance(30_000);
    expect(me.got).toEqual(["sent into the dead link 1 1"]);
    server.cut();
    await until("the other was told", () => seen(other, "disconnected"));
    server.cut("nobody");
  });

  test("down and up: no connection in between, and everything is kept", async () => {
    const server = await start();
    const me = await watched(server, "me");
    await me.subscribe("c");
    await server.down();
    await expect(RawClient.dial(server.port)).rejects.toThrow("ECONNREFUSED");
    server.publish("c", "x");
    await server.up();
    await server.present("me");
    await server.advance(30_000);
    expect(me.got).toEqual(["x 1 1"]);
  });

  test("pause: nothing is answered until resume, then everything is", async () => {
    const server = await start();
    const me = await watched(server, "me");
    server.pause();
    let stored = false;
    const published = me.client.publish("c", "x").then(() => (stored = true));
    const link = await RawClient.dial(server.port);
    await server.advance(600_000);
    expect([stored, server.clients, server.messages("c")]).toEqual([false, ["me"], []]);
    expect(link.received()).toHaveLength(0);
    server.resume();
    await published;
    await link.next(/^INFO/);
    link.destroy();
    expect(server.messages("c")).toHaveLength(1);
  });

  test("stepDown: requests get a 503 until it leads again", async () => {
    const server = await start();
    const raw = await RawClient.connect(server.port);
    server.stepDown();
    expect((await raw.request("_STAN.discover.test-cluster.pings")).verb).toBe("HMSG");
    const me = connect({ clusterId: "test-cluster", clientId: "me", servers: server.url });
    await expect(me).rejects.toMatchObject({ code: "NO_SERVER" });
    server.lead();
    const { client } = await watched(server, "me");
    await client.publish("c", "x");
    raw.destroy();
  });

  test("forget: the session is gone, and the client registers anew and goes on where it was", async () => {
    const server = await start();
    const me = await watched(server, "me");
    await me.subscribe("c");
    server.publish("c", "1");
    await server.idle();
    expect(server.forget("me")).toBe(true);
    expect(server.forget("me")).toBe(false);
    server.publish("c", "2");
    server.cut();
    await server.present("me");
    await until("the message came", () => me.got.length === 2);
    expect(me.got).toEqual(["1 1 0", "2 2 0"]);
  });

  test("restart: nothing is left, and the client starts over with it", async () => {
    const server = await start();
    const me = await watched(server, "me");
    await me.subscribe("c");
    server.publish("c", "1");
    server.publish("c", "2");
    await server.idle();
    server.restart();
    expect([server.clients, server.messages("c"), server.subscriptions("c")]).toEqual([[], [], []]);
    server.publish("c", "after");
    await server.present("me");
    await until("the message came", () => me.got.length === 3);
    expect(me.got).toEqual(["1 1 0", "2 2 0", "after 1 0"]);
  });

  test("swallow loses the answer, not what it answers", async () => {
    const server = await start();
    const one = await peer(server);
    const channel = unique("channel");
    server.swallow("PubAck", 2);
    one.raw.subscribe("_INBOX.lost");
    for (const text of ["1", "2"])
      one.raw.publish(`_STAN.pub.test-cluster.${channel}`, one.message(channel, text), "_INBOX.lost");
    await one.publishAll(channel, "3");
    expect(one.raw.collect().filter((frame) => frame.subject === "_INBOX.lost")).toEqual([]);
    expect(server.messages(channel)).toHaveLength(3);

    server.swallow("Ack");
    const subscribed = await one.subscribe(channel);
    expect(await one.taken(subscribed)).toEqual(["1", "2", "3"]);
    one.ack(subscribed, 1, 2);
    await one.settle();
    expect(server.subscriptions(channel)[0]!.pending).toEqual([1, 3]);

    server.swallow("MsgProto");
    await one.publishAll(channel, "4");
    expect(await one.taken(subscribed)).toEqual([]);
    expect(server.subscriptions(channel)[0]!.pending).toEqual([1, 3, 4]);
  });

  test("swallow a subscribe answer: the client asks again, and closes the one that it does not know of", async () => {
    const server = await start();
    const me = await watched(server, "me", { requestTimeout: 20 });
    server.swallow("SubscriptionResponse");
    await me.subscribe("c", { durable: "d" });
    server.publish("c", "x");
    await until("the message came", () => me.got.length === 1);
    expect(server.subscriptions("c")).toHaveLength(1);
  });

  test("swallow answers to heartbeats: so many are missed", async () => {
    const server = await start({ heartbeat: { interval: 1_000, timeout: 500, failCount: 1 } });
    const one = await peer(server);
    server.swallow("Heartbeat");
    await server.advance(3_000);
    expect(server.clients).toEqual([one.clientId]);
    server.swallow("Heartbeat", 2);
    await server.advance(3_000);
    expect(server.clients).toEqual([]);
  });

  test("refuse: a registration, and then no more", async () => {
    const server = await start();
    server.refuse("connect", "stan: invalid connection request");
    const refused = connect({ clusterId: "test-cluster", clientId: "me", servers: server.url });
    await expect(refused).rejects.toMatchObject({
      code: "REFUSED",
      message: "register me: stan: invalid connection request",
    });
    const one = await peer(server);
    server.refuse("publish", "p", 2);
    server.refuse("subscribe", "s");
    server.refuse("unsubscribe", "u");
    server.refuse("close", "c");
    const channel = unique("channel");
    const errors = [await one.publish(channel), await one.publish(channel), await one.publish(channel)].map(
      (ack) => ack.error,
    );
    expect(errors).toEqual(["p", "p", ""]);
    expect((await one.subscribe(channel)).error).toBe("s");
    const subscribed = await one.subscribe(channel);
    expect([await one.end("unsub", subscribed), await one.end("unsub", subscribed)]).toEqual(["u", ""]);
    expect([await one.close(), await one.close()]).toEqual(["c", ""]);
  });

  test("delay: answers and messages come later, in order", async () => {
    const server = await start();
    const one = await peer(server);
    const channel = unique("channel");
    await one.publishAll(channel, "1");
    server.delay(60_000);
    const subscribing = one.subscribe(channel, { ackWaitInSecs: 300 });
    await until("the server has the subscription", () => server.subscriptions(channel).length === 1);
    server.delay(0);
    server.publish(channel, "2");
    await one.raw.flush();
    expect(one.raw.collect().filter((frame) => frame.verb === "MSG")).toEqual([]);
    await server.advance(60_000);
    expect(await one.take(await subscribing, 2)).toEqual(["1", "2"]);
    await one.publishAll(channel, "3");
  });

  test("send: any bytes, to one client or all", async () => {
    const server = await start();
    const [one, two] = [await peer(server), await peer(server)];
    server.send("-ERR 'for one'\r\n", one.clientId);
    server.send(Uint8Array.from("-ERR 'for all'\r\n", (character) => character.charCodeAt(0)));
    await one.raw.next(/for all/);
    await two.raw.next(/for all/);
    expect(one.raw.collect().map((frame) => frame.text)).toEqual(["-ERR 'for one'"]);
    expect(two.raw.collect()).toEqual([]);
  });
});

describe("start and stop", () => {
  test("listens on the loopback interface alone, unless told to", async () => {
    await expect(StreamingServer.start({ host: "0.0.0.0" })).rejects.toThrow(TypeError);
    await expect(StreamingServer.start({ host: "192.0.2.1" })).rejects.toThrow("allowRemote");
    const server = await start({ host: "::1" }).catch(() => start({ host: "localhost" }));
    expect(server.url).toMatch(/^nats:\/\/(\[::1\]|localhost):\d+$/);
  });

  test("a port that is taken is an error", async () => {
    const { port } = await start();
    await expect(StreamingServer.start({ port })).rejects.toThrow("EADDRINUSE");
  });

  test("another cluster ID is another server", async () => {
    const server = await start({ clusterId: "other" });
    const wrong = connect({ clusterId: "test-cluster", clientId: "me", servers: server.url });
    await expect(wrong).rejects.toMatchObject({ code: "NO_SERVER" });
    await (await connect({ clusterId: "other", clientId: "me", servers: server.url })).close();
  });

  test("stop leaves nothing behind, and can be called twice", async () => {
    const server = await StreamingServer.start();
    const one = await Peer.dial(server.port);
    await one.register();
    const subscribed = await one.subscribe("c");
    server.publish("c", "x");
    await one.take(subscribed, 1);
    await server.stop();
    await server.stop();
    await one.raw.closed;
    await until("neither sockets nor timers are left", () => {
      return !process.getActiveResourcesInfo().some((name) => name.startsWith("TCP") || name === "Timeout");
    });
  });

  test("stop also ends the connection of a client that was thrown out and keeps its side open", async () => {
    const server = await StreamingServer.start();
    const raw = await RawClient.connect(server.port);
    // Who reads nothing does not see the other side end.
    raw.pause();
    raw.send("rubbish\r\n");
    await server.idle();
    await server.stop();
    raw.destroy();
  });

  test("max_payload is announced and kept; 0 stands for 1 MiB", async () => {
    const most = [
      [100, 100],
      [0, 1_048_576],
    ] as const;
    for (const [payload, size] of most) {
      const raw = await RawClient.connect((await start({ limits: { payload } })).port);
      raw.publish("a", new Uint8Array(size));
      await raw.flush();
      raw.send(`PUB a ${size + 1}\r\n`);
      expect((await raw.next(/^-ERR/)).text).toBe("-ERR 'Maximum Payload Violation'");
    }
  });
});
