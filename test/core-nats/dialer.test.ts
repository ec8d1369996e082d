import { expect, test, vi } from "vitest";
import { Connection } from "../../src/core-nats/connection.ts";
import { Dialer } from "../../src/core-nats/dialer.ts";
import type { DialerOptions } from "../../src/core-nats/dialer.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import { Lifetime } from "../../src/core-nats/lifetime.ts";
import { Servers } from "../../src/core-nats/servers.ts";
import { fake } from "../support/connections.ts";
import { freePorts } from "../support/ports.ts";
import { until } from "../support/until.ts";

// What takes several real servers is in test/server/dialing.test.ts.

function dialerTo(servers: Servers, options: Partial<DialerOptions> = {}): Dialer {
  const usual: DialerOptions = {
    servers,
    name: "a-client",
    ignoreClusterUpdates: false,
    auth: () => Promise.resolve(undefined),
    tls: undefined,
    connectTimeout: 5_000,
    pingInterval: 60_000,
    pingMaxOut: 2,
    inboxPrefix: "_INBOX",
  };
  return new Dialer({ ...usual, ...options }, { problem: () => {}, informed: () => {} });
}

test("a dial gives the connection, or the failure of each server", async () => {
  const server = await fake();
  const [closed, other] = await freePorts(2);
  const good = new Servers([`127.0.0.1:${closed}`, server.url], false);
  const connection = await dialerTo(good).dial(good.round(), new Lifetime());
  expect(connection).toBeInstanceOf(Connection);
  (connection as Connection).close();
  const bad = new Servers([`127.0.0.1:${closed}`, `127.0.0.1:${other}`], false);
  const failures = await dialerTo(bad).dial(bad.round(), new Lifetime());
  expect(failures).toMatchObject([{ code: "CONNECT" }, { code: "CONNECT" }]);
});

test("credentials that cannot be had fail a dial, and so do those that do not come in time", async () => {
  const { url } = await fake();
  const servers = new Servers(url, false);
  const cause = new Error("no vault");
  const failing = dialerTo(servers, { auth: () => Promise.reject(cause) });
  expect(await failing.dial(servers.round(), new Lifetime())).toMatchObject([{ code: "AUTHORIZATION", cause }]);
  const failingTls = dialerTo(servers, { tls: () => Promise.reject(cause) });
  expect(await failingTls.dial(servers.round(), new Lifetime())).toMatchObject([{ code: "TLS", cause }]);
  const slow = dialerTo(servers, { auth: () => new Promise(() => {}), connectTimeout: 50 });
  expect(await slow.dial(servers.round(), new Lifetime())).toMatchObject([{ code: "TIMEOUT" }]);
});

test("servers that a server tells of are taken in, unless they are to be ignored", async () => {
  for (const ignoreClusterUpdates of [true, false]) {
    const { url } = await fake({ greet: { connect_urls: ["10.0.0.1:4222"] } });
    const servers = new Servers(url, false);
    const connection = await dialerTo(servers, { ignoreClusterUpdates }).dial(servers.round(), new Lifetime());
    (connection as Connection).close();
    expect(servers.round()).toHaveLength(ignoreClusterUpdates ? 1 : 2);
  }
});

test("a dial that succeeds in the turn in which all is closed leaves no connection behind", async () => {
  const server = await fake();
  const servers = new Servers(server.url, false);
  const closing = new Lifetime();
  const open = Connection.open.bind(Connection);
  const spy = vi.spyOn(Connection, "open").mockImplementation(async (...args) => {
    const connection = await open(...args);
    closing.abort(new NatsError("CLOSED", "enough"));
    return connection;
  });
  try {
    expect(await dialerTo(servers).dial(servers.round(), closing)).toEqual([]);
    const link = await server.link();
    await link.closed;
    await until("it is closed", () => spy.mock.settledResults[0]?.type === "fulfilled");
  } finally {
    spy.mockRestore();
  }
});
