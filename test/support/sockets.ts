import dns from "node:dns";
import { readFileSync } from "node:fs";
import net, { createServer } from "node:net";
import type { Server, Socket as Stream } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer, TLSSocket } from "node:tls";
import type { ServerOptions } from "node:tls";
import { afterEach, expect, vi } from "vitest";
import { deferred } from "../../src/core-nats/async.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import { Socket } from "../../src/core-nats/socket.ts";
import type { SocketEvents, TlsOptions } from "../../src/core-nats/socket.ts";
import { latin1 } from "./bytes.ts";
import { sendsAtOnce } from "./nodelay.ts";

/** A PEM text of test/fixtures/tls. */
export const pem = (name: string): string => readFileSync(join(__dirname, `../fixtures/tls/${name}.pem`), "utf8");
/** A certificate and its key. */
export const identity = (name: string): { cert: string; key: string } => ({ cert: pem(name), key: pem(`${name}-key`) });
/** Who the server is, by its certificate. */
export const SERVER = identity("server");
/** Who the client is, by its certificate. */
export const CLIENT = identity("client");
/** The authority that signed them. */
export const CA = pem("ca");

/** `net.connect` as the host has it. */
export const dialled = net.connect;
/** The servers of the test. */
export const servers: Server[] = [];
/** What they have accepted. */
export const accepted: Stream[] = [];

/** Listens until the test ends. */
export async function listening(server: Server): Promise<number> {
  servers.push(server);
  server.on("connection", (stream) => accepted.push(stream.on("error", () => {})));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server.address()!.port;
}

/** A TCP server, until the test ends. */
export function serve(accept: (stream: Stream) => void, options: { allowHalfOpen?: boolean } = {}): Promise<number> {
  const server = createServer({ noDelay: true, ...options });
  server.on("connection", accept);
  return listening(server);
}

/** A TLS server, until the test ends. */
export function serveTls(options: ServerOptions, accept: (stream: Stream) => void): Promise<number> {
  return listening(createTlsServer(options, (stream) => accept(stream.on("error", () => {}))));
}

/** Greets in clear, and speaks TLS from then on. */
export function serveUpgrade(options: ServerOptions, accept: (stream: Stream) => void): Promise<number> {
  return serve((plain) => {
    plain.write("HELLO\r\n");
    const stream = new TLSSocket(plain, { ...options, isServer: true, rejectUnauthorized: true });
    accept(stream.on("error", () => {}));
  });
}

/** Sends back what comes. */
export function echo(stream: Stream): void {
  stream.on("data", (bytes) => stream.write(bytes));
}

/** Reads and drops what comes. */
export function ignore(stream: Stream): void {
  stream.on("data", () => {});
}

/** Keeps what a socket tells, and sees to it that nothing is told after the end. */
export class Owner implements SocketEvents {
  received = "";
  readonly ends: (NatsError | undefined)[] = [];
  readonly #ended = deferred();
  readonly #heard: ((text: string) => void) | undefined;

  constructor(heard?: (text: string) => void) {
    this.#heard = heard;
  }

  data(bytes: Uint8Array): void {
    if (this.ends.length > 0) this.received += "<after the end>";
    const text = latin1(bytes);
    this.received += text;
    this.#heard?.(text);
  }

  closed(error: NatsError | undefined): void {
    this.ends.push(error);
    this.#ended.resolve();
  }

  /** What `closed` was told, once it cannot be told anything more. */
  async end(): Promise<NatsError | undefined> {
    await this.#ended.promise;
    for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(() => resolve()));
    expect(this.ends).toHaveLength(1);
    return this.ends[0];
  }
}

/** How a port is dialled. */
export interface Dialling {
  tls?: TlsOptions;
  host?: string;
  servername?: string;
  signal?: AbortSignal;
}

/** Dials a port of this machine. */
export function dial(port: number, owner: Owner, options: Dialling = {}): Promise<Socket> {
  const { tls, host = "127.0.0.1", servername = host, signal = new AbortController().signal } = options;
  return Socket.dial({ host, port, servername }, tls, owner, signal);
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

/** A port that nothing listens on. */
export async function unusedPort(): Promise<number> {
  const server = createServer({});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address()!;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

/** The host's socket that `connect` has opened, which nobody else shows. */
export async function streamOf(connecting: () => Promise<Socket>): Promise<{ socket: Socket; stream: Stream }> {
  const connects = vi.spyOn(net.Socket.prototype, "connect");
  const socket = await connecting();
  const [stream] = connects.mock.contexts;
  return { socket, stream: stream! };
}

/**
 * Expects TCP_NODELAY. Without it a second small write waits until the peer has confirmed the first: 40 ms where
 * the peer takes its time.
 */
export async function expectSendsAtOnce(
  skip: (reason: string) => void,
  connecting: () => Promise<Socket>,
): Promise<void> {
  const { socket, stream } = await streamOf(connecting);
  const answer = sendsAtOnce(stream);
  socket.destroy();
  if (answer === undefined && process.env["CI"] !== "true") skip("no perl to ask the kernel by");
  else expect(answer).toBe(true);
}

/** Makes every host resolve to these addresses, until the test ends. */
export function resolveTo(...addresses: { address: string; family: 4 | 6 }[]): void {
  vi.spyOn(dns, "lookup").mockImplementation((_host, _options, found) => setImmediate(() => found(null, addresses)));
}

afterEach(async () => {
  vi.restoreAllMocks();
  for (const stream of accepted.splice(0)) stream.destroy();
  await Promise.all(servers.splice(0).map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
});
