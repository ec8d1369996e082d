import { expect, test } from "vitest";
import { copy, move } from "../../src/bridge/index.ts";
import type { BridgeOptions } from "../../src/bridge/index.ts";
import type { Client, SubscribeOptions } from "../../src/index.ts";
import { fresh, open, range } from "../support/clients.ts";
import { type Fetched, JetStream } from "../support/jetstream.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** A channel, and what bridges it. */
interface Bridged {
  readonly publisher: Client;
  readonly channel: string;
  readonly options: BridgeOptions;
}

const odd = (sequence: number): boolean => sequence % 2 === 1;
const once = (numbers: readonly number[]): Fetched[] => numbers.map((sequence) => ({ sequence, deliveries: 1 }));
const again = (numbers: readonly number[]): Fetched[] => numbers.map((sequence) => ({ sequence, deliveries: 2 }));

describeWithServer(
  "a move",
  () => {
    const stan = forSuite(() => RealServer.start({ store: "file" }));
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));

    /** A channel with messages. */
    async function channelWith(count: number): Promise<Bridged> {
      const [publisher, channel] = [await open(stan()), fresh("orders")];
      await publish(publisher, channel, count);
      const monitor = `http://127.0.0.1:${stan().monitorPort}`;
      const from = { clusterId: "test-cluster", clientId: fresh("bridge"), servers: stan().url, monitor };
      return { publisher, channel, options: { from, to: { servers: nats().url } } };
    }

    async function publish(publisher: Client, channel: string, count: number): Promise<void> {
      await Promise.all(range(1, count).map((i) => publisher.publish(channel, String(i))));
    }

    /** Has a durable be given at least `count` messages. Its consumer leaves. Returns what it has acknowledged. */
    async function consume(
      { channel }: Bridged,
      clientId: string,
      count: number,
      acks: (sequence: number) => boolean,
      options: SubscribeOptions,
    ): Promise<number[]> {
      const client = await open(stan(), { clientId });
      const acked: number[] = [];
      let got = 0;
      const all = { startAt: "first", manualAck: true, maxInFlight: count, ...options } as const;
      await client.subscribe(
        channel,
        (message) => {
          if (++got > count || !acks(message.sequence)) return;
          message.ack();
          acked.push(message.sequence);
        },
        all,
      );
      await until("it has had them", () => got >= count);
      await client.drain();
      return acked;
    }

    /** What a durable of this position has to be given. */
    const open_ = (acked: readonly number[], lastSent: number): number[] => {
      return range(1, lastSent).filter((n) => !acked.includes(n));
    };

    test("of a durable that has acknowledged all goes on behind its last message", async () => {
      const bridged = await channelWith(20);
      const { channel, options, publisher } = bridged;
      const client = fresh("billing");
      await consume(bridged, client, 20, () => true, { durable: "d", maxInFlight: 7 });
      await publish(publisher, channel, 10);
      await copy({ ...options, channels: channel });
      const report = await move({ ...options, channel, durable: "d", client });
      expect(report).toEqual({
        ...{ ok: true, channel, stream: channel, consumer: "d", durable: "d", client, back: false, dryRun: false },
        ...{ changed: true, lastSent: 20, pending: 0, unacknowledged: [], by: "page", ackWait: 30_000, maxInFlight: 7 },
      });
      const js = await JetStream.open(nats().url);
      expect(await js.fetch(channel, "d", 7)).toEqual(once(range(21, 27)));
      expect(await move({ ...options, channel, durable: "d", client })).toMatchObject({
        changed: false,
        consumer: "d",
      });
    });

    test("of a durable with acks out of order hands out what has none, and goes on behind it", async () => {
      const bridged = await channelWith(60);
      const { channel, options } = bridged;
      const client = fresh("billing");
      const acked = await consume(bridged, client, 40, (n) => odd(n) && n > 10, { durable: "d.1", ackWait: 2_000 });
      await copy({ ...options, channels: channel });
      const dry = await move({ ...options, channel, durable: "d.1", client, dryRun: true });
      const open = open_(acked, dry.lastSent);
      expect(open.length).toBeGreaterThan(20);
      expect(dry).toMatchObject({ dryRun: true, changed: true, pending: open.length });
      const report = await move({ ...options, channel, durable: "d.1", client, maxInFlight: 5_000 });
      expect(report).toMatchObject({ consumer: "d_1", unacknowledged: open, maxInFlight: 5_000, ackWait: 2_000 });
      expect(report.lastSent).toBe(dry.lastSent);
      const js = await JetStream.open(nats().url);
      const fetched = await js.fetch(channel, "d_1", 60 - dry.lastSent + open.length);
      expect(fetched).toEqual([...again(open), ...once(range(dry.lastSent + 1, 60))]);
    });

    test("of a queue group hands out what its members have not acknowledged, together", async () => {
      const bridged = await channelWith(90);
      const { channel, options } = bridged;
      const members = await Promise.all(range(1, 3).map(() => open(stan())));
      const acked: number[] = [];
      let got = 0;
      for (const member of members) {
        await member.subscribe(
          channel,
          (message) => {
            if (++got > 50 || message.sequence % 3 === 0) return;
            message.ack();
            acked.push(message.sequence);
          },
          { durable: "d", queue: "q", startAt: "first", manualAck: true, maxInFlight: 20, ackWait: 60_000 },
        );
      }
      await until("the group has had them", () => got >= 50);
      await copy({ ...options, channels: channel });
      const all = { ...options, channel, durable: "d", queue: "q" };
      await expect(move(all)).rejects.toMatchObject({ name: "BridgeError", code: "CONSUMER_CONNECTED", channel });
      for (const member of members) await member.drain();
      const report = await move(all);
      expect(report).toMatchObject({ consumer: "d-q", unacknowledged: open_(acked, report.lastSent), ackWait: 60_000 });
      const js = await JetStream.open(nats().url);
      const left = report.unacknowledged!.length + 90 - report.lastSent;
      const fetched = await js.fetch(channel, "d-q", Math.min(left, report.maxInFlight));
      const expected = [...again(report.unacknowledged!), ...once(range(report.lastSent + 1, 90))];
      expect(fetched).toEqual(expected.slice(0, report.maxInFlight));
    });

    test("back acknowledges in the streaming server what JetStream has an ack for, and no more", async () => {
      const bridged = await channelWith(50);
      const { channel, options } = bridged;
      const client = fresh("billing");
      const acked = await consume(bridged, client, 20, (n) => n !== 7, { durable: "d" });
      await copy({ ...options, channels: channel });
      const all = { ...options, channel, durable: "d", client };
      const { lastSent } = await move(all);
      const js = await JetStream.open(nats().url);
      const fetched = await js.fetch(channel, "d", 20, ({ sequence }) => !odd(sequence));
      const done = [...acked, ...fetched.map(({ sequence }) => sequence).filter((n) => !odd(n))];
      const last = Math.max(lastSent, ...fetched.map(({ sequence }) => sequence));
      expect(await move({ ...all, back: true })).toMatchObject({
        back: true,
        changed: true,
        unacknowledged: open_(done, last),
      });
      const left: number[] = [];
      const again = await open(stan(), { clientId: client });
      await again.subscribe(channel, ({ sequence }) => void left.push(sequence), { durable: "d", maxInFlight: 100 });
      await until("the last came", () => left.includes(50));
      expect(left.sort((a, b) => a - b)).toEqual(open_(done, 50));
      await again.close();
      expect(await move(all)).toMatchObject({ changed: true, lastSent: 50, unacknowledged: [] });
    });

    /** Calls, and aborts when the target has seen so many of its requests. Returns whether the call came to its end. */
    async function abortedAfter(requests: number, js: JetStream, call: (signal: AbortSignal) => Promise<unknown>) {
      const stop = new AbortController();
      let left = requests;
      const seen = (): void => void (--left === 0 && stop.abort());
      const subjects = ["$JS.API.>", "$JS.ACK.>"];
      const sids = subjects.map((subject) => js.connection.subscribe(subject, { deliver: seen, denied: seen }));
      await js.connection.flush();
      const outcome = await call(stop.signal).then(
        () => "done",
        (error: { code: string }) => error.code,
      );
      for (const sid of sids) js.connection.unsubscribe(sid);
      expect(["done", "ABORTED"]).toContain(outcome);
      return outcome === "done";
    }

    test("there and back, ended at each of its requests and called again, is exact", async () => {
      const bridged = await channelWith(60);
      const { channel, options } = bridged;
      const client = fresh("billing");
      const acked = await consume(bridged, client, 40, odd, { durable: "d", ackWait: 60_000 });
      await copy({ ...options, channels: channel });
      const all = { ...options, channel, durable: "d", client };
      const { lastSent, maxInFlight } = await move({ ...all, dryRun: true });
      const unacknowledged = open_(acked, lastSent);
      const js = await JetStream.open(nats().url);
      const there = (signal: AbortSignal): Promise<unknown> => move({ ...all, maxInFlight, signal });
      const back = (signal: AbortSignal): Promise<unknown> => move({ ...all, back: true, signal });
      let steps = 0;
      while (!(await abortedAfter(++steps, js, there)));
      expect(steps).toBeGreaterThan(10);
      expect(await js.fetch(channel, "d", unacknowledged.length)).toEqual(again(unacknowledged));
      for (steps = 1; steps < 8 && !(await abortedAfter(steps, js, back)); steps++);
      // The way back was begun, and given up: the consumer is as it was.
      if (steps === 8) expect(await move(all)).toMatchObject({ changed: false, ackWait: 60_000, maxInFlight });
      for (let i = steps; !(await abortedAfter(i, js, back)); i++);
      const left: number[] = [];
      const owner = await open(stan(), { clientId: client });
      await owner.subscribe(channel, ({ sequence }) => void left.push(sequence), { durable: "d", maxInFlight: 100 });
      await until("the last came", () => left.includes(60));
      expect(left.sort((a, b) => a - b)).toEqual(open_(acked, 60));
    }, 60_000);

    test("finds the position without the monitoring page, too", async () => {
      const bridged = await channelWith(300);
      const { channel, publisher } = bridged;
      const { monitor: _, ...from } = bridged.options.from;
      const options = { ...bridged.options, from };
      await copy({ ...options, channels: channel });
      const [middle, level, nobody] = [fresh("billing"), fresh("billing"), fresh("billing")];
      const acked = await consume(bridged, middle, 80, (n) => n % 4 !== 0, { durable: "d", maxInFlight: 100 });
      await consume(bridged, level, 300, () => true, { durable: "d" });
      const moved = await move({ ...options, channel, durable: "d", client: middle, ackWait: 7_000 });
      expect(moved).toMatchObject({ by: "look", unacknowledged: open_(acked, moved.lastSent), ackWait: 7_000 });
      expect(moved.unacknowledged!.length).toBeGreaterThan(15);
      const atEnd = await move({ ...options, channel, durable: "d", client: level });
      expect(atEnd).toMatchObject({ by: "look", lastSent: 300, unacknowledged: [], consumer: `${level}-d` });
      await expect(move({ ...options, channel, durable: "d", client: nobody })).rejects.toMatchObject({
        code: "UNKNOWN_DURABLE",
      });
      await publish(publisher, channel, 1);
      await copy({ ...options, channels: channel });
      const js = await JetStream.open(nats().url);
      expect(await js.fetch(channel, atEnd.consumer)).toEqual(once([301]));
    }, 30_000);

    test("is refused where something would get lost", async () => {
      const bridged = await channelWith(20);
      const { channel, options } = bridged;
      const client = fresh("billing");
      await consume(bridged, client, 20, () => true, { durable: "d" });
      const all = { ...options, channel, durable: "d", client };
      const code = async (call: Promise<unknown>): Promise<string> => {
        return await call.then(
          () => "",
          (error: { code: string; remedy: string }) => error.code + (error.remedy ? "" : "?"),
        );
      };
      expect(await code(move(all))).toBe("NOT_LEVEL");
      await copy({ ...options, channels: channel });
      expect(await code(move({ ...all, durable: "another" }))).toBe("UNKNOWN_DURABLE");
      expect(await code(move({ ...all, client: "another" }))).toBe("UNKNOWN_DURABLE");
      expect(await move({ ...all, back: true })).toMatchObject({ changed: false, lastSent: 20 });
      expect(await code(move({ ...all, channel: fresh("none") }))).toBe("NOT_LEVEL");
      const js = await JetStream.open(nats().url);
      const config = { name: "d", durable_name: "d", ack_policy: "explicit" };
      await js.ask(`$JS.API.CONSUMER.CREATE.${channel}.d`, { stream_name: channel, config });
      expect(await code(move(all))).toBe("NAME_TAKEN");
      await js.ask(`$JS.API.CONSUMER.DELETE.${channel}.d`);
      // Its client is there, for something else.
      const owner = await open(stan(), { clientId: client });
      expect(await move(all)).toMatchObject({ changed: true });
      await owner.close();
      await expect(move({ ...all, queue: "q" })).rejects.toThrow(TypeError);
      await expect(move({ ...options, channel, durable: "d" })).rejects.toThrow(/^client must be given/);
      await expect(move({ ...all, ackWait: 1_500 })).rejects.toThrow(/^ackWait must be whole seconds/);
    });

    test("waits for what the copy lacks, and is refused if it does not come", async () => {
      const bridged = await channelWith(20);
      const { channel, options, publisher } = bridged;
      const client = fresh("billing");
      await copy({ ...options, channels: channel });
      await publish(publisher, channel, 10);
      await consume(bridged, client, 30, () => true, { durable: "d" });
      const all = { ...options, channel, durable: "d", client };
      const refused = { code: "NOT_LEVEL", message: expect.stringContaining("up to 20") as string };
      await expect(move(all)).rejects.toMatchObject(refused);
      const moving = move(all);
      await copy({ ...options, channels: channel });
      expect(await moving).toMatchObject({ lastSent: 30, changed: true });
    });
  },
  ["streaming", "nats"],
);
