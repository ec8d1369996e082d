import type { Socket } from "node:net";
import { afterEach, expect } from "vitest";
import { Connection } from "../../src/core-nats/connection.ts";
import type { ConnectionOptions } from "../../src/core-nats/connection.ts";
import type { Delivery, Receiver } from "../../src/core-nats/delivery.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import type { ServerInfo } from "../../src/core-nats/info.ts";
import { Lifetime } from "../../src/core-nats/lifetime.ts";
import { Servers } from "../../src/core-nats/servers.ts";
import type { Server } from "../../src/core-nats/servers.ts";
import { bytesOf, latin1 } from "./bytes.ts";
import { listen } from "./ports.ts";
import { FakeServer } from "./raw.ts";
import type { FakeLink, FakeServerOptions } from "./raw.ts";
import { until } from "./until.ts";

const started: { stop(): Promise<void> }[] = [];
const opened: Connection[] = [];
afterEach(async () => {
  for (const connection of opened.splice(0)) connection.end(new NatsError("CLOSED", "the test is over"));
  await Promise.all(started.splice(0).map((server) => server.stop()));
});

/** A server that greets, and answers PINGs. */
export async function fake(options: FakeServerOptions = {}): Promise<FakeServer> {
  const server = await FakeServer.start(options);
  started.push(server);
  return server;
}

/** A server that takes any bytes for what they are, answers by the given function, and keeps them. */
export async function bare(
  greeting: string,
  answer: (socket: Socket) => void = () => {},
): Promise<{ port: number; received: Uint8Array[]; links: Socket[] }> {
  const { server, port } = await listen();
  const received: Uint8Array[] = [];
  const links: Socket[] = [];
  server.on("connection", (socket) => {
    links.push(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      received.push(bytes);
      answer(socket);
    });
    socket.write(bytesOf(greeting));
  });
  started.push({
    stop: () => {
      for (const link of links) link.destroy();
      return new Promise((done) => server.close(() => done()));
    },
  });
  return { port, received, links };
}

/** What goes wrong while the link stays, of all connections of a test. */
export const problems: NatsError[] = [];
/** The INFOs of all connections of a test. */
export const infos: ServerInfo[] = [];

/** A connection to a server, open. What goes wrong and every INFO go to `problems` and `infos`. */
export async function open(
  to: string | Server,
  options: Partial<ConnectionOptions> = {},
  signal = new Lifetime(),
): Promise<Connection> {
  problems.length = 0;
  infos.length = 0;
  const [server] = typeof to === "string" ? new Servers(to, false).round() : [to];
  const usual: ConnectionOptions = {
    name: "a-client",
    credentials: server!.credentials,
    tls: undefined,
    timeout: 5_000,
    pingInterval: 60_000,
    pingMaxOut: 2,
    inboxPrefix: "_INBOX",
    problem: (error) => problems.push(error),
    informed: (info) => infos.push(info),
  };
  const connection = await Connection.open(server!, { ...usual, ...options }, signal);
  opened.push(connection);
  return connection;
}

/** A server and a connection to it, and the server's end of that. */
export async function pair(
  options: Partial<ConnectionOptions> = {},
  server: FakeServerOptions = {},
): Promise<{ connection: Connection; link: FakeLink; server: FakeServer }> {
  const running = await fake(server);
  const [connection, link] = await Promise.all([open(running.url, options), running.link()]);
  return { connection, link, server: running };
}

/** What an attempt is rejected with. */
export async function failure(attempt: Promise<unknown>): Promise<NatsError> {
  const error: unknown = await attempt.then(
    () => "no failure",
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(NatsError);
  return error as NatsError;
}

/** Why a connection ended. */
export async function endOf(connection: Connection): Promise<NatsError> {
  await until("the connection has ended", () => connection.ended.aborted);
  return connection.ended.reason as NatsError;
}

/** Keeps what arrives. */
export class Mailbox implements Receiver {
  readonly texts: string[] = [];
  readonly denials: NatsError[] = [];

  deliver(delivery: Delivery): void {
    this.texts.push(latin1(delivery.bytes.subarray(delivery.start, delivery.end)));
  }

  denied(error: NatsError): void {
    this.denials.push(error);
  }
}

/** Reads an answer as text. */
export const text = (bytes: Uint8Array, start: number, end: number): string => latin1(bytes.subarray(start, end));
/** No bytes. */
export const EMPTY = new Uint8Array(0);

/** Reads answers into a list. */
export function into(list: string[]): (bytes: Uint8Array, start: number, end: number) => void {
  return (...where) => void list.push(text(...where));
}
