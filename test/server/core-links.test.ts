import { afterEach, describe, expect, test } from "vitest";
import type { Client } from "../../src/index.ts";
import { fresh, open, range, read, Statuses } from "../support/clients.ts";
import { FakeStreaming, pubAck } from "../support/fake-streaming.ts";
import { freePorts } from "../support/ports.ts";
import { Proxy } from "../support/proxy.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

const KIB = 1024;

describeWithServer("a link on which nothing comes any more", () => {
  const server = serverForSuite();
  const QUICK = { pingInterval: 1_000, pingMaxOut: 2 };

  test("because the server is frozen is ended within seconds, and replaced when it thaws", async () => {
    const frozen = await RealServer.start();
    try {
      const statuses = new Statuses();
      const client = await open(frozen, { ...QUICK, onStatus: statuses.onStatus, connectTimeout: 500 });
      frozen.pause();
      const [lost] = await statuses.until("disconnected");
      expect(lost!.error.cause).toMatchObject({ code: "STALE" });
      const published = client.publish(fresh("channel"), "x");
      frozen.resume();
      await statuses.until("registered", 2);
      await published;
    } finally {
      await frozen.stop();
    }
  });

  test("because its bytes are swallowed, in either direction or both, is ended within seconds", async () => {
    const swallowed = async (direction: "up" | "down" | "both"): Promise<void> => {
      const proxy = await Proxy.start(server().port);
      try {
        const statuses = new Statuses();
        const client = await open(proxy, { ...QUICK, onStatus: statuses.onStatus });
        proxy.blackHole(direction);
        const [lost] = await statuses.until("disconnected");
        expect(lost!.error.cause, direction).toMatchObject({ code: "STALE" });
        proxy.heal();
        await statuses.until("registered", 2);
        await client.publish(fresh("channel"), "x");
      } finally {
        await proxy.stop();
      }
    };
    await Promise.all([swallowed("up"), swallowed("down"), swallowed("both")]);
  });
});

describeWithServer("a server that reads no more", () => {
  const server = serverForSuite();

  test("holds publishes back, with bounded memory, and they all are stored when it reads again", async () => {
    const proxy = await Proxy.start(server().port);
    try {
      const channel = fresh("channel");
      const limits = { maxQueuedBytes: 2_000 * KIB, maxPubBytesInFlight: 64_000 * KIB };
      const client = await open(proxy, { pingInterval: 60_000, ...limits });
      proxy.stall();
      const outcomes: Promise<string>[] = [];
      let refused = 0;
      const data = new Uint8Array(10 * KIB);
      await until("the queue is full", async () => {
        for (let i = 0; i < 200 && refused === 0; i++) {
          new DataView(data.buffer).setUint32(0, outcomes.length);
          const outcome = client.publish(channel, data).then(() => "stored", (error: { code: string }) => error.code);
          outcomes.push(outcome);
          void outcome.then((code) => (refused += Number(code !== "stored")));
          await Promise.resolve();
        }
        return refused > 0;
      });
      // What the systems' buffers have taken, the outbox's mark, and the queue: far from all that may be in flight.
      expect(outcomes.length * 10).toBeLessThan(30_000);
      proxy.go();
      const settled = await Promise.all(outcomes);
      const stored = settled.indexOf("QUEUE_FULL");
      expect(settled.slice(0, stored).filter((outcome) => outcome !== "stored")).toEqual([]);
      expect(settled.slice(stored).filter((outcome) => outcome !== "QUEUE_FULL")).toEqual([]);
      const messages = await read(client, channel, stored);
      const numbers = messages.map(({ data }) => new DataView(data.buffer, data.byteOffset).getUint32(0));
      expect(numbers).toEqual(range(0, stored - 1));
    } finally {
      await proxy.stop();
    }
  });
});

describeWithServer(
  "lame duck mode",
  () => {
    const cluster = forSuite(async () => {
      const [a, b] = await freePorts(2);
      const config = (port: number | undefined, other: number | undefined): string =>
        `lame_duck_duration: "30s", lame_duck_grace_period: "5s"
         cluster { name: c, listen: "127.0.0.1:${port}", routes: [ "nats://127.0.0.1:${other}" ] }`;
      const configs = [config(a, b), config(b, a)];
      const [one, two] = await Promise.all(configs.map((config) => NatsServer.start({ config })));
      const streaming = await RealServer.start({ natsUrl: two!.url });
      const stop = async (): Promise<void> => {
        await Promise.all([streaming, one!, two!].map((server) => server.stop("SIGKILL")));
      };
      return { one: one!, two: two!, streaming, stop };
    });

    test("moves to another server before being thrown out, and no publish under way is lost", async () => {
      const { one, two, streaming } = cluster();
      const connections = async (server: NatsServer, client: string): Promise<number> => {
        const page = await server.monitor<{ connections: { name?: string }[] }>("connz");
        return page!.connections.filter(({ name }) => name === client).length;
      };
      const [statuses, channel, clientId] = [new Statuses(), fresh("channel"), fresh("client")];
      const options = { servers: one.url, clientId, waitOnFirstConnect: true, onStatus: statuses.onStatus };
      const client: Client = await open(streaming, options);
      const outcomes: Promise<string>[] = [];
      let [publishing, settledCount] = [true, 0];
      const published = (async () => {
        while (publishing) {
          // Far less than would be refused as QUEUE_FULL, however long the way to the other server takes.
          for (let i = 0; i < 20 && outcomes.length - settledCount < 4_000; i++) {
            const published = client.publish(channel, String(outcomes.length));
            const outcome = published.then(() => "stored", (error: { code: string }) => error.code);
            outcomes.push(outcome.finally(() => settledCount++));
          }
          await new Promise<void>((resolve) => setImmediate(resolve));
        }
      })();
      await until("much is under way", () => outcomes.length > 2_000);
      process.kill(one.pid, "SIGUSR2");
      const [left] = await statuses.until("disconnected");
      expect(left!.error.message).toContain("lame duck");
      expect(one.running).toBe(true);
      const again = await statuses.until("registered", 2);
      expect(again[1]!.resumed).toBe(true);
      publishing = false;
      await published;
      const settled = await Promise.all(outcomes);
      expect(settled.filter((outcome) => outcome !== "stored")).toEqual([]);
      expect(await connections(two, clientId)).toBe(1);
      expect(await connections(one, clientId)).toBe(0);
      const messages = await read(client, channel, settled.length);
      expect(messages.map((message) => message.text())).toEqual(range(0, settled.length - 1).map(String));
    });
  },
  ["streaming", "nats"],
);

describe("servers that a server tells of", () => {
  const fakes: FakeStreaming[] = [];
  afterEach(async () => {
    await Promise.all(fakes.splice(0).map((fake) => fake.stop()));
  });

  test("are dialled when it is gone; an empty list, or none, changes nothing", async () => {
    const other = await FakeStreaming.start();
    const first = await FakeStreaming.start({ greet: { connect_urls: [other.url.slice("nats://".length)] } });
    fakes.push(other, first);
    const statuses = new Statuses();
    await open(first, { onStatus: statuses.onStatus });
    const infos = ['{"connect_urls":[]}', '{"connect_urls":null}', "{}", '{"connect_urls":["", 5, "nonsense:::"]}'];
    first.link.send(`${infos.map((info) => `INFO ${info}\r\n`).join("")}PING\r\n`);
    await first.link.next(/^PONG/);
    await first.stop();
    await statuses.until("registered", 2);
    expect(other.links.length).toBe(1);
  });

  test("are where to go on an announced shutdown, but not before what is under way has been answered", async () => {
    const other = await FakeStreaming.start();
    const first = await FakeStreaming.start({ greet: { connect_urls: [other.url.slice("nats://".length)] } });
    fakes.push(other, first);
    const statuses = new Statuses();
    const client = await open(first, { onStatus: statuses.onStatus });
    first.onPublish = () => {};
    const published = range(1, 100).map((i) => client.publish("a", String(i)));
    await until("all have arrived", () => first.publishes.length === 100);
    // The streaming server answers pings in no order with publishes.
    first.link.send('INFO {"ldm":true}\r\n');
    await until("it has asked whether the session lives", () => first.pings.length === 1);
    published.push(client.publish("a", "held back until it has moved"));
    for (const ask of first.publishes) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      ask.answer(pubAck(ask.message.guid));
    }
    await Promise.all(published);
    expect(first.publishes).toHaveLength(100);
    expect(other.publishes).toHaveLength(1);
    expect(statuses.of("disconnected")).toHaveLength(1);
  });

  test("are what an announced shutdown needs: with nowhere to go, the client stays to the end", async () => {
    const only = await FakeStreaming.start();
    fakes.push(only);
    const statuses = new Statuses();
    const client = await open(only, { onStatus: statuses.onStatus });
    only.link.send('INFO {"ldm":true,"connect_urls":[]}\r\nPING\r\n');
    await only.link.next(/^PONG/);
    await client.publish("a", "x");
    expect(statuses.of("disconnected")).toEqual([]);
  });
});
