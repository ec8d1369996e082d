import { afterEach, expect, test } from "vitest";
import { Connection } from "../../src/core-nats/connection.ts";
import type { Receiver } from "../../src/core-nats/delivery.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import { Lifetime } from "../../src/core-nats/lifetime.ts";
import { Servers } from "../../src/core-nats/servers.ts";
import { connect } from "../../src/index.ts";
import { optionsFor } from "../support/clients.ts";
import { freePorts } from "../support/ports.ts";
import { NatsServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";
import { until } from "../support/until.ts";

const opened: Connection[] = [];
let server: NatsServer | undefined;
afterEach(async () => {
  for (const connection of opened.splice(0)) connection.end(new NatsError("CLOSED", "the test is over"));
  await server?.stop();
  server = undefined;
});

async function start(config: string): Promise<NatsServer> {
  server = await NatsServer.start({ config });
  return server;
}

async function open({ url }: NatsServer, name = "a-client"): Promise<Connection> {
  const [target] = new Servers(url, false).round();
  const connection = await Connection.open(
    target!,
    {
      name,
      credentials: undefined,
      tls: undefined,
      timeout: 5_000,
      pingInterval: 60_000,
      pingMaxOut: 2,
      inboxPrefix: "_INBOX",
      problem: () => {},
      informed: () => {},
    },
    new Lifetime(),
  );
  opened.push(connection);
  return connection;
}

async function endOf(connection: Connection): Promise<unknown> {
  await until("the connection has ended", () => connection.ended.aborted);
  return connection.ended.reason;
}

const quiet: Receiver = { deliver: () => {}, denied: () => {} };

describeWithServer(
  "what a real NATS server refuses",
  () => {
    test("one connection too many", async () => {
      const server = await start("max_connections: 1");
      await open(server);
      const reason = expect.stringContaining("maximum connections exceeded");
      await expect(open(server)).rejects.toMatchObject({ code: "SERVER", reason });
    });

    test("one subscription too many: that one is told, the others and the link stay", async () => {
      const connection = await open(await start("max_subscriptions: 3"));
      const denied: [string, NatsError][] = [];
      for (const subject of ["a", "b", "c"]) {
        connection.subscribe(subject, { deliver: () => {}, denied: (error) => denied.push([subject, error]) });
      }
      await connection.flush();
      expect(denied).toMatchObject([["c", { code: "SERVER", reason: "maximum subscriptions exceeded" }]]);
      expect(connection.ended.aborted).toBe(false);
    });

    test("a payload over the limit, if it were ever sent: the link ends with the server's words", async () => {
      const connection = await open(await start("max_payload: 1000"));
      expect(connection.maxPayload).toBe(1_000);
      connection.publish("a", new Uint8Array(1_001));
      const reason = expect.stringContaining("Maximum Payload Violation");
      expect(await endOf(connection)).toMatchObject({ code: "PROTOCOL", reason });
    });

    test("a line over the limit", async () => {
      const name = "x".repeat(5_000);
      await expect(open(await start("")).then((connection) => connection.close())).resolves.toBeUndefined();
      const reason = expect.stringContaining("maximum control line exceeded");
      await expect(open(server!, name)).rejects.toMatchObject({ code: "PROTOCOL", reason });
    });

    test("clients on a port for other servers: that is a mistake, whether told to wait or not", async () => {
      const [port] = await freePorts(1);
      await start(`cluster { name: c, listen: "127.0.0.1:${port}" }`);
      for (const waitOnFirstConnect of [false, true]) {
        const options = optionsFor({ url: `nats://127.0.0.1:${port}` }, { waitOnFirstConnect });
        await expect(connect(options)).rejects.toMatchObject({
          code: "AUTH_FAILED",
          message: `connect: 127.0.0.1:${port}: attempted to connect to route port`,
        });
      }
    });

    test("to go on, being shut down: without a word, and that is said", async () => {
      const connection = await open(await start(""));
      connection.subscribe("a", quiet);
      await server!.down();
      expect(await endOf(connection)).toMatchObject({ code: "CONNECTION_LOST" });
    });
  },
  ["nats"],
);
