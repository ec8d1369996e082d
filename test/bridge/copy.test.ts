import { describe, expect, test } from "vitest";
import { copy } from "../../src/bridge/index.ts";
import type { BridgeOptions, CopyProgress } from "../../src/bridge/index.ts";
import { between, expectEqual, Following } from "../support/bridge.ts";
import { fresh, open, proxyTo, range } from "../support/clients.ts";
import { asCopies, copiesOf, JetStream } from "../support/jetstream.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import type { Proxy } from "../support/proxy.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";

describeWithServer(
  "a copy",
  () => {
    const stan = forSuite(() => RealServer.start({ store: "file" }));
    const nats = forSuite(() => NatsServer.start({ jetstream: true, config: "max_payload: 2000" }));

    const optionsFor = (channels: BridgeOptions["channels"], more: Partial<BridgeOptions> = {}): BridgeOptions =>
      between(stan(), nats(), channels!, more);

    test("has each message of the channel under its number, with its time and its reply", async () => {
      const client = await open(stan());
      const channel = fresh("orders");
      await client.publish(channel, "one");
      await client.publish(channel, "", { reply: "a reply: é" });
      await client.publish(channel, new Uint8Array([13, 10, 0, 255]));
      const report = await copy(optionsFor(channel));
      const stream = channel;
      expect(report).toEqual({
        ok: true,
        channels: [
          {
            ...{ channel, stream, phase: "mirror", state: "ended", from: 1, last: 3, end: 3 },
            ...{ copied: 3, bytes: 7, holes: 0, missing: 0, resyncs: 0 },
          },
        ],
      });
      const js = await JetStream.open(nats().url);
      expect(asCopies(await js.messages(stream))).toEqual(await copiesOf(client, channel, 3));
      expect(await copy(optionsFor(channel))).toMatchObject({ ok: true, channels: [{ copied: 0, from: 4, last: 3 }] });
    });

    test("takes channels side by side, and one that does not fit ends while the others go on", async () => {
      const client = await open(stan());
      const js = await JetStream.open(nats().url);
      const [group, channels] = [fresh("g"), range(1, 5)];
      const named = (i: number): string => `${group}.${i}`;
      for (const i of channels) await client.publishMany(named(i), range(1, 300).map((n) => "x".repeat(n)));
      // The headers of message 301 have 134 bytes.
      await client.publish(named(2), new Uint8Array(2_000 - 134));
      await client.publish(named(3), new Uint8Array(2_000 - 133));
      await client.publish(named(3), "behind it");
      await js.ask("$JS.API.STREAM.CREATE.taken", { name: "taken", subjects: [named(4)] });
      const told: CopyProgress[] = [];
      const five = { stream: `${group}_five`, subject: `${group}.five` };
      const map = { [named(4)]: { stream: "taken" }, [named(5)]: five };
      const options = optionsFor(`${group}.*`, { map });
      const report = await copy({ ...options, onProgress: (progress) => told.push(progress) });
      const message = `${named(3)}: message 301 has 2001 bytes with its headers, and the target takes 2000`;
      const tooLarge = { code: "TOO_LARGE", message };
      expect(report).toMatchObject({
        ok: false,
        channels: [
          { channel: named(1), state: "ended", copied: 300, last: 300 },
          { channel: named(2), state: "ended", copied: 301, last: 301 },
          { channel: named(3), state: "ended", copied: 300, last: 300, end: 302, error: tooLarge },
          { channel: named(4), state: "ended", copied: 0, error: { code: "NAME_TAKEN" } },
          { channel: named(5), state: "ended", copied: 300, stream: `${group}_five` },
        ],
      });
      expect(told.at(-1)).toEqual({ channels: report.channels });
      await expectEqual(client, named(2), 301, js, `${group}_2`);
      const messages = await js.messages(five.stream);
      expect(new Set(messages.map(({ subject }) => subject))).toEqual(new Set([five.subject]));
      await js.ask("$JS.API.STREAM.DELETE.taken");
    });

    test("makes the streams as the options say", async () => {
      const client = await open(stan());
      const js = await JetStream.open(nats().url);
      const [one, other] = [fresh("a"), fresh("b")];
      for (const channel of [one, other]) await client.publish(channel, "1");
      const map = { [other]: { maxAge: 3_600_000, maxMessages: 10 } };
      await copy(optionsFor([one, other], { map, maxAge: 60_000, storage: "memory" }));
      const limits = { max_msgs: -1, max_bytes: -1, discard: "old", retention: "limits" };
      const common = { ...limits, storage: "memory", num_replicas: 1 };
      expect(await js.config(one)).toMatchObject({ ...common, max_age: 60e9, duplicate_window: 60e9 });
      expect(await js.config(other)).toMatchObject({
        ...{ ...common, max_age: 3600e9, duplicate_window: 600e9 },
        subjects: [`_stan.in.${other}`, `_stan.hole.${other}`],
        subject_transform: { src: `_stan.in.${other}`, dest: other },
        metadata: { "stan.cluster": "test-cluster", "stan.channel": other, "stan.phase": "mirror" },
      });
    });

    test("needs no monitoring page for channels that are named", async () => {
      const client = await open(stan());
      const channels = [fresh("a"), fresh("b")];
      await client.publishMany(channels[0]!, range(1, 50).map(String));
      const report = await copy(between({ url: stan().url }, nats(), channels));
      expect(report).toMatchObject({ ok: true, channels: [{ copied: 50, last: 50 }, { copied: 0, last: 0 }] });
    });

    test("of a channel that the source does not have ends with UNKNOWN_CHANNEL", async () => {
      const error = { code: "UNKNOWN_CHANNEL", remedy: expect.stringContaining("name") };
      expect(await copy(optionsFor(fresh("none")))).toMatchObject({ ok: false, channels: [{ error }] });
    });

    test("ends where the channel ended at its start, also while somebody publishes", async () => {
      const client = await open(stan());
      const channel = fresh("a");
      await client.publishMany(channel, range(1, 1_000).map(String));
      // So slow that something is under way at any time.
      const proxy = await proxyTo(nats());
      proxy.delay(40);
      let isOver = false;
      const publishing = (async () => {
        while (!isOver) await client.publishMany(channel, range(1, 20).map(String));
      })();
      const { ok, channels } = await copy(between(stan(), proxy, channel));
      isOver = true;
      await publishing;
      expect({ ok, ...channels[0] }).toMatchObject({ ok: true, state: "ended", from: 1 });
      expect(channels[0]!.last).toBeGreaterThanOrEqual(1_000);
    });

    describe("that is aborted", () => {
      test("rejects with ABORTED, and resolves if it follows channels", async () => {
        const client = await open(stan());
        const channel = fresh("a");
        await client.publish(channel, "1");
        const following = new Following(optionsFor(channel));
        await following.reaches(1);
        await client.publish(channel, "2");
        await following.reaches(2);
        const ended = { state: "ended", last: 2 };
        expect(await following.stop()).toMatchObject({ ok: true, channels: [ended] });
        const controller = new AbortController();
        controller.abort("enough");
        const { signal } = controller;
        const aborted = { code: "ABORTED", cause: "enough" };
        await expect(copy({ ...optionsFor(channel), signal })).rejects.toMatchObject(aborted);
      });

      test("ends although the source or the target is away, or silent", async () => {
        const [client, channel] = [await open(stan()), fresh("a")];
        await client.publish(channel, "1");
        const { monitorPort } = stan();
        const away = (proxy: Proxy): void => {
          proxy.refuse();
          proxy.cut();
        };
        const silent = (proxy: Proxy): void => proxy.blackHole();
        const outages = [["source", away], ["target", away], ["target", silent]] as const;
        const worlds = await Promise.all(outages.map(async ([side, begin], i) => {
          const proxy = await proxyTo(side === "source" ? stan() : nats());
          const source = { monitorPort, url: side === "source" ? proxy.url : stan().url };
          const target = side === "target" ? proxy : nats();
          const map = { [channel]: { stream: `${channel}-${i}`, subject: `${channel}-${i}` } };
          const following = new Following(between(source, target, channel, { map }));
          await following.reaches(1);
          return { following, begin: () => begin(proxy) };
        }));
        for (const { begin } of worlds) begin();
        await client.publish(channel, "2");
        for (const { following } of worlds) await following.until("it waits", ({ state }) => state === "waiting");
        for (const { following } of worlds) {
          expect(await following.stop()).toMatchObject({ ok: true, channels: [{ last: 1, state: "ended" }] });
        }
      });
    });

    test("without one of its ends is not begun, and says which one is missing", async () => {
      const nowhere = "nats://127.0.0.1:1";
      const { from, to } = optionsFor("a");
      const source = copy({ from: { ...from, servers: nowhere }, to, channels: "a" });
      await expect(source).rejects.toMatchObject({ code: "SOURCE_UNREACHABLE" });
      const target = copy({ from, to: { servers: nowhere }, channels: "a" });
      await expect(target).rejects.toMatchObject({ code: "TARGET_UNREACHABLE" });
      const page = { ...from, monitor: "http://127.0.0.1:1" };
      const error = { code: "NO_MONITOR" };
      await expect(copy({ from: page, to })).rejects.toMatchObject(error);
      expect(await copy({ from: page, to, channels: "a" })).toMatchObject({ channels: [{ error }] });
    });
  },
  ["streaming", "nats"],
);
