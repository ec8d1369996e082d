import { describe, expect, test } from "vitest";
import { copy } from "../../src/bridge/index.ts";
import { expectEqual, between, Following } from "../support/bridge.ts";
import { fresh, open, proxyTo, range } from "../support/clients.ts";
import { JetStream } from "../support/jetstream.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";

/** Headers as the bridge writes them, for what another bridge has done. */
function headersOf(sequence: number): Uint8Array {
  const time = "Nats-Streaming-Timestamp: 1970-01-01T00:00:00.000000000Z";
  const expected = `Nats-Expected-Last-Sequence: ${sequence - 1}`;
  const number = `Nats-Streaming-Sequence: ${sequence}`;
  return new TextEncoder().encode(`NATS/1.0\r\n${expected}\r\n${number}\r\n${time}\r\n\r\n`);
}

const NOTHING = new Uint8Array(0);

describeWithServer(
  "the copy of a channel",
  () => {
    const limits = `store_limits { channels { "few.>": { max_msgs: 5 }, "short.>": { max_age: "1s" } } }`;
    const stan = forSuite(() => RealServer.start({ store: "file", config: `streaming { ${limits} }` }));
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));

    /** A channel of its own with its stream, and who writes and reads there. */
    async function world(name: string) {
      const channel = `${name}.${fresh("c")}`;
      const [client, js] = [await open(stan()), await JetStream.open(nats().url)];
      const publish = (count: number): Promise<number> => client.publishMany(channel, range(1, count).map(String));
      const stream = channel.replaceAll(".", "_");
      return { channel, stream, client, js, publish, options: between(stan(), nats(), channel) };
    }

    describe("with holes", () => {
      test("begins at the channel's first number", async () => {
        const { channel, stream, client, js, publish, options } = await world("few");
        await publish(12);
        const { ok, channels } = await copy(options);
        expect({ ok, ...channels[0] }).toMatchObject({ ok: true, copied: 5, holes: 1, missing: 7, last: 12 });
        expect(await js.state(stream)).toMatchObject({ messages: 5, first_seq: 8, last_seq: 12 });
        await expectEqual(client, channel, 12, js, stream);
      });

      test("deletes in the stream what the channel has lost meanwhile, and no filler is left", async () => {
        const { stream, js, publish, options } = await world("few");
        await publish(3);
        await copy(options);
        await publish(2_500);
        const { channels } = await copy(options);
        expect(channels[0]).toMatchObject({ from: 4, copied: 5, holes: 1, missing: 2_495, last: 2_503 });
        expect(await js.state(stream)).toMatchObject({ messages: 8, num_deleted: 2_495, last_seq: 2_503 });
        const sequences = (await js.messages(stream)).map(({ sequence }) => sequence);
        expect(sequences).toEqual([1, 2, 3, ...range(2_499, 2_503)]);
      });

      test("goes on where a bridge died between fillers and their removal", async () => {
        const { channel, stream, js, publish, options } = await world("few");
        await publish(3);
        await copy(options);
        await publish(20);
        for (const n of range(4, 9)) await js.store(`_stan.hole.${stream}`, headersOf(n), NOTHING);
        expect(await js.state(stream)).toMatchObject({ messages: 9 });
        const { channels } = await copy(options);
        expect(channels[0]).toMatchObject({ from: 10, copied: 5, last: 23, channel });
        const messages = await js.messages(stream);
        expect(messages.map(({ sequence }) => sequence)).toEqual([1, 2, 3, ...range(19, 23)]);
        expect(new Set(messages.map(({ subject }) => subject))).toEqual(new Set([channel]));
      });

      test("follows the number of a channel that has lost all its messages, and ends", async () => {
        const { channel, stream, js, publish, options } = await world("short");
        await publish(3);
        await copy(options);
        await publish(3);
        const following = new Following(options);
        await following.reaches(6);
        await following.stop();
        await publish(4);
        const page = `streaming/channelsz?channel=${channel}`;
        await expect.poll(() => stan().monitor(page), { timeout: 15_000 }).toMatchObject({ msgs: 0, last_seq: 10 });
        const report = await copy(options);
        expect(report).toMatchObject({ ok: true, channels: [{ copied: 0, missing: 4, last: 10 }] });
        expect(await js.state(stream)).toMatchObject({ messages: 6, last_seq: 10 });
      });
    });

    describe("of which somebody else", () => {
      test("has written into the stream ends with FOREIGN_MESSAGE, also where the number is right", async () => {
        const { channel, stream, js, publish, options } = await world("a");
        await publish(2);
        const following = new Following(options);
        await following.reaches(2);
        js.connection.publish(`_stan.in.${stream}`, NOTHING);
        await js.connection.flush();
        await publish(1);
        const { ok, channels } = await following.ended;
        const error = { code: "FOREIGN_MESSAGE", message: expect.stringMatching(`^${channel}: message 3 of`) };
        expect({ ok, ...channels[0] }).toMatchObject({ ok: false, state: "ended", error });
        expect(await copy(options)).toMatchObject({ ok: false, channels: [{ copied: 0, error }] });
      });

      test("publishes to the channel's name in JetStream has nothing stored: the door is closed", async () => {
        const { channel, stream, js, publish, options } = await world("a");
        await publish(1);
        await copy(options);
        await expect(js.ask(channel)).rejects.toMatchObject({ code: "NO_RESPONDERS" });
        expect(await js.state(stream)).toMatchObject({ last_seq: 1 });
      });

      test("runs another bridge ends with BRIDGE_RUNS, when that has copied a window", async () => {
        const { channel, client, js, stream, publish, options } = await world("a");
        const proxy = await proxyTo(stan());
        await publish(10);
        const slow = new Following({ ...between(proxy, nats(), channel), map: {} });
        await slow.reaches(10);
        proxy.stall();
        await publish(3_000);
        expect(await copy(options)).toMatchObject({ ok: true, channels: [{ copied: 3_000 }] });
        proxy.go();
        expect(await slow.ended).toMatchObject({ ok: false, channels: [{ error: { code: "BRIDGE_RUNS" } }] });
        await expectEqual(client, channel, 3_010, js, stream);
      });

      test("holds the bridge's client ID is not begun: BRIDGE_RUNS", async () => {
        const { channel, options } = await world("a");
        await open(stan(), { clientId: options.from.clientId! });
        const message = expect.stringContaining(options.from.clientId!) as string;
        const error = { code: "BRIDGE_RUNS", message, channel: undefined };
        await expect(copy({ ...options, channels: channel })).rejects.toMatchObject(error);
      });

      test("has a stream of this name, or one of this subject, ends with NAME_TAKEN", async () => {
        const { channel, stream, js, publish, options } = await world("a");
        await publish(1);
        await js.ask(`$JS.API.STREAM.CREATE.${stream}`, { name: stream, subjects: [`other.${stream}`] });
        const inUse = expect.stringContaining(`a stream ${stream} that is not a copy`);
        const error = { code: "NAME_TAKEN", message: inUse };
        expect(await copy(options)).toMatchObject({ ok: false, channels: [{ error }] });
        const other = fresh("s");
        const map = { [channel]: { stream: other } };
        await js.ask(`$JS.API.STREAM.UPDATE.${stream}`, { name: stream, subjects: [`_stan.hole.${other}`] });
        const overlap = { code: "NAME_TAKEN", message: expect.stringContaining("cannot be made") };
        expect(await copy({ ...options, map })).toMatchObject({ ok: false, channels: [{ error: overlap }] });
        await js.ask(`$JS.API.STREAM.DELETE.${stream}`);
      });
    });

    test("begins anew where the stream has gone back, or is gone: the stream is the only state", async () => {
      const { channel, stream, client, js, publish, options } = await world("a");
      await publish(50);
      const following = new Following(options);
      await following.reaches(50);
      await js.ask(`$JS.API.STREAM.DELETE.${stream}`);
      await publish(1);
      await following.until("all is copied again", ({ copied, last }) => copied === 101 && last === 51);
      await expectEqual(client, channel, 51, js, stream);
    });

    test("with more bytes than may be under way has fewer messages under way", async () => {
      const { channel, stream, client, js, options } = await world("a");
      const sizes = [...range(1, 60).map((i) => (i % 2 === 0 ? 900_000 : 10)), 7];
      await client.publishMany(channel, sizes.map((size) => new Uint8Array(size).fill(size)));
      expect(await copy(options)).toMatchObject({ ok: true, channels: [{ copied: 61, resyncs: 0 }] });
      await expectEqual(client, channel, 61, js, stream);
    });
  },
  ["streaming", "nats"],
);
