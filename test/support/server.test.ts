import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bytesOf } from "./bytes.ts";
import { listen } from "./ports.ts";
import { RawClient } from "./raw.ts";
import { startCluster } from "./server.ts";
import { describeWithServer, forSuite, serverForSuite } from "./suite.ts";

describeWithServer("a streaming server for tests", () => {
  const server = serverForSuite({ store: "file" });

  test("serves, and tells about itself", async () => {
    expect(await server().monitor("streaming/serverz")).toMatchObject({ state: "STANDALONE", version: "0.25.6" });
    expect(await server().leads()).toBe(true);
    expect(await server().monitor("streaming/clientsz?client=nobody")).toBeUndefined();
  });

  test("comes back on the same port with the same store, however it was ended", async () => {
    const before = { url: server().url, stored: stored() };
    await server().restart();
    expect({ url: server().url, stored: stored() }).toEqual(before);
    await server().kill();
    expect(server().running).toBe(false);
    await server().restart();
    expect({ url: server().url, stored: stored() }).toEqual(before);
    expect(await server().leads()).toBe(true);
  });

  test("can be frozen", async () => {
    server().pause();
    await expect(server().monitor("streaming/serverz")).rejects.toThrow("no answer");
    server().resume();
    expect(await server().leads()).toBe(true);
  });

  test("lets a raw client tell a subject with and without listeners apart", async () => {
    const client = await RawClient.connect(server().port);
    const refusal = await client.request("nobody.listens");
    expect(refusal).toMatchObject({ verb: "HMSG", headers: bytesOf("NATS/1.0 503\r\n\r\n") });
    const sid = client.subscribe("echo");
    client.publish("echo", "to myself", "inbox");
    expect(await client.next(/^MSG echo/)).toMatchObject({ sid, reply: "inbox", payload: bytesOf("to myself") });
    client.end();
    await client.closed;
  });

  function stored(): string[] {
    return readdirSync(join(server().folder, "store"));
  }
});

describeWithServer("a cluster for tests", () => {
  const cluster = forSuite(() => startCluster());

  test("has one leader, and another when that one dies", async () => {
    const first = await cluster().leader();
    await first.kill();
    const second = await cluster().leader();
    expect(second).not.toBe(first);
    await first.restart();
    expect(cluster().servers.every((server) => server.running)).toBe(true);
  });

  test("says that a member cannot come back (its route port is taken), and why there is no leader", async () => {
    const [one, two] = [await cluster().leader(), cluster().others(await cluster().leader())[0]!];
    await two.kill();
    const [, route] = /Listening for route connections on 127\.0\.0\.1:(\d+)/.exec(two.log())!;
    const { server } = await listen(Number(route));
    server.on("connection", (socket) => socket.destroy());
    // Its NATS server has said by then that it is ready.
    await expect(two.restart()).rejects.toThrow(/Server is ready[^]*address already in use/);
    expect(two.running).toBe(false);
    await one.kill();
    const reason = /one server leads[^]*does not run[^]*address already in use/;
    await expect(cluster().leader([], 1_000)).rejects.toThrow(reason);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await Promise.all([one.restart(), two.restart()]);
    await cluster().leader();
  });
});
