import { expect, test } from "vitest";
import { copy, move, open as openChannel } from "../../src/bridge/index.ts";
import type { BridgeOptions } from "../../src/bridge/index.ts";
import type { Client } from "../../src/index.ts";
import { Following } from "../support/bridge.ts";
import { fresh, open, range } from "../support/clients.ts";
import { JetStream, type StreamMessage } from "../support/jetstream.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

const numberOf = ({ headers }: StreamMessage): string | undefined => headers["Nats-Streaming-Sequence"];

describeWithServer(
  "the opening of a channel",
  () => {
    const stan = forSuite(() => RealServer.start({ store: "file" }));
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));

    function between(): BridgeOptions {
      const monitor = `http://127.0.0.1:${stan().monitorPort}`;
      const from = { clusterId: "test-cluster", clientId: fresh("bridge"), servers: stan().url, monitor };
      return { from, to: { servers: nats().url } };
    }

    async function publish(client: Client, channel: string, first: number, last: number): Promise<void> {
      await Promise.all(range(first, last).map((i) => client.publish(channel, String(i))));
    }

    test("lets producers write beside the copy, which has each message of the channel once and in order", async () => {
      const [options, channel, client] = [between(), fresh("orders"), await open(stan())];
      await publish(client, channel, 1, 100);
      const js = await JetStream.open(nats().url);
      const stored = async (): Promise<number> => (await js.state(channel)).last_seq;
      let copying = new Following({ ...options, channels: channel });
      await until("the mirror is level", async () => (await stored().catch(() => 0)) === 100);
      expect(await js.ask(channel, { direct: 0 }).catch((error: Error) => error.message)).toMatch(/nobody listens/);
      const published = publish(client, channel, 101, 3_000);
      const report = await openChannel({ ...options, channel });
      expect(report).toMatchObject({ ok: true, channel, stream: channel, subject: channel, changed: true });
      expect(report.last).toBeGreaterThanOrEqual(100);
      for (const i of range(1, 200)) await js.ask(channel, { direct: i });
      // A copy that begins again finds out what it has among the others' messages.
      await copying.stop();
      copying = new Following({ ...options, channels: channel });
      for (const i of range(201, 400)) await js.ask(channel, { direct: i });
      await published;
      await publish(client, channel, 3_001, 3_100);
      await copying.reaches(3_100);
      expect(await copying.stop()).toMatchObject({ ok: true, channels: [{ phase: "merge", last: 3_100 }] });
      const messages = await js.messages(channel);
      const copied = messages.map(numberOf).filter((number) => number !== undefined);
      expect(copied).toEqual(range(1, 3_100).map(String));
      const direct = messages.filter((message) => numberOf(message) === undefined).map(({ data }) => atob(data));
      expect(direct).toEqual(range(1, 400).map((i) => `{"direct":${i}}`));
      expect(new Set(messages.map(({ subject }) => subject))).toEqual(new Set([channel]));
      expect(await openChannel({ ...options, channel })).toEqual({ ...report, changed: false });
    });

    test("is refused while a durable is not moved", async () => {
      const [options, channel, client] = [between(), fresh("orders"), await open(stan())];
      await publish(client, channel, 1, 5);
      const owner = await open(stan());
      await owner.subscribe(channel, () => undefined, { durable: "d", startAt: "first" });
      await owner.drain();
      await copy({ ...options, channels: channel });
      const all = { ...options, channel };
      const refused = { name: "BridgeError", code: "NOT_LEVEL", message: expect.stringContaining("the durable d of") };
      await expect(openChannel(all)).rejects.toMatchObject(refused);
      await move({ ...all, durable: "d", client: owner.clientId });
      expect(await openChannel(all)).toMatchObject({ changed: true, last: 5 });
      await expect(move({ ...all, durable: "d", client: owner.clientId })).rejects.toMatchObject({
        code: "WRONG_PHASE",
      });
    });
  },
  ["streaming", "nats"],
);
