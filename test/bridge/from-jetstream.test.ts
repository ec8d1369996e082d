import { rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { copy, fromJetStream } from "../../src/bridge/index.ts";
import type { JetStreamMessage } from "../../src/bridge/index.ts";
import { between } from "../support/bridge.ts";
import { fresh, open, read } from "../support/clients.ts";
import { allBlocks, compile, compileBlocks, makePlace } from "../support/documents.ts";
import { JetStream } from "../support/jetstream.ts";
import { installPackage } from "../support/packages.ts";
import { start } from "../support/program.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";

const CLIENT = "@nats-io/jetstream@3.4.0 @nats-io/transport-node@3.4.0";

/** Prints what a handler sees of the messages of a consumer, and what it sees when two of them come again. */
const PROGRAM = `
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { fromJetStream } from "nats-streaming-client/bridge";
import type { BridgedMessage } from "nats-streaming-client/bridge";
import type { Message } from "nats-streaming-client";

function handle(message: BridgedMessage): string {
  const { subject, sequence, timestamp, time, reply, redelivered, redeliveryCount } = message;
  const text = message.text();
  return JSON.stringify([subject, sequence, String(timestamp), time, reply, redelivered, redeliveryCount, text]);
}
export const handler: (message: Message) => string = handle;

async function main(): Promise<void> {
  const { SERVERS: servers, STREAM: stream, COUNT: count } = process.env;
  const connection = await connect({ servers: servers! });
  const consumer = await jetstream(connection).consumers.get(stream!, "c");
  let seen = 0;
  for await (const each of await consumer.consume({ max_messages: 50 })) {
    const message = fromJetStream(each);
    console.log(handle(message));
    if (message.sequence === 1 && !message.redelivered) message.nak();
    else if (message.sequence === 2) message.term();
    else message.ack();
    if (++seen > Number(count)) break;
  }
  await connection.drain();
}
void main();
`;

describeWithServer(
  "fromJetStream with @nats-io/jetstream",
  () => {
    const stan = forSuite(() => RealServer.start());
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));
    let place = "";
    beforeAll(() => {
      place = makePlace();
    }, 120_000);
    afterAll(() => rmSync(place, { recursive: true, force: true }));

    test("compiles with its types, and gives handlers what they had from the channel", async ({ skip }) => {
      const found = installPackage(CLIENT);
      if ("missing" in found) {
        if (process.env["CI"] === "true") throw new Error(found.missing);
        return skip(found.missing);
      }
      symlinkSync(join(found.path, "node_modules", "@nats-io"), join(place, "node_modules", "@nats-io"));
      expect(compile(place, { "consumer.ts": PROGRAM }, { lib: ["es2022", "dom"] })).toBe("");
      const shown = allBlocks().filter(({ info }) => info.startsWith("jetstream"));
      expect(shown.length).toBe(1);
      expect(compileBlocks(place, shown, "", { lib: ["es2022", "dom"] })).toBe("");
      const channel = fresh("orders");
      const client = await open(stan());
      await client.publish(channel, "one");
      await client.publish(channel, '{"n":2}', { reply: "é reply" });
      await client.publish(channel, new Uint8Array([0xff, 0x00]));
      await copy(between(stan(), nats(), channel));
      const js = await JetStream.open(nats().url);
      const config = { durable_name: "c", ack_policy: "explicit", filter_subject: channel, ack_wait: 60_000_000_000 };
      await js.ask(`$JS.API.CONSUMER.DURABLE.CREATE.${channel}.c`, { stream_name: channel, config });
      const program = start(join(place, "consumer.js"), [], { SERVERS: nats().url, STREAM: channel, COUNT: "3" });
      const { out, err, code } = await program.ended;
      expect({ err, code }).toEqual({ err: "", code: 0 });
      const seen = out.trim().split("\n").map((line) => JSON.parse(line) as unknown[]);
      const messages = (await read(client, channel, 3)).map((message) => {
        const { subject, sequence, timestamp, time, reply } = message;
        return [subject, sequence, String(timestamp), time.toISOString(), reply, false, 0, message.text()];
      });
      expect(seen.filter(([, , , , , redelivered]) => redelivered === false)).toEqual(messages);
      const again = [...messages[0]!.slice(0, 5), true, 1, ...messages[0]!.slice(7)];
      expect(seen.filter(([, , , , , redelivered]) => redelivered === true)).toEqual([again]);
      const { ack_floor } = await js.ask<{ ack_floor: unknown }>(`$JS.API.CONSUMER.INFO.${channel}.c`);
      expect(ack_floor).toMatchObject({ stream_seq: 3 });
    }, 180_000);
  },
  ["streaming", "nats"],
);

describe("fromJetStream", () => {
  const calls: unknown[] = [];
  const bare: JetStreamMessage = {
    ...{ subject: "orders", data: new TextEncoder().encode('{"a":[1]}'), seq: 9, redelivered: false },
    ...{ timestampNanos: 1_700_000_000_123_456_789n, info: { deliveryCount: 1 }, headers: undefined },
    ack: () => void calls.push("ack"),
    nak: (delay) => void calls.push(["nak", delay]),
    term: (reason) => void calls.push(["term", reason]),
  };

  test("takes the stream's number and time for a message that a producer has published itself", () => {
    const message = fromJetStream(bare);
    expect(message).toMatchObject({ sequence: 9, timestamp: 1_700_000_000_123_456_789n, reply: "" });
    expect(message.time).toEqual(new Date(1_700_000_000_123));
    expect(message.json()).toEqual({ a: [1] });
    expect(fromJetStream({ ...bare, headers: { get: () => "" } })).toMatchObject({ sequence: 9, reply: "" });
  });

  test("hands acks, delays and reasons on", () => {
    const { ack, nak, term } = fromJetStream(bare);
    expect([ack(), nak(500), nak(), term("broken")]).toEqual([true, true, true, true]);
    expect(calls).toEqual(["ack", ["nak", 500], ["nak", undefined], ["term", "broken"]]);
  });
});
