import { describe, expect, onTestFinished, test } from "vitest";
import { copy } from "../../src/bridge/index.ts";
import type { Client } from "../../src/index.ts";
import { between, expectEqual, Following } from "../support/bridge.ts";
import { fresh, open, proxyTo, range } from "../support/clients.ts";
import { JetStream } from "../support/jetstream.ts";
import { NatsCluster, NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";

/** A server of the test's own. */
async function own<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
  const started = await starting;
  onTestFinished(() => started.stop());
  return started;
}

/** Publishes until it is ended, also through outages. Resolves with the number of the last message. */
class Producer {
  #ended = false;
  readonly #running: Promise<void>;

  constructor(client: Client, channel: string) {
    this.#running = this.#run(client, channel);
  }

  async #run(client: Client, channel: string): Promise<void> {
    while (!this.#ended) {
      // What is unconfirmed may be stored or not: the channel has the last word.
      await client.publishMany(channel, range(1, 20).map(String)).catch(() => {});
      await new Promise<void>((resolve) => setTimeout(resolve, 20));
    }
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#running;
  }
}

async function endOf(source: RealServer, channel: string): Promise<number> {
  return (await source.monitor<{ last_seq: number }>(`streaming/channelsz?channel=${channel}`))!.last_seq;
}

describeWithServer(
  "a copy through outages",
  () => {
    test("has each message once when either side is killed", async () => {
      const source = await own(RealServer.start({ store: "file" }));
      const target = await own(NatsServer.start({ jetstream: true }));
      const channel = fresh("a");
      const client = await open(source);
      const producer = new Producer(client, channel);
      await expect.poll(() => endOf(source, channel).catch(() => 0)).toBeGreaterThan(0);
      const following = new Following(between(source, target, channel));
      let last = 0;
      for (const killed of [target, source]) {
        ({ last } = await following.reaches(last + 200));
        await killed.restart("SIGKILL");
      }
      await following.reaches(last + 200);
      await producer.end();
      const end = await endOf(source, channel);
      await following.reaches(end);
      const { channels } = await following.stop();
      expect(channels).toMatchObject([{ last: end, holes: 0, state: "ended" }]);
      expect(channels[0]!.resyncs).toBeGreaterThan(0);
      await expectEqual(client, channel, end, await JetStream.open(target.url));
    }, 60_000);

    test("has each message once when the stream's leader is killed, with three replicas", async () => {
      const source = await own(RealServer.start({ store: "file" }));
      const cluster = await own(NatsCluster.start());
      const channel = fresh("a");
      const client = await open(source);
      const producer = new Producer(client, channel);
      await expect.poll(() => endOf(source, channel).catch(() => 0)).toBeGreaterThan(0);
      const following = new Following(between(source, { url: cluster.urls }, channel, { replicas: 3 }));
      const { last } = await following.reaches(200);
      interface Info {
        readonly cluster: { readonly leader: string };
      }
      const js = await JetStream.open(cluster.urls[0]!);
      const { leader } = (await js.ask<Info>(`$JS.API.STREAM.INFO.${channel}`)).cluster;
      await cluster.named(leader).kill();
      await following.reaches(last + 200);
      await producer.end();
      const end = await endOf(source, channel);
      await following.reaches(end);
      await following.stop();
      const left = cluster.servers.find((server) => server !== cluster.named(leader))!;
      await expectEqual(client, channel, end, await JetStream.open(left.url));
    }, 90_000);

    test("waits while the target has no room, says so, and goes on", async () => {
      const source = await own(RealServer.start());
      const target = await own(NatsServer.start({ jetstream: true }));
      const channel = fresh("a");
      const [client, js] = [await open(source), await JetStream.open(target.url)];
      await client.publishMany(channel, range(1, 10).map(String));
      const following = new Following(between(source, target, channel));
      await following.reaches(10);
      const config = await js.config(channel);
      const limited = { ...config, max_msgs: 15, discard: "new" };
      await js.ask(`$JS.API.STREAM.UPDATE.${channel}`, limited);
      await client.publishMany(channel, range(11, 40).map(String));
      const full = "the target stores nothing now: maximum messages";
      await following.until("it waits", ({ state, waiting = "" }) => state === "waiting" && waiting.startsWith(full));
      await js.ask(`$JS.API.STREAM.UPDATE.${channel}`, config);
      await following.reaches(40);
      await expectEqual(client, channel, 40, js);
    });

    test("ends when a permission is taken away, and names the subject", async () => {
      const source = await own(RealServer.start());
      const target = await own(NatsServer.start({
        jetstream: true,
        config: `authorization { users: [
          { user: u, password: p, permissions: { publish: ["$JS.API.>"], subscribe: ["_INBOX.>"] } }
          { user: mute, password: p, permissions: { publish: [">"], subscribe: ["other.>"] } } ] }`,
      }));
      const channel = fresh("a");
      await (await open(source)).publish(channel, "1");
      const { from, to } = between(source, target, channel);
      const auth = (user: string) => ({ from, to: { ...to, auth: { user, pass: "p" } }, channels: channel });
      const denied = { code: "NOT_PERMITTED", message: expect.stringContaining(`_stan.in.${channel}`) };
      expect(await copy(auth("u"))).toMatchObject({ ok: false, channels: [{ error: denied }] });
      await expect(copy(auth("mute"))).rejects.toMatchObject({ code: "NOT_PERMITTED" });
    });

    describe("of the source, which keeps messages in memory, so that the channel begins anew", () => {
      test("ends with CHANNEL_REPLACED", async () => {
        const source = await own(RealServer.start());
        const target = await own(NatsServer.start({ jetstream: true }));
        const [channel, quiet] = [fresh("a"), fresh("b")];
        const client = await open(source);
        for (const name of [channel, quiet]) await client.publishMany(name, range(1, 10).map(String));
        const following = new Following(between(source, target, [channel, quiet]));
        await following.until("both are copied", ({ channel, last }) => channel === quiet && last === 10);
        await following.reaches(10);
        // The bridge comes back when the new channel has more messages than the old one.
        const proxy = await proxyTo(source);
        const far = new Following(between({ url: proxy.url, monitorPort: source.monitorPort }, target, channel));
        await far.reaches(10);
        proxy.refuse();
        proxy.cut();
        await source.restart();
        await client.publishMany(channel, range(1, 30).map((i) => `other ${i}`));
        await client.publish(quiet, "1");
        proxy.accept();
        const error = { code: "CHANNEL_REPLACED", message: expect.stringContaining("begun anew") };
        expect(await far.ended).toMatchObject({ ok: false, channels: [{ last: 10, error }] });
        const { channels } = await following.ended;
        expect(channels).toMatchObject([{ last: 10, error }, { last: 10, error }]);
        const again = await copy(between(source, target, channel));
        expect(again).toMatchObject({ ok: false, channels: [{ copied: 0, error }] });
        const js = await JetStream.open(target.url);
        expect(await js.state(channel)).toMatchObject({ messages: 10, last_seq: 10 });
        const map = { [channel]: { stream: "new", subject: "new" } };
        const anew = await copy(between(source, target, channel, { map }));
        expect(anew).toMatchObject({ ok: true, channels: [{ copied: 30 }] });
      }, 60_000);
    });
  },
  ["streaming", "nats"],
);
