import { expect, onTestFinished, test } from "vitest";
import { copy, verify } from "../../src/bridge/index.ts";
import type { VerifyReport } from "../../src/bridge/index.ts";
import { between } from "../support/bridge.ts";
import { fresh, open, proxyTo, range } from "../support/clients.ts";
import { JetStream } from "../support/jetstream.ts";
import type { StreamMessage } from "../support/jetstream.ts";
import { channelPage } from "../support/monitor.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

describeWithServer(
  "a comparison",
  () => {
    const limits = `store_limits { channels { "few.>": { max_msgs: 5 }, "short.>": { max_age: "2s" } } }`;
    const stan = forSuite(() => RealServer.start({ store: "file", config: `streaming { ${limits} }` }));
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));

    /** A channel with a number of messages, each with a reply, and who writes and reads there. */
    async function world(count: number, name = "some") {
      const channel = `${name}.${fresh("c")}`;
      const stream = channel.replaceAll(".", "_");
      const [client, js] = [await open(stan()), await JetStream.open(nats().url)];
      const publish = async (more: number): Promise<void> => {
        const items = range(1, more).map((n) => ({ data: `message ${n}`, reply: `reply ${n}` }));
        await Promise.all(items.map(({ data, reply }) => client.publish(channel, data, { reply })));
      };
      await publish(count);
      return { channel, stream, client, js, publish, options: between(stan(), nats(), channel) };
    }

    /** Makes a stream anew, of other messages. */
    async function replace(js: JetStream, stream: string, messages: readonly StreamMessage[]): Promise<void> {
      const config = await js.config(stream);
      await js.ask(`$JS.API.STREAM.DELETE.${stream}`);
      await js.ask(`$JS.API.STREAM.CREATE.${stream}`, config);
      for (const { headers, data } of messages) {
        const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
        const block = new TextEncoder().encode(`NATS/1.0\r\n${lines.join("")}\r\n`);
        const payload = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
        await js.store(`_stan.in.${stream}`, block, payload);
      }
    }

    const only = ({ channels }: VerifyReport): VerifyReport["channels"][number] => channels[0]!;
    const found = ({ list }: VerifyReport["channels"][number]): string[] => {
      return list.map(({ what, first, last }) => `${what} ${first}-${last}`);
    };

    test("finds nothing in a copy, and says how much it has compared", async () => {
      const { channel, stream, options } = await world(5_000);
      await copy(options);
      const bytes = range(1, 5_000).reduce((sum, n) => sum + `message ${n}`.length, 0);
      const report = await verify(options);
      expect(JSON.parse(JSON.stringify(report))).toEqual({
        ok: true,
        channels: [
          {
            ...{ channel, stream, phase: "mirror", compared: 5_000, bytes, last: 5_000, end: 5_000, notCopied: 0 },
            ...{ goneFromChannel: 0, goneFromStream: 0, direct: 0, differences: 0, list: [] },
          },
        ],
      });
      const withoutPage = { ...options, from: { ...options.from, monitor: undefined }, fromSequence: 4_001 };
      expect(only(await verify(withoutPage))).toMatchObject({ compared: 1_000, differences: 0, last: 5_000 });
    });

    test("leaves nothing behind, neither in the source nor in the target", async () => {
      const { channel, stream, js, options } = await world(3);
      await copy(options);
      await verify(options);
      expect((await channelPage(stan(), channel))!.subscriptions).toBeUndefined();
      const consumers = await js.ask<{ consumers: string[] | null }>(`$JS.API.CONSUMER.NAMES.${stream}`);
      expect(consumers.consumers ?? []).toEqual([]);
    });

    test("names each difference, with neighbours together", async () => {
      const { stream, js, options } = await world(20);
      await copy(options);
      const messages = await js.messages(stream);
      const change = (n: number, headers: Record<string, string>, data = messages[n - 1]!.data): void => {
        messages[n - 1] = { ...messages[n - 1]!, data, headers: { ...messages[n - 1]!.headers, ...headers } };
      };
      change(2, {}, btoa("Message 2"));
      change(3, {}, btoa("message 3 "));
      change(5, { "Nats-Streaming-Timestamp": "2020-02-29T12:00:00.000000001Z" });
      change(6, { "Nats-Streaming-Timestamp": "yesterday" });
      change(8, { "Nats-Streaming-Reply": "reply 9" });
      change(10, { "Nats-Streaming-Sequence": "11" });
      messages.push({ ...messages[19]!, headers: { "Nats-Streaming-Sequence": "21" } });
      await replace(js, stream, messages);
      for (const seq of [12, 13, 14, 20]) await js.ask(`$JS.API.STREAM.MSG.DELETE.${stream}`, { seq });
      const report = await verify(options);
      expect(report.ok).toBe(false);
      expect(found(only(report))).toEqual([
        ...["data 2-3", "time 5-6", "reply 8-8", "foreign 10-10", "missing 12-14", "missing 20-20", "extra 21-21"],
      ]);
      expect(only(report)).toMatchObject({ differences: 11, compared: 16, notCopied: 0 });
    });

    test("takes times as stan2js writes them, without zeros at the end", async () => {
      const { stream, js, options } = await world(200);
      await copy(options);
      const messages = (await js.messages(stream)).map((message) => {
        const time = message.headers["Nats-Streaming-Timestamp"]!.replace(/\.?0+Z$/, "Z");
        return { ...message, headers: { ...message.headers, "Nats-Streaming-Timestamp": time } };
      });
      await replace(js, stream, messages);
      expect(await verify(options)).toMatchObject({ ok: true });
    });

    test("counts what is not copied yet, which is no difference", async () => {
      const { options, publish } = await world(3);
      await copy(options);
      await publish(4);
      expect(await verify(options)).toMatchObject({ ok: true, channels: [{ compared: 3, notCopied: 4, end: 7 }] });
    });

    test("counts what the channel's limits have removed, before the copy and since then", async () => {
      const { options, publish } = await world(7, "few");
      await copy(options);
      await publish(20);
      await copy(options);
      await publish(2);
      const report = await verify(options);
      expect(report.ok).toBe(true);
      expect(only(report)).toMatchObject({ goneFromChannel: 7, compared: 3, notCopied: 2, end: 29 });
    });

    test("comes to its end when the channel has lost all its messages", async () => {
      const { channel, options } = await world(4, "short");
      await copy(options);
      const proxy = await proxyTo(nats());
      const through = { ...options, to: { servers: proxy.url } };
      // The target stands still when it is to deliver the first batch, until the channel is empty.
      const eaten = proxy.eat(({ verb, subject }) => verb === "PUB" && subject.includes("MSG.NEXT"), "up");
      const verifying = verify(through);
      await eaten;
      await until("the channel is empty", async () => (await channelPage(stan(), channel))!.msgs === 0, 20_000);
      proxy.cut();
      const report = only(await verifying);
      expect(report.compared + report.goneFromChannel).toBe(4);
      expect(report).toMatchObject({ differences: 0, end: 4 });
      expect(await verify(options)).toMatchObject({ ok: true, channels: [{ compared: 0, goneFromChannel: 4 }] });
    });

    test("counts what the stream's age has removed", async () => {
      const { stream, js, options, publish } = await world(3);
      const short = { ...options, maxAge: 1_000 };
      await copy(short);
      await until("the messages are gone", async () => (await js.state(stream)).messages === 0, 20_000);
      await publish(2);
      await copy(short);
      const { goneFromStream, compared, differences } = only(await verify(short));
      expect({ all: goneFromStream + compared, differences }).toEqual({ all: 5, differences: 0 });
      expect(goneFromStream).toBeGreaterThanOrEqual(3);
    });

    test("goes on after cuts of both sides, and takes a lost delivery for none", async () => {
      const { options } = await world(6_000);
      await copy(options);
      const [source, target] = [await proxyTo(stan()), await proxyTo(nats())];
      const lost = source.eat(({ payload }) => new TextDecoder().decode(payload).includes("message 1500"), "down");
      const has = (text: string) => (frame: { payload: Uint8Array }) => {
        return new TextDecoder().decode(frame.payload).includes(text);
      };
      const cuts = [
        source.eat(has("message 4000"), "down").then(() => source.cut()),
        target.eat(has("message 3000"), "down").then(() => target.cut()),
        target.eat(has("message 5500"), "down").then(() => target.cut()),
      ];
      const report = await verify({
        ...options,
        from: { ...options.from, servers: source.url },
        to: { servers: target.url },
      });
      await Promise.all([lost, ...cuts]);
      expect(report).toMatchObject({ ok: true, channels: [{ compared: 6_000, last: 6_000 }] });
    }, 60_000);

    test("waits for a source that is down", async () => {
      const source = await RealServer.start({ store: "file" });
      onTestFinished(() => source.stop("SIGKILL"));
      const proxy = await proxyTo(source);
      const client = await open(source);
      const channel = fresh("c");
      await Promise.all(range(1, 5_000).map((n) => client.publish(channel, `message ${n}`)));
      await client.close();
      const options = between(source, nats(), channel);
      await copy(options);
      const eaten = proxy.eat(({ payload }) => new TextDecoder().decode(payload).includes("message 2500"), "down");
      let told = 0;
      const from = { ...options.from, servers: proxy.url };
      const verifying = verify({ ...options, from, onProgress: () => void told++ });
      await eaten;
      await source.kill();
      const before = told;
      await until("it has waited for some time", () => told > before + 1);
      await source.restart();
      expect(await verifying).toMatchObject({ ok: true, channels: [{ compared: 5_000 }] });
    }, 60_000);

    test("knows producers' own messages in a stream that is open to them", async () => {
      const { channel, stream, js, options, publish } = await world(3);
      await copy(options);
      const config = await js.config(stream);
      const metadata = { ...(config["metadata"] as object), "stan.phase": "merge", "stan.opened": "3" };
      const [subjects, subject_transform] = [[channel], undefined];
      await js.ask(`$JS.API.STREAM.UPDATE.${stream}`, { ...config, subjects, metadata, subject_transform });
      const store = async (number?: number): Promise<void> => {
        const headers = number === undefined ? "" : `Nats-Streaming-Sequence: ${number}\r\n`;
        const block = new TextEncoder().encode(`NATS/1.0\r\n${headers}\r\n`);
        await js.store(channel, block, new Uint8Array(1));
      };
      await publish(4);
      await store();
      await store(4);
      await store();
      await store(4);
      await store(6);
      const report = only(await verify(options));
      expect(report).toMatchObject({ phase: "merge", direct: 2, compared: 5, notCopied: 1, end: 7 });
      expect(found(report)).toEqual(["data 4-4", "again 4-4", "missing 5-5", "data 6-6"]);
    });

    test("says which channels it cannot compare, and compares the others", async () => {
      const { channel, js, options } = await world(2);
      await copy(options);
      const [bare, foreign] = [await world(1), await world(1)];
      await js.ask(`$JS.API.STREAM.CREATE.${foreign.stream}`, { name: foreign.stream, subjects: [foreign.stream] });
      const unknown = fresh("unknown");
      const map = { [unknown]: { stream: options.channels === channel ? channel.replaceAll(".", "_") : "" } };
      const channels = [channel, bare.channel, foreign.channel, unknown];
      const report = await verify({ ...options, map, channels });
      expect(report.ok).toBe(false);
      expect(Object.fromEntries(report.channels.map((each) => [each.channel, each.error?.code]))).toEqual({
        [channel]: undefined,
        [bare.channel]: "NOT_LEVEL",
        [foreign.channel]: "NAME_TAKEN",
        [unknown]: "NAME_TAKEN",
      });
      expect(report.channels.find((each) => each.channel === channel)).toMatchObject({ compared: 2 });
    });

    test("ends with ABORTED when its caller gives up, also while a side does not answer", async () => {
      const { options } = await world(3);
      await copy(options);
      const proxy = await proxyTo(nats());
      const eaten = proxy.eat(({ verb, subject }) => verb === "PUB" && subject.includes("MSG.NEXT"), "up");
      const controller = new AbortController();
      const to = { servers: proxy.url };
      const verifying = verify({ ...options, to, signal: controller.signal });
      await eaten;
      controller.abort();
      await expect(verifying).rejects.toMatchObject({ name: "BridgeError", code: "ABORTED" });
    });

    test("compares what was there at its beginning, while a copy goes on", async () => {
      const { options, publish } = await world(3);
      await copy(options);
      const proxy = await proxyTo(nats());
      const eaten = proxy.eat(({ verb, subject }) => verb === "PUB" && subject.includes("MSG.NEXT"), "up");
      const verifying = verify({ ...options, to: { servers: proxy.url } });
      await eaten;
      await publish(5);
      await copy({ ...options, from: { ...options.from, clientId: fresh("bridge") } });
      proxy.cut();
      const report = await verifying;
      expect(report).toMatchObject({ ok: true, channels: [{ compared: 3, end: 3, last: 3, notCopied: 0 }] });
    });

    test("tells how far it is", async () => {
      const { options } = await world(3);
      await copy(options);
      const proxy = await proxyTo(nats());
      const eaten = proxy.eat(({ verb, subject }) => verb === "PUB" && subject.includes("MSG.NEXT"), "up");
      const told: number[] = [];
      const to = { servers: proxy.url };
      const verifying = verify({ ...options, to, onProgress: ({ compared, end }) => void told.push(compared, end) });
      await eaten;
      await until("it has told", () => told.length > 0);
      expect(told.slice(0, 2)).toEqual([0, 3]);
      proxy.cut();
      expect(await verifying).toMatchObject({ ok: true });
    });

    test("rejects with a TypeError for wrong options", async () => {
      const options = between(stan(), nats(), "x");
      await expect(verify({ ...options, fromSequence: 0 })).rejects.toThrow(/^fromSequence must be a whole number/);
      const onProgress = "log" as unknown as () => void;
      await expect(verify({ ...options, onProgress })).rejects.toThrow(/^onProgress must be a function/);
      await expect(verify({ ...options, sequence: 1 } as never)).rejects.toThrow(/^verify has no option "sequence"/);
    });
  },
  ["streaming", "nats"],
);
