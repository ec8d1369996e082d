import { expect, test } from "vitest";
import { copy } from "../../src/bridge/index.ts";
import type { BridgeOptions } from "../../src/bridge/index.ts";
import { fresh, open } from "../support/clients.ts";
import { asCopies, copiesOf, JetStream } from "../support/jetstream.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";

describeWithServer(
  "a copy",
  () => {
    const stan = forSuite(() => RealServer.start({ store: "file" }));
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));

    /** The options of a bridge between both servers, for channels. */
    function between(channels: BridgeOptions["channels"]): BridgeOptions {
      const monitor = `http://127.0.0.1:${stan().monitorPort}`;
      const from = { clusterId: "test-cluster", clientId: fresh("bridge"), servers: stan().url, monitor };
      return { from, to: { servers: nats().url }, channels };
    }

    test("has each message of the channel under its number, with its time and its reply", async () => {
      const client = await open(stan());
      const channel = fresh("orders");
      await client.publish(channel, "one");
      await client.publish(channel, "", { reply: "a reply: é" });
      await client.publish(channel, new Uint8Array([13, 10, 0, 255]));
      const report = await copy(between(channel));
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
    });
  },
  ["streaming", "nats"],
);
