import { expect, test } from "vitest";
import { connect, type Message, StreamingError } from "../../src/index.ts";
import { fresh, open, optionsFor, proxyTo, Received, Statuses } from "../support/clients.ts";
import { knowsClient } from "../support/monitor.ts";
import { freePorts } from "../support/ports.ts";
import { Proxy } from "../support/proxy.ts";
import { describeWithServer, forSuite, serverForSuite } from "../support/suite.ts";
import { RealServer } from "../support/server.ts";
import { until } from "../support/until.ts";

describeWithServer("connecting", () => {
  const server = serverForSuite();

  test("registers the client ID with the server, and close() takes leave", async () => {
    const clientId = fresh("client");
    const client = await open(server(), { clientId });
    expect(await knowsClient(server(), clientId)).toBe(true);
    expect(client.state).toBe("registered");
    expect(client.ready).toBe(true);

    await client.close();
    expect(client.state).toBe("closed");
    expect(client.ready).toBe(false);
    await client.closed;
    expect(await knowsClient(server(), clientId)).toBe(false);
  });

  test("tells NATS the client ID as the connection's name", async () => {
    const clientId = fresh("client");
    await open(server(), { clientId });
    const page = await server().monitor<{ connections: { name?: string; lang?: string }[] }>("connz");
    expect(page?.connections.filter(({ name }) => name === clientId)).toMatchObject([{ lang: "typescript" }]);
  });

  test("a wrong cluster ID rejects with NO_SERVER by the server's own word, not by a timeout", async () => {
    const statuses = new Statuses();
    const { onStatus } = statuses;
    const wrong = optionsFor(server(), { clusterId: "no-such-cluster", requestTimeout: 600_000, onStatus });
    const error = await connect(wrong).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StreamingError);
    expect(error).toMatchObject({ code: "NO_SERVER", cause: { code: "NO_RESPONDERS" } });
    expect((error as Error).message).toContain("no-such-cluster");
    expect(statuses.types).toEqual(["closed"]);
  });

  test("a client ID in use rejects with CLIENT_ID_IN_USE, and leaves its owner alone", async () => {
    const clientId = fresh("client");
    const statuses = new Statuses();
    const owner = await open(server(), { clientId, onStatus: statuses.onStatus });
    await expect(connect(optionsFor(server(), { clientId }))).rejects.toMatchObject({
      name: "StreamingError",
      code: "CLIENT_ID_IN_USE",
      message: `register ${clientId}: stan: clientID already registered: each process needs a client ID of its own`,
    });
    await owner.publish(fresh("channel"), "still here");
    expect(owner.state).toBe("registered");
    expect(statuses.types).toEqual(["registered"]);
  });

  test("a client ID is free again once its owner has closed", async () => {
    const clientId = fresh("client");
    await (await open(server(), { clientId })).close();
    const next = await open(server(), { clientId });
    expect(next.state).toBe("registered");
  });

  test("with waitOnFirstConnect it waits for a client ID that is still held", async () => {
    const clientId = fresh("client");
    const owner = await open(server(), { clientId });
    const statuses = new Statuses();
    const next = open(server(), { clientId, waitOnFirstConnect: true, onStatus: statuses.onStatus });
    const [{ error }] = await statuses.until("error");
    expect(error.code).toBe("CLIENT_ID_IN_USE");
    await owner.close();
    expect((await next).state).toBe("registered");
  });

  test("a server that is not there rejects with CONNECT_FAILED, which names each address", async () => {
    const [first, second] = await freePorts(2);
    const servers = [`nats://127.0.0.1:${first}`, `nats://127.0.0.1:${second}`];
    const error = await connect(optionsFor(server(), { servers })).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: "StreamingError", code: "CONNECT_FAILED" });
    expect((error as Error).message).toContain(`127.0.0.1:${first}`);
    expect((error as Error).message).toContain(`127.0.0.1:${second}`);
  });

  test("one address of several that works is enough", async () => {
    const [nobody] = await freePorts(1);
    const client = await open(server(), { servers: `nats://127.0.0.1:${nobody},${server().url}` });
    await client.publish(fresh("channel"), "arrived");
  });

  test("a signal that was aborted before rejects with ABORTED, and no registration is left", async () => {
    const clientId = fresh("client");
    const controller = new AbortController();
    controller.abort("enough");
    await expect(connect(optionsFor(server(), { clientId, signal: controller.signal }))).rejects.toMatchObject({
      code: "ABORTED",
      cause: "enough",
    });
    expect(await knowsClient(server(), clientId)).toBe(false);
  });

  test("a signal aborted meanwhile ends the wait, and one aborted later does nothing", async () => {
    const proxy = await proxyTo(server());
    proxy.stall();
    const controller = new AbortController();
    const connecting = connect(optionsFor(proxy, { signal: controller.signal, waitOnFirstConnect: true }));
    await until("the link is open", () => proxy.links > 0);
    controller.abort("enough");
    await expect(connecting).rejects.toMatchObject({ code: "ABORTED", cause: "enough" });
    const later = new AbortController();
    const client = await open(server(), { signal: later.signal });
    later.abort();
    await client.publish(fresh("channel"), "still connected");
    expect(client.state).toBe("registered");
  });

  test("statuses come in order: registered, subscribed, closed", async () => {
    const statuses = new Statuses();
    const client = await open(server(), { onStatus: statuses.onStatus });
    const subscription = await client.subscribe(fresh("channel"), () => undefined);
    await client.close();
    expect(statuses.all).toEqual([
      { type: "registered", resumed: false },
      { type: "subscribed", resumed: false, subscription },
      { type: "closed" },
    ]);
  });

  test("an onStatus that throws or rejects disturbs nothing", async () => {
    let calls = 0;
    const client = await open(server(), {
      onStatus: () => {
        if (calls++ % 2 === 0) throw new Error("thrown by onStatus");
        return Promise.reject(new Error("rejected by onStatus"));
      },
    });
    const channel = fresh("channel");
    const received = new Received();
    await client.subscribe(channel, received.handler);
    await client.publish(channel, "x");
    await received.until(1);
    expect(calls).toBe(2);
  });

  test("ready is false until every subscription is in place", async () => {
    const proxy = await proxyTo(server());
    const client = await open(proxy, { requestTimeout: 200 });
    const eaten = proxy.eat((frame) => frame.subject.startsWith("_STAN.sub."), "up");
    const subscribing = client.subscribe(fresh("channel"), () => undefined);
    await eaten;
    expect(client.state).toBe("registered");
    expect(client.ready).toBe(false);
    const subscription = await subscribing;
    expect(subscription.state).toBe("subscribed");
    expect(client.ready).toBe(true);
  });

  test("Symbol.asyncDispose drains", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const reader = await open(server());
    const received = new Received();
    await reader.subscribe(channel, received.handler, { startAt: "first" });

    const published = client.publish(channel, "on its way");
    await client[Symbol.asyncDispose]();
    await published;
    expect(client.state).toBe("closed");
    await received.until(1);
  });

  test("after close() everything is refused with CLOSED, and close() and drain() do no harm", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    await client.close();
    await expect(client.publish(channel, "x")).rejects.toMatchObject({ code: "CLOSED" });
    await expect(client.publishMany(channel, ["x"])).rejects.toMatchObject({ code: "CLOSED" });
    await expect(client.subscribe(channel, () => undefined)).rejects.toMatchObject({ code: "CLOSED" });
    await expect(client.messages(channel)).rejects.toMatchObject({ code: "CLOSED" });
    await client.close();
    expect(await client.drain()).toEqual({ unhandled: [], unconfirmed: 0 });
  });

  test("close() rejects what was sent with UNCONFIRMED, what waited with CLOSED; acks then return false", async () => {
    const proxy = await proxyTo(server());
    const client = await open(proxy, { maxPubAcksInFlight: 1 });
    const channel = fresh("channel");
    const received: Message[] = [];
    await client.subscribe(channel, (message) => received.push(message), { manualAck: true });
    await client.publish(channel, "received");
    await until("the message is received", () => received.length === 1);

    // Nothing of this reaches the client again but the answer to its close.
    void proxy.eat((frame) => frame.verb === "MSG" && frame.subject.startsWith("_STAN.acks."), "down");
    const published = [client.publish(channel, "sent"), client.publish(channel, "waiting")];
    const results = Promise.allSettled(published);
    await client.close();
    expect(await results).toMatchObject([
      { status: "rejected", reason: { code: "UNCONFIRMED" } },
      { status: "rejected", reason: { code: "CLOSED" } },
    ]);
    expect(received[0]!.ack()).toBe(false);
  });
});

describeWithServer("heartbeats", () => {
  /** Gives a client up that has not answered three heartbeats. */
  const server = serverForSuite({ args: ["-hbi", "1s", "-hbt", "1s", "-hbf", "2"] });
  const proxy = forSuite(() => Proxy.start(server().port));

  test("are answered, so that the server keeps the client for longer than it tolerates silence", async () => {
    const clientId = fresh("client");
    const statuses = new Statuses();
    const client = await open(proxy(), { clientId, onStatus: statuses.onStatus });
    const page = await server().monitor<{ hb_inbox: string }>(`streaming/clientsz?client=${clientId}`);
    await proxy().eat(beats(page!.hb_inbox, 3), "down");
    expect(await knowsClient(server(), clientId)).toBe(true);
    await client.publish(fresh("channel"), "still registered");
    expect(statuses.types).toEqual(["registered"]);
  });
});

/** Wants, and so eats, only the frame after so many heartbeats: those before are counted and let through. */
function beats(inbox: string, count: number): (frame: { verb: string; subject: string }) => boolean {
  let seen = 0;
  return ({ verb, subject }) => verb === "MSG" && subject === inbox && ++seen > count;
}

describeWithServer("waitOnFirstConnect", () => {
  test("waits for a server that starts later", async () => {
    const [port] = await freePorts(1);
    const statuses = new Statuses();
    const url = `nats://127.0.0.1:${port}`;
    const opening = open({ url }, { waitOnFirstConnect: true, onStatus: statuses.onStatus });
    const [{ error }] = await statuses.until("error");
    expect(error.code).toBe("CONNECT_FAILED");
    const server = await RealServer.start({ port });
    try {
      const client = await opening;
      await client.publish(fresh("channel"), "at last");
      await client.close();
    } finally {
      await server.stop();
    }
  });
});
