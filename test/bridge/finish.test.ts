import { expect, test } from "vitest";
import { copy, finish, open as openChannel } from "../../src/bridge/index.ts";
import type { BridgeOptions } from "../../src/bridge/index.ts";
import type { Client } from "../../src/index.ts";
import { fresh, open, range } from "../support/clients.ts";
import { JetStream } from "../support/jetstream.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";

describeWithServer(
  "the finish of a channel",
  () => {
    const stan = forSuite(() => RealServer.start({ store: "file" }));
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));

    function between(): BridgeOptions {
      const monitor = `http://127.0.0.1:${stan().monitorPort}`;
      const from = { clusterId: "test-cluster", clientId: fresh("bridge"), servers: stan().url, monitor };
      return { from, to: { servers: nats().url }, maxAge: 3_600_000 };
    }

    async function publish(client: Client, channel: string, first: number, last: number): Promise<void> {
      await Promise.all(range(first, last).map((i) => client.publish(channel, String(i))));
    }

    test("leaves a stream like any other, and ends the copy that follows the channel", async () => {
      const [options, channel, client] = [between(), fresh("orders"), await open(stan())];
      await publish(client, channel, 1, 50);
      await copy({ ...options, channels: channel });
      await openChannel({ ...options, channel });
      const js = await JetStream.open(nats().url);
      await js.ask(channel, { direct: 1 });
      await publish(client, channel, 51, 60);
      await expect(finish({ ...options, channel })).rejects.toMatchObject({ code: "NOT_LEVEL", channel });
      const copying = copy({ ...options, channels: channel, watch: true });
      await expect.poll(async () => (await js.state(channel)).messages, { timeout: 15_000 }).toBe(61);
      const { maxAge: _, ...rest } = options;
      const map = { [channel]: { maxMessages: 1_000 } };
      const report = await finish({ ...rest, channel, map });
      expect(report).toMatchObject({ ok: true, channel, stream: channel, subject: channel, changed: true, last: 60 });
      expect(report.verified).toMatchObject({ compared: 60, differences: 0, direct: 1 });
      const config = await js.config(channel);
      expect(config).toMatchObject({ subjects: [channel], max_msgs: 1_000, max_age: 3_600_000_000_000 });
      expect(config).not.toHaveProperty("subject_transform");
      await js.ask(channel, { direct: 2 });
      expect((await js.state(channel)).messages).toBe(62);
      expect(await copying).toMatchObject({ channels: [{ phase: "done", state: "ended", last: 60 }] });
      expect(await finish({ ...rest, channel, map })).toEqual({
        ok: true,
        channel,
        stream: channel,
        subject: channel,
        changed: false,
      });
    });

    test("is refused while somebody publishes to the channel", async () => {
      const [options, channel, client] = [between(), fresh("orders"), await open(stan())];
      await publish(client, channel, 1, 5);
      await copy({ ...options, channels: channel });
      const js = await JetStream.open(nats().url);
      const before = await js.config(channel);
      let publishing = true;
      const others = (async () => {
        while (publishing) await client.publish(channel, "one more");
      })();
      await expect(finish({ ...options, channel })).rejects.toMatchObject({ code: "NOT_LEVEL", channel });
      publishing = false;
      await others;
      expect(await js.config(channel)).toEqual(before);
      expect(await copy({ ...options, channels: channel })).toMatchObject({ ok: true });
      expect(await finish({ ...options, channel })).toMatchObject({ changed: true });
    });
  },
  ["streaming", "nats"],
);
