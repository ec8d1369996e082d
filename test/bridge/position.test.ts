import { expect, test } from "vitest";
import { copy, open as openChannel } from "../../src/bridge/index.ts";
import { between } from "../support/bridge.ts";
import { fresh, open, range } from "../support/clients.ts";
import { JetStream, type StreamMessage } from "../support/jetstream.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";

const numberOf = ({ headers }: StreamMessage): number => Number(headers["Nats-Streaming-Sequence"] ?? 0);

describeWithServer(
  "where a merging copy goes on",
  () => {
    const limits = `store_limits { channels { "few.>": { max_msgs: 20 } } }`;
    const stan = forSuite(() => RealServer.start({ store: "file", config: `streaming { ${limits} }` }));
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));

    /** A channel with ten messages, all copied, which is open for producers. */
    async function opened(name: string) {
      const [channel, client, js] = [`${name}.${fresh("c")}`, await open(stan()), await JetStream.open(nats().url)];
      const publish = (first: number, last: number) => client.publishMany(channel, range(first, last).map(String));
      const options = between(stan(), nats(), channel);
      await publish(1, 10);
      await copy(options);
      const { channels: _, ...one } = options;
      await openChannel({ ...one, channel });
      const stream = channel.replace(".", "_");
      /** Stores copies as another bridge has, of which some were lost. */
      const store = async (sequences: readonly number[]): Promise<void> => {
        for (const sequence of sequences) {
          const id = `Nats-Msg-Id: stan:test-cluster:${channel}:${sequence}`;
          const time = (await timeOf(sequence))!;
          const headers = `NATS/1.0\r\n${id}\r\nNats-Streaming-Sequence: ${sequence}\r\n${time}\r\n\r\n`;
          const data = new TextEncoder().encode(String(sequence));
          await js.store(`_stan.merge.${stream}`, new TextEncoder().encode(headers), data);
        }
      };
      const timeOf = async (sequence: number): Promise<string | undefined> => {
        let time: string | undefined;
        const subscription = await client.subscribe(channel, (message) => {
          const { timestamp } = message;
          const seconds = new Date(Number(timestamp / 1_000_000n)).toISOString().slice(0, 19);
          const digits = String(timestamp % 1_000_000_000n).padStart(9, "0");
          if (message.sequence === sequence) time = `Nats-Streaming-Timestamp: ${seconds}.${digits}Z`;
        }, { startAt: { sequence }, maxInFlight: 1 });
        await expect.poll(() => time).toBeDefined();
        await subscription.close();
        return time;
      };
      const numbers = async (): Promise<number[]> => (await js.messages(stream)).map(numberOf);
      return { channel, stream, js, publish, options, store, numbers };
    }

    test("is before a message that an earlier bridge lost among later ones, and none is copied twice", async () => {
      const { publish, options, store, numbers } = await opened("a");
      await publish(11, 20);
      await store([11, 12, 14, 17, 18, 20]);
      const report = await copy(options);
      const facts = { phase: "merge", from: 13, copied: 4, last: 20, holes: 0 };
      expect(report).toMatchObject({ ok: true, channels: [facts] });
      const all = await numbers();
      expect(all.slice(0, 16)).toEqual([...range(1, 10), 11, 12, 14, 17, 18, 20]);
      expect(all.slice(16)).toEqual([13, 15, 16, 19]);
    });

    test("is found behind many messages of producers", async () => {
      const { js, channel, publish, options, numbers } = await opened("a");
      await publish(11, 12);
      await copy(options);
      for (let i = 0; i < 1_500; i++) js.connection.publish(channel, new Uint8Array(0));
      await js.connection.flush();
      await publish(13, 15);
      expect(await copy(options)).toMatchObject({ ok: true, channels: [{ from: 13, copied: 3, last: 15 }] });
      expect((await numbers()).filter((number) => number > 0)).toEqual(range(1, 15));
    });

    test("passes what the channel has lost, also in several places", async () => {
      const { publish, options, store, numbers } = await opened("few");
      await publish(11, 14);
      await store([11, 13]);
      await publish(15, 60);
      const { ok, channels } = await copy(options);
      expect({ ok, ...channels[0] }).toMatchObject({ ok: true, from: 12, copied: 20, missing: 29, last: 60 });
      expect(await numbers()).toEqual([...range(1, 10), 11, 13, ...range(41, 60)]);
      expect(await copy(options)).toMatchObject({ ok: true, channels: [{ copied: 0, last: 60 }] });
    });
  },
  ["streaming", "nats"],
);
