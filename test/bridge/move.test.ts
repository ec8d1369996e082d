import { expect, test } from "vitest";
import { copy, move } from "../../src/bridge/index.ts";
import type { BridgeOptions, MoveOptions } from "../../src/bridge/index.ts";
import type { Client, Message, SubscribeOptions } from "../../src/index.ts";
import { fresh, open, range } from "../support/clients.ts";
import { JetStream } from "../support/jetstream.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

describeWithServer(
  "a move",
  () => {
    const stan = forSuite(() => RealServer.start({ store: "file" }));
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));

    /** A channel with messages, of which a durable has acknowledged those that `acks` lets pass. It is copied. */
    async function channelWith(count: number): Promise<{ publisher: Client; channel: string; options: BridgeOptions }> {
      const [publisher, channel] = [await open(stan()), fresh("orders")];
      await Promise.all(range(1, count).map((i) => publisher.publish(channel, String(i))));
      const monitor = `http://127.0.0.1:${stan().monitorPort}`;
      const from = { clusterId: "test-cluster", clientId: fresh("bridge"), servers: stan().url, monitor };
      return { publisher, channel, options: { from, to: { servers: nats().url } } };
    }

    /** Has a durable handle messages up to `last`, and acknowledge those that `acks` says. Then its consumer leaves. */
    async function consume(
      channel: string,
      clientId: string,
      last: number,
      acks: (sequence: number) => boolean,
      options: SubscribeOptions,
    ): Promise<void> {
      const client = await open(stan(), { clientId });
      const take = (message: Message): void => {
        if (message.sequence <= last && acks(message.sequence)) message.ack();
      };
      const all = { startAt: "first", manualAck: true, maxInFlight: 1_024, ...options } as const;
      const subscription = await client.subscribe(channel, take, all);
      await until("it has had them", () => subscription.stats().received >= last);
      await client.flush?.();
      await client.close();
    }

    /** What a consumer is given, until nothing more comes: the numbers, and how often each was delivered. */
    async function given(stream: string, consumer: string): Promise<[number, number][]> {
      return await (await JetStream.open(nats().url)).fetch(stream, consumer);
    }

    test("of a durable that has acknowledged all goes on behind its last message", async () => {
      const { channel, options } = await channelWith(30);
      const client = fresh("billing");
      await consume(channel, client, 20, () => true, { durable: "d", maxInFlight: 20 });
      await copy({ ...options, channels: channel });
      const report = await move({ ...options, channel, durable: "d", client });
      console.log(report);
      console.log(await given(channel, "d"));
    });
  },
  ["streaming", "nats"],
);
