import { expect, onTestFinished, test } from "vitest";
import { connect } from "../../src/index.ts";
import type { ConnectOptions } from "../../src/index.ts";
import { fresh, open, optionsFor, proxyTo, range, Statuses } from "../support/clients.ts";
import { freePorts, listen } from "../support/ports.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** An address that accepts connections and says nothing, as a container's may from outside. */
async function silent(): Promise<{ readonly port: number; readonly dials: () => number }> {
  const { server, port } = await listen();
  let dials = 0;
  const sockets = new Set<{ destroy(): unknown }>();
  server.on("connection", (socket) => {
    dials++;
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close(() => undefined);
  });
  return { port, dials: () => dials };
}

/** No dial ends by itself in the time that a test has. */
const patient: Partial<ConnectOptions> = { connectTimeout: 600_000 };

describeWithServer("dialling", () => {
  const server = serverForSuite();

  test("does not wait for addresses that stay silent: others are dialled beside them, whichever is first", async () => {
    const nobody = await Promise.all(range(1, 3).map(silent));
    const servers = [...nobody.map(({ port }) => `nats://127.0.0.1:${port}`), server().url];
    for (let round = 0; round < 5; round++) {
      const client = await open(server(), { ...patient, servers });
      await client.publish(fresh("channel"), "x");
      await client.close();
    }
    expect(nobody.reduce((sum, { dials }) => sum + dials(), 0)).toBeGreaterThan(0);
  });

  test("dials the next address at once when one refuses", async () => {
    const [closed] = await freePorts(1);
    const servers = [`nats://127.0.0.1:${closed}`, server().url];
    const clients = await Promise.all(range(1, 10).map(() => open(server(), { ...patient, servers })));
    expect(clients.every(({ ready }) => ready)).toBe(true);
  });

  test("begins with the last server when the link to it was cut", async () => {
    const nobody = await silent();
    const proxy = await proxyTo(server());
    const statuses = new Statuses();
    const servers = [proxy.url, `nats://127.0.0.1:${nobody.port}`];
    const client = await open(proxy, { ...patient, servers, onStatus: statuses.onStatus });
    const dials = nobody.dials();
    for (const cut of range(1, 10)) {
      proxy.cut();
      await statuses.until("registered", cut + 1);
      expect(nobody.dials()).toBe(dials);
    }
    expect(client.stats()).toMatchObject({ connections: 11, registrations: 1 });
  });

  test("ends with the caller's signal, and by close, while all are silent", async () => {
    const nobody = await Promise.all(range(1, 2).map(silent));
    const servers = nobody.map(({ port }) => `nats://127.0.0.1:${port}`);
    const controller = new AbortController();
    const connecting = connect(optionsFor(server(), { ...patient, servers, signal: controller.signal }));
    const rejected = expect(connecting).rejects.toMatchObject({ code: "ABORTED" });
    await until("one is dialled", () => nobody.some(({ dials }) => dials() > 0));
    controller.abort();
    await rejected;
  });

  test("tells of each address why it could not be had", async () => {
    const [one, two] = await freePorts(2);
    const servers = [one, two].map((port) => `nats://127.0.0.1:${port}`);
    const error = await connect(optionsFor(server(), { servers })).catch((error: unknown) => error);
    const errors = [{ code: "CONNECT" }, { code: "CONNECT" }];
    expect(error).toMatchObject({ code: "CONNECT_FAILED", cause: { errors } });
    for (const port of [one, two]) expect((error as Error).message).toContain(`127.0.0.1:${port}`);
  });
});

describeWithServer(
  "addresses that a cluster tells of, and that stay silent",
  () => {
    /** A cluster of two that tells clients of addresses which are none of its own, and a streaming server. */
    async function cluster(): Promise<{ readonly port: number; readonly dials: () => number }> {
      const told = await Promise.all(range(1, 2).map(silent));
      const [port, ...routes] = await freePorts(3);
      const urls = routes.map((route) => `nats://127.0.0.1:${route}`);
      const members = await Promise.all(
        told.map((address, i) => {
          const args = ["--cluster", urls[i]!, "--cluster_name", "c", "--routes", urls[1 - i]!];
          const advertised = ["--client_advertise", `127.0.0.1:${address.port}`];
          return NatsServer.start({ ...(i === 0 ? { port: port! } : {}), args: [...args, ...advertised] });
        }),
      );
      const server = await RealServer.start({ natsUrl: members[0]!.url });
      onTestFinished(async () => {
        for (const one of [server, ...members]) await one.stop("SIGKILL");
      });
      const urlsTold = async (): Promise<readonly string[]> =>
        (await members[0]!.monitor<{ connect_urls?: string[] }>("varz"))?.connect_urls ?? [];
      await until("both are told of", async () => (await urlsTold()).length === 2);
      return { port: port!, dials: () => told.reduce((sum, { dials }) => sum + dials(), 0) };
    }

    test("keep nobody away from the server that is configured", async () => {
      const { port, dials } = await cluster();
      const proxy = await proxyTo({ port });
      const statuses = new Statuses();
      const client = await open(proxy, { ...patient, onStatus: statuses.onStatus });
      for (const cut of range(1, 5)) {
        proxy.cut();
        await statuses.until("registered", cut + 1);
      }
      expect(dials()).toBe(0);
      // While the configured one is away the others are dialled, too, and hold up nothing.
      proxy.refuse();
      proxy.cut();
      await until("what the cluster told is dialled", () => dials() > 0);
      proxy.accept();
      await statuses.until("registered", 7);
      expect(client.ready).toBe(true);
    });

    test("are not dialled where ignoreClusterUpdates is true", async () => {
      const { port, dials } = await cluster();
      const proxy = await proxyTo({ port });
      const statuses = new Statuses();
      await open(proxy, { ignoreClusterUpdates: true, onStatus: statuses.onStatus });
      proxy.refuse();
      proxy.cut();
      await statuses.until("error");
      proxy.accept();
      await statuses.until("registered", 2);
      expect(dials()).toBe(0);
    });
  },
  ["streaming", "nats"],
);
