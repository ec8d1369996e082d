import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { copy, finish, move, open as openChannel, plan, verify } from "../../src/bridge/index.ts";
import type { BridgeOptions } from "../../src/bridge/index.ts";
import { between } from "../support/bridge.ts";
import { fresh, open, range } from "../support/clients.ts";
import { creds, jwtConfig, otherSeed, userSeed } from "../support/nkeys.ts";
import { NatsCluster, NatsServer, RealServer, startCluster } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";

const path = (name: string): string => join(__dirname, `../fixtures/tls/${name}.pem`);
const CA = readFileSync(path("ca"), "utf8");
const TLS = `tls { cert_file: ${path("server")}, key_file: ${path("server-key")}, timeout: 5 }`;
/** What docs/leaving.md says that the bridge's user needs in the target. */
const NEEDED = [
  "_stan.in.>",
  "_stan.merge.>",
  "_stan.hole.>",
  "$JS.API.INFO",
  "$JS.API.STREAM.NAMES",
  "$JS.API.STREAM.INFO.*",
  "$JS.API.STREAM.CREATE.*",
  "$JS.API.STREAM.UPDATE.*",
  "$JS.API.STREAM.PURGE.*",
  "$JS.API.STREAM.MSG.GET.*",
  "$JS.API.CONSUMER.CREATE.>",
  "$JS.API.CONSUMER.INFO.*.*",
  "$JS.API.CONSUMER.DELETE.*.*",
  "$JS.API.CONSUMER.MSG.NEXT.*.*",
  "$JS.ACK.>",
];

/** The whole way of a channel with a durable that has left three messages. */
async function wholeWay(stan: RealServer, options: BridgeOptions, source: object): Promise<void> {
  const [channel, clientId] = [fresh("orders"), fresh("billing")];
  const client = await open(stan, { ...source, clientId });
  await Promise.all(range(1, 20).map((i) => client.publish(channel, String(i))));
  let count = 0;
  const subscription = await client.subscribe(channel, (message) => void (++count > 3 && message.ack()), {
    durable: "d",
    startAt: "first",
    manualAck: true,
  });
  await expect.poll(() => count).toBe(20);
  await client.drain();
  expect(subscription.state).toBe("closed");
  const all = { ...options, channels: channel };
  const one = { ...options, channel };
  expect((await plan(all)).obstacles).toEqual([]);
  expect(await copy(all)).toMatchObject({ ok: true, channels: [{ copied: 20 }] });
  expect(await verify(all)).toMatchObject({ ok: true, channels: [{ compared: 20, differences: 0 }] });
  expect(await move({ ...one, durable: "d", client: clientId })).toMatchObject({
    unacknowledged: [1, 2, 3],
    lastSent: 20,
  });
  expect(await openChannel(one)).toMatchObject({ ok: true, last: 20 });
  expect(await finish(one)).toMatchObject({ ok: true, last: 20 });
}

describeWithServer(
  "a bridge whose ends demand credentials and TLS",
  () => {
    const stan = forSuite(() => {
      const auth = `authorization { user: stan, password: "secret-1" }`;
      const tls = `tls { client_ca: ${path("ca")}, server_name: localhost }`;
      const streaming = `streaming { id: test-cluster, username: stan, password: "secret-1", ${tls} }`;
      return RealServer.start({ config: `${TLS}\n${auth}\n${streaming}`, args: ["-secure"] });
    });

    test("takes creds, and a channel the whole way", async () => {
      const nats = await NatsServer.start({ jetstream: true, config: `${TLS}\n${jwtConfig()}` });
      const source = { auth: { user: "stan", pass: "secret-1" }, tls: { ca: CA } };
      const options = between(stan(), nats, "none");
      const from = { ...options.from, ...source };
      const to = { ...options.to, auth: { creds: creds(userSeed) }, tls: { ca: CA } };
      await wholeWay(stan(), { from, to }, source);
      const wrong = { from, to: { ...to, auth: { creds: creds(otherSeed) } } };
      const refused = { code: "TARGET_UNREACHABLE", message: expect.not.stringContaining("secret") };
      await expect(copy(wrong)).rejects.toMatchObject(refused);
      const bad = { from: { ...from, auth: { user: "stan", pass: "secret-2" } }, to };
      const denied = { code: "SOURCE_UNREACHABLE", message: expect.not.stringContaining("secret-2") };
      await expect(copy(bad)).rejects.toMatchObject(denied);
      await nats.stop();
    });

    test("needs no more permissions than are listed, and names each that is missing", async () => {
      const user = (publish: readonly string[]): string => `
        authorization { users: [ { user: bridge, password: p, permissions: {
          publish: [${publish.map((subject) => JSON.stringify(subject)).join(", ")}], subscribe: ["_INBOX.>"] } } ] }`;
      const own = await RealServer.start();
      const nats = await NatsServer.start({ jetstream: true, config: user(NEEDED) });
      const to = { servers: nats.url, auth: { user: "bridge", pass: "p" } };
      const options = { from: between(own, nats, "none").from, to };
      await wholeWay(own, options, {});
      await nats.stop();
      const less = await NatsServer.start({
        jetstream: true,
        config: user(NEEDED.filter((subject) => !subject.includes("UPDATE"))),
      });
      const { obstacles } = await plan({ ...options, to: { ...to, servers: less.url } });
      expect(obstacles).toMatchObject([
        { code: "NOT_PERMITTED", text: expect.stringContaining("$JS.API.STREAM.UPDATE.") },
      ]);
      await Promise.all([less.stop(), own.stop()]);
    });
  },
  ["streaming", "nats"],
);

describeWithServer(
  "a bridge between clusters",
  () => {
    test("takes a channel the whole way, with three replicas", async () => {
      const [group, cluster] = await Promise.all([startCluster(), NatsCluster.start()]);
      const leader = await group.leader();
      const { from, to } = between({ url: leader.url, monitorPort: leader.monitorPort }, { url: cluster.urls }, "none");
      await wholeWay(leader, { from, to, replicas: 3 }, {});
      await Promise.all([group.stop(), cluster.stop()]);
    }, 60_000);
  },
  ["streaming", "nats"],
);
