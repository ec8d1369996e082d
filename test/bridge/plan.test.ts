import { createServer } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { copy, plan } from "../../src/bridge/index.ts";
import type { BridgeOptions, Plan } from "../../src/bridge/index.ts";
import { fresh, open, publishAll, range } from "../support/clients.ts";
import { JetStream } from "../support/jetstream.ts";
import { subscriptionPages } from "../support/monitor.ts";
import { freePorts } from "../support/ports.ts";
import { FakeServer } from "../support/raw.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import type { NatsServerOptions } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

describeWithServer(
  "a plan",
  () => {
    const stan = forSuite(() => RealServer.start());
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));
    const pages = (): string => `http://127.0.0.1:${stan().monitorPort}`;

    /** The options of a bridge between both servers, or to another one, for channels. */
    function between(channels: BridgeOptions["channels"], url = nats().url): BridgeOptions {
      const from = { clusterId: "test-cluster", clientId: fresh("bridge"), servers: stan().url, monitor: pages() };
      return { from, to: { servers: url }, channels };
    }

    /** A channel with a message. */
    async function channelOf(name: string): Promise<string> {
      await (await open(stan())).publish(name, "a message");
      return name;
    }

    /** A NATS server with JetStream, which is stopped when the test ends. */
    async function serverWith(options: NatsServerOptions): Promise<NatsServer> {
      const server = await NatsServer.start({ jetstream: true, ...options });
      onTestFinished(() => server.stop("SIGKILL"));
      return server;
    }

    /** The codes of the obstacles, each with its channel. */
    const obstaclesOf = ({ obstacles }: Plan): (string | undefined)[][] => {
      return obstacles.map(({ code, channel }) => (channel === undefined ? [code] : [code, channel]));
    };

    test("names the channels, their streams, and who reads them from where, as plain data", async () => {
      const channel = fresh("orders.eu");
      const ids = { reader: fresh("reader"), member: fresh("member") };
      const reader = await open(stan(), { clientId: ids.reader });
      const member = await open(stan(), { clientId: ids.member });
      await publishAll(reader, channel, range(1, 5).map(String));
      const limits = { maxInFlight: 3, ackWait: 60_000 };
      const durable = { durable: "billing", startAt: "first", manualAck: true, ...limits } as const;
      const taken: number[] = [];
      const subscription = await reader.subscribe(
        channel,
        (message) => {
          taken.push(message.sequence);
          if (message.sequence === 2) message.ack();
        },
        durable,
      );
      await until("all that may come has come", () => taken.length === 4);
      await subscription.close();
      await member.subscribe(channel, () => {}, { durable: "work", queue: "all", startAt: "first", maxInFlight: 7 });
      await member.subscribe(channel, () => {}, {});
      await until("the group has acknowledged all", async () => {
        const found = await subscriptionPages(stan(), channel);
        return found.some(({ queue_name, last_sent, pending_count }) => {
          return queue_name === "work:all" && last_sent === 5 && pending_count === 0;
        });
      });
      const found = await plan(between(channel));
      expect(JSON.parse(JSON.stringify(found))).toEqual({
        ok: true,
        source: { clusterId: "test-cluster", version: "0.25.6" },
        target: { version: "2.10.29", storage: 0, maxStorage: -1 },
        channels: [
          {
            ...{ channel, stream: channel.replace(".", "_"), subject: channel, copied: 0, capturedBy: [] },
            ...{ first: 1, last: 5, messages: 5, bytes: expect.any(Number), plain: 1 },
            durables: expect.any(Array),
          },
        ],
        obstacles: [],
        warnings: [expect.objectContaining({ code: "TOO_LARGE" })],
      });
      const [{ durables }] = found.channels as [Plan["channels"][number]];
      expect([...durables].sort((a, b) => (a.durable < b.durable ? -1 : 1))).toEqual([
        {
          ...{ durable: "billing", client: ids.reader, consumer: "billing", connected: false, moved: false },
          ...{ lastSent: 4, pending: 3, maxInFlight: 3, ackWait: 60_000 },
        },
        {
          ...{ durable: "work", queue: "all", consumer: "work-all", connected: true, moved: false },
          ...{ lastSent: 5, pending: 0, maxInFlight: 7, ackWait: 30_000 },
        },
      ]);
    });

    test("changes nothing, neither in the source nor in streams that are there", async () => {
      const channel = await channelOf(fresh("kept"));
      await copy(between(channel));
      const js = await JetStream.open(nats().url);
      const all = async (): Promise<unknown[]> => [
        await stan().monitor("streaming/channelsz?subs=1"),
        await stan().monitor("streaming/clientsz?subs=1"),
        await js.ask("$JS.API.STREAM.LIST"),
        await js.ask(`$JS.API.CONSUMER.LIST.${channel}`),
        await js.messages(channel),
      ];
      const withoutTime = (page: unknown): string => JSON.stringify(page).replaceAll(/"(now|ts)":"[^"]*"/g, "");
      const before = await all();
      const found = await plan(between([channel, fresh("unknown")]));
      expect(found.channels[0]).toMatchObject({ channel, phase: "mirror", copied: 1, last: 1 });
      expect(withoutTime(await all())).toBe(withoutTime(before));
    });

    test("takes a pattern, and all channels by default", async () => {
      const one = await channelOf(fresh("shop.eu"));
      const other = await channelOf(fresh("shop.us"));
      const names = async (channels: BridgeOptions["channels"]): Promise<string[]> => {
        return (await plan(between(channels))).channels.map(({ channel }) => channel);
      };
      expect(await names("shop.*")).toEqual([one, other]);
      expect(await names(undefined)).toEqual(expect.arrayContaining([one, other]));
      expect(await names(`${fresh("nothing")}.*`)).toEqual([]);
    });

    test("tells without the monitoring page what it can, and what it cannot", async () => {
      const channel = await channelOf(fresh("dark"));
      const { from, ...options } = between(channel);
      const dark = { ...options, from: { ...from, monitor: undefined } };
      const found = await plan(dark);
      expect(found).toMatchObject({ ok: true, channels: [{ channel, stream: channel, durables: [], plain: 0 }] });
      expect(found.channels[0]!.last).toBeUndefined();
      expect(found.warnings).toContainEqual(expect.objectContaining({ code: "NO_MONITOR" }));
      expect(obstaclesOf(await plan({ ...dark, channels: "dark.*" }))).toEqual([["NO_MONITOR"]]);
    });

    test("finds names that collide: of streams, of subjects and of consumers", async () => {
      const name = fresh("twin");
      const channels = [await channelOf(`${name}.x`), await channelOf(`${name}_x`)];
      const reader = await open(stan());
      const stop = { durable: "a.b" };
      await reader.subscribe(channels[0]!, () => {}, stop);
      await reader.subscribe(channels[0]!, () => {}, { durable: "a_b" });
      expect(obstaclesOf(await plan(between(channels)))).toEqual([
        ["NAME_TAKEN", channels[0]],
        ["NAME_TAKEN", channels[0]],
        ["NAME_TAKEN", channels[0]],
        ["NAME_TAKEN", channels[1]],
      ]);
      const map = { [channels[0]!]: { stream: fresh("one") }, [channels[1]!]: { subject: channels[0]! } };
      const same = await plan({ ...between(channels), map });
      expect(same.obstacles.filter(({ text }) => text.includes("subject"))).toHaveLength(2);
    });

    test("finds foreign streams of the name and on the subject, and unknown channels", async () => {
      const js = await JetStream.open(nats().url);
      const taken = await channelOf(fresh("taken"));
      const captured = await channelOf(`${fresh("captured")}.eu`);
      await js.ask(`$JS.API.STREAM.CREATE.${taken}`, { name: taken, subjects: [`${taken}.x`] });
      const other = fresh("other");
      await js.ask(`$JS.API.STREAM.CREATE.${other}`, { name: other, subjects: [captured.replace(/eu$/, "*")] });
      const unknown = fresh("unknown");
      const found = await plan(between([taken, captured, unknown]));
      expect(found.ok).toBe(false);
      expect(new Set(obstaclesOf(found).map(String))).toEqual(
        new Set([`NAME_TAKEN,${taken}`, `NAME_TAKEN,${captured}`, `UNKNOWN_CHANNEL,${unknown}`]),
      );
      expect(found.channels.find(({ channel }) => channel === captured)!.capturedBy).toEqual([other]);
      for (const { text, remedy } of found.obstacles) expect(`${text} ${remedy}`).not.toContain("undefined");
    });

    test("finds a channel that began anew", async () => {
      const source = await RealServer.start();
      onTestFinished(() => source.stop("SIGKILL"));
      const client = await open(source);
      const channel = fresh("anew");
      await publishAll(client, channel, ["1", "2", "3"]);
      await client.close();
      const monitor = `http://127.0.0.1:${source.monitorPort}`;
      const options = between(channel);
      const from = { ...options.from, servers: source.url, monitor };
      await copy({ ...options, from });
      await source.restart();
      await publishAll(await open(source), channel, ["1"]);
      expect(obstaclesOf(await plan({ ...options, from }))).toEqual([["CHANNEL_REPLACED", channel]]);
    });

    test("names the subjects that the bridge may not publish to, and publishes nothing", async () => {
      const channel = await channelOf(fresh("secret"));
      const server = await serverWith({
        config: `authorization { users: [
          { user: all, password: all }
          { user: some, password: some, permissions: {
            publish: { deny: ["_stan.hole.>", "$JS.API.STREAM.PURGE.*", "$JS.API.CONSUMER.CREATE.>", "$JS.ACK.>"] }
          } }
        ] }`,
      });
      const as = (user: string): string => server.url.replace("//", `//${user}:${user}@`);
      await copy(between(channel, as("all")));
      const found = await plan(between(channel, as("some")));
      expect(obstaclesOf(found)).toEqual([["NOT_PERMITTED"]]);
      expect(found.obstacles[0]!.text).toBe(
        `the target denies 4 subjects: _stan.hole.${channel}, $JS.API.STREAM.PURGE.${channel}, ` +
          `$JS.API.CONSUMER.CREATE.${channel}.*, $JS.ACK.${channel}.*.1.1.1.1.0`,
      );
      const js = await JetStream.open(as("all"));
      expect(await js.state(channel)).toMatchObject({ messages: 1, first_seq: 1, last_seq: 1, num_subjects: 1 });
      expect(JSON.stringify(found)).not.toContain("some:some");
    });

    test("finds an account without JetStream, or with too little of it, and replicas on one server", async () => {
      const channels = [await channelOf(fresh("big")), await channelOf(fresh("bigger"))];
      const server = await serverWith({
        config: `accounts {
          NONE { users: [{ user: none, password: x }] }
          FEW { jetstream { max_streams: 1, max_store: 1000 }, users: [{ user: few, password: x }] }
          LITTLE { jetstream { max_store: 300 }, users: [{ user: little, password: x }] }
        }`,
      });
      const as = (user: string): BridgeOptions => between(channels, server.url.replace("//", `//${user}:x@`));
      expect(obstaclesOf(await plan(as("none")))).toEqual([["NO_JETSTREAM"]]);
      const few = await plan(as("few"));
      expect(few.obstacles.map(({ text }) => text)).toEqual(["the account needs 2 streams and may have 1"]);
      const little = await plan({ ...as("little"), replicas: 3 });
      expect(little.target).toMatchObject({ maxStorage: 300 });
      expect(obstaclesOf(little)).toEqual([["REFUSED"], ["REFUSED"]]);
      expect(little.obstacles[1]!.text).toMatch(/^the account needs \d+ bytes of storage and may have 300$/);
    });

    test("says of each end that is not there that it is not there, and goes on", async () => {
      const channel = await channelOf(fresh("lonely"));
      const [port] = await freePorts(1);
      const nobody = `nats://127.0.0.1:${port}`;
      const options = between(channel, nobody);
      expect(obstaclesOf(await plan(options))).toEqual([["TARGET_UNREACHABLE"]]);
      const noSource = { ...between(channel), from: { ...options.from, servers: nobody } };
      expect(obstaclesOf(await plan(noSource))).toEqual([["SOURCE_UNREACHABLE"]]);
      const from = { ...options.from, servers: nobody, monitor: `http://127.0.0.1:${port}` };
      const found = await plan({ ...options, from });
      expect(obstaclesOf(found)).toEqual([["SOURCE_UNREACHABLE"], ["NO_MONITOR"], ["TARGET_UNREACHABLE"]]);
      expect(found.channels).toMatchObject([{ channel, copied: 0 }]);
      const plainNats = await NatsServer.start();
      onTestFinished(() => plainNats.stop("SIGKILL"));
      expect(obstaclesOf(await plan(between(channel, plainNats.url)))).toEqual([["NO_JETSTREAM"]]);
    });

    test("wants the monitoring page of the server that leads the cluster", async () => {
      const channel = await channelOf(fresh("page"));
      const { from, ...options } = between(channel);
      for (const page of [
        { cluster_id: "another", state: "STANDALONE" },
        { cluster_id: "test-cluster", state: "CLUSTERED", role: "Follower" },
        { cluster_id: "test-cluster", state: "FT_STANDBY" },
      ]) {
        const server = createServer((_, response) => response.end(JSON.stringify({ ...page, last_seq: 1 })));
        const port = await new Promise<number>((resolve) => {
          server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
        });
        const found = await plan({ ...options, from: { ...from, monitor: `http://127.0.0.1:${port}` } });
        server.close();
        expect(obstaclesOf(found)).toEqual([["NO_MONITOR"]]);
      }
    });

    test.for([
      ["2.9.25", "VERSION"],
      ["2.10.20", "VERSION"],
      ["2.10.27", "VERSION"],
      ["2.10.28", undefined],
      ["2.11.1", "VERSION"],
      ["2.11.2", undefined],
      ["2.12.0-RC.1", undefined],
      ["3.0.0", undefined],
      ["of its own", "VERSION"],
    ] as const)("judges nats-server %s", async ([version, code]) => {
      const server = await FakeServer.start({
        greet: { version, jetstream: true },
        onFrame: ({ verb, subject, reply }, link) => {
          const refusal = { error: { err_code: 10_039, description: "not enabled" } };
          if (verb === "PUB" && subject === "$JS.API.INFO") link.deliver("1", reply!, JSON.stringify(refusal));
        },
      });
      onTestFinished(() => server.stop());
      const { from, ...options } = between(fresh("any"), server.url);
      const found = await plan({ ...options, from: { ...from, monitor: undefined } });
      expect(obstaclesOf(found).flat()).toEqual(code === undefined ? ["NO_JETSTREAM"] : [code, "NO_JETSTREAM"]);
    });

    test("rejects with ABORTED when its caller gives up, and with a TypeError for a wrong option", async () => {
      const controller = new AbortController();
      controller.abort();
      const { signal } = controller;
      await expect(plan({ ...between("x"), signal })).rejects.toMatchObject({ name: "BridgeError", code: "ABORTED" });
      const wrong = { ...between("x"), dryRun: true };
      await expect(plan(wrong)).rejects.toThrow(/^plan has no option "dryRun"/);
    });
  },
  ["streaming", "nats"],
);
