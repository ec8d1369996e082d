import { sleep } from "../core-nats/async.ts";
import { nuid } from "../core-nats/nuid.ts";
import { encoder, isBytes } from "../core-nats/text.ts";
import { textOf } from "../pb/wire.ts";
import type { ClientConnection } from "./client-connection.ts";
import { Clock } from "./clock.ts";
import { Connections } from "./connections.ts";
import { Faults, type Refused, type Swallowed } from "./faults.ts";
import { type Listener, type Socket, listen } from "./listener.ts";
import type { Stored } from "./log.ts";
import type { StreamingServerOptions } from "./server-options.ts";
import { Streaming } from "./streaming.ts";
import { Subjects } from "./subjects.ts";
import { stateOf, type SubscriptionState } from "./subscription-state.ts";

export type { Refused, StreamingServerOptions, SubscriptionState, Swallowed };

/** A message of {@link StreamingServer.messages}. `timestamp` is by the server's clock. `text` is the data as UTF-8. */
export type StoredMessage = Stored & { readonly text: string };

// Why: docs/decisions.md#a-server-for-tests-in-the-package
/**
 * A NATS Streaming server for tests, in this process: a TCP port for any client, and everything in memory. It is
 * not for production.
 *
 * It does what nats-streaming-server 0.25.6 does with a memory store and an embedded NATS server. A suite that runs
 * against both checks that. It does not do: persistence, clustering, fault tolerance, partitions, TLS, monitoring,
 * authentication (it takes any credentials), permissions, headers (HPUB), `verbose`, `pedantic` and `echo: false`
 * of CONNECT, limits by age or bytes, removal of unused channels, PINGs to keep connections alive. Its clock
 * follows the real one, but for `advance`.
 */
export class StreamingServer {
  /** The address that the server listens on. */
  readonly host: string;
  /** The TCP port that the server listens on. It stays the same after {@link StreamingServer.down}. */
  readonly port: number;
  readonly #options: StreamingServerOptions;
  readonly #id = nuid();
  readonly #subjects = new Subjects();
  readonly #clock = new Clock();
  readonly #faults = new Faults();
  readonly #connections = new Connections(this.#subjects);
  #streaming: Streaming;
  #listener: Listener | undefined;
  #paused = false;
  #inCharge = true;
  #stopped = false;

  private constructor(options: StreamingServerOptions, host: string, listener: Listener) {
    this.#options = options;
    this.host = host;
    this.port = listener.port;
    this.#listener = listener;
    this.#streaming = new Streaming(this.#subjects, this.#clock, this.#faults, this.#options);
  }

  /**
   * Starts a server. Resolves once clients can connect. Rejects with a `TypeError` if
   * {@link StreamingServerOptions.host} is not the loopback interface, and with the host's own error if the port is
   * taken.
   *
   * @example
   * ```ts
   * import { connect } from "nats-streaming-client";
   * import { StreamingServer } from "nats-streaming-client/testing";
   *
   * const server = await StreamingServer.start();
   * const client = await connect({ clusterId: "test-cluster", clientId: "shop", servers: server.url });
   * ```
   */
  static async start(options: StreamingServerOptions = {}): Promise<StreamingServer> {
    const { host = "127.0.0.1", port = 0, allowRemote = false } = options;
    if (!allowRemote && !/^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host)) {
      const rule = "is not the loopback interface, and this server lets in anybody; see allowRemote";
      throw new TypeError(`host: ${host} ${rule}`);
    }
    const listener = await listen(host, port, (socket) => server.#accept(socket));
    const server = new StreamingServer(options, host, listener);
    return server;
  }

  /** The URL that clients connect to, as `servers`. */
  get url(): string {
    return `nats://${this.host.includes(":") ? `[${this.host}]` : this.host}:${this.port}`;
  }

  /**
   * Ends all connections and stops listening. No timer and no socket is left when it resolves.
   *
   * @example
   * ```ts
   * await server.stop();
   * ```
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#clock.hold(true);
    await this.down();
  }

  /** The IDs of the registered clients. */
  get clients(): string[] {
    return [...this.#streaming.sessions.keys()];
  }

  /**
   * Returns the messages that a channel holds, oldest first. Empty if there is no such channel.
   *
   * @example
   * ```ts
   * expect(server.messages("orders").map(({ text }) => text)).toEqual(["three apples"]);
   * ```
   */
  messages(channel: string): StoredMessage[] {
    const stored = [...(this.#streaming.channels.get(channel)?.messages.values() ?? [])];
    return stored.map((message) => ({ ...message, text: textOf(message.data, 0, message.data.length) }));
  }

  /**
   * Returns the subscriptions to a channel, with the closed ones whose position the server keeps.
   *
   * @example
   * ```ts
   * expect(server.subscriptions("orders")).toMatchObject([{ durable: "billing", online: true, pending: [] }]);
   * ```
   */
  subscriptions(channel: string): SubscriptionState[] {
    const groups = [...(this.#streaming.channels.get(channel)?.groups.values() ?? [])];
    return groups.flatMap(({ members, absent }) => (absent === undefined ? members : [absent])).map(stateOf);
  }

  /**
   * Resolves once nothing is under way: the server has handled all that clients sent, clients have received all
   * that the server sent, and nothing new came of it. It does not wait for what a handler does later. It does not
   * wait longer than 100 ms for a client that does not answer a PING.
   *
   * @example
   * ```ts
   * server.publish("orders", "three apples");
   * await server.idle();
   * expect(server.subscriptions("orders")).toMatchObject([{ pending: [] }]);
   * ```
   */
  async idle(): Promise<void> {
    for (let before = -1; before !== this.#connections.traffic; ) {
      before = this.#connections.traffic;
      this.#clock.ring();
      await this.#connections.reached();
    }
  }

  /**
   * Resolves once the client with this ID is registered and connected, for the first time or again, or after
   * {@link StreamingServer.stop}.
   *
   * @example
   * ```ts
   * server.cut("shop");
   * await server.present("shop");
   * ```
   */
  async present(clientId: string): Promise<void> {
    while (!this.#stopped && this.#connectionsOf(clientId).length === 0) await sleep(1);
    await this.idle();
  }

  /**
   * Stores a message as if a client had published it. Returns its sequence. Throws an `Error` with the server's
   * text if the server would refuse it.
   *
   * @example
   * ```ts
   * const sequence = server.publish("orders", "three apples");
   * ```
   */
  publish(channel: string, data: string | Uint8Array, reply = ""): number {
    if (typeof data !== "string" && !isBytes(data)) throw new TypeError("data must be a string or a Uint8Array");
    // Not by `slice`: that of a Buffer is no copy.
    const bytes = typeof data === "string" ? encoder.encode(data) : new Uint8Array(data);
    const stored = this.#streaming.store(channel, bytes, reply);
    if (typeof stored === "string") throw new Error(stored);
    return stored.sequence;
  }

  /**
   * Moves the server's clock ahead. The redeliveries and heartbeats of that time happen at once, in their order. In
   * between, clients have the real time that they need to answer, as with {@link StreamingServer.idle}.
   *
   * @example
   * ```ts
   * await server.advance(30_000); // ackWait: what is not acknowledged comes again
   * ```
   */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#clock.now() + milliseconds;
    for (await this.idle(); this.#clock.next <= end; await this.idle()) this.#clock.moveTo(this.#clock.next);
    this.#clock.moveTo(end);
  }

  /**
   * Cuts the connection of the client with this ID, or all connections. Clients may connect again at once.
   *
   * @example
   * ```ts
   * server.cut("shop");
   * ```
   */
  cut(clientId?: string): void {
    for (const connection of this.#connectionsOf(clientId)) connection.cut();
  }

  /**
   * Cuts all connections and stops listening, until {@link StreamingServer.up}. The server keeps everything, and
   * its clock goes on.
   *
   * @example
   * ```ts
   * await server.down();
   * server.publish("orders", "stored during the outage");
   * await server.up();
   * ```
   */
  async down(): Promise<void> {
    const closed = this.#listener?.close();
    this.#listener = undefined;
    this.cut();
    await closed;
  }

  /**
   * Listens again, on the same port, after {@link StreamingServer.down}.
   *
   * @example
   * ```ts
   * await server.up();
   * ```
   */
  async up(): Promise<void> {
    this.#listener ??= await listen(this.host, this.port, (socket) => this.#accept(socket));
  }

  /**
   * Cuts all connections and starts anew with no client and no channel, as a server with a memory store does.
   * Faults that are yet to happen stay.
   *
   * @example
   * ```ts
   * server.restart();
   * ```
   */
  restart(): void {
    this.cut();
    this.#streaming.listen(false);
    this.#clock.clear();
    this.#streaming = new Streaming(this.#subjects, this.#clock, this.#faults, this.#options);
    this.resume();
    this.lead();
  }

  /**
   * Stands still, like a suspended process, until {@link StreamingServer.resume}. Connections stay, and new ones
   * can be made, but nothing is answered.
   *
   * @example
   * ```ts
   * server.pause();
   * setTimeout(() => server.resume(), 100);
   * ```
   */
  pause(): void {
    this.#stand(true, this.#inCharge);
  }

  /**
   * Goes on after {@link StreamingServer.pause}, with all that has come in meanwhile.
   *
   * @example
   * ```ts
   * server.resume();
   * ```
   */
  resume(): void {
    this.#stand(false, this.#inCharge);
  }

  /**
   * Until {@link StreamingServer.lead} no streaming server is in charge, as between two leaders. NATS is there, and
   * requests get a 503.
   *
   * @example
   * ```ts
   * server.stepDown();
   * setTimeout(() => server.lead(), 100);
   * ```
   */
  stepDown(): void {
    this.#stand(this.#paused, false);
  }

  /**
   * Is in charge again after {@link StreamingServer.stepDown}, with everything as it was.
   *
   * @example
   * ```ts
   * server.lead();
   * ```
   */
  lead(): void {
    this.#stand(this.#paused, true);
  }

  /**
   * Forgets a client, as after missed heartbeats. Its connection stays. Returns false if there is no client with
   * this ID.
   *
   * @example
   * ```ts
   * server.forget("shop");
   * ```
   */
  forget(clientId: string): boolean {
    const session = this.#streaming.sessions.get(clientId);
    if (session !== undefined) this.#streaming.forget(session);
    return session !== undefined;
  }

  /**
   * Loses the next `count` of these on their way. Default 1.
   *
   * @example
   * ```ts
   * server.swallow("PubAck");
   * ```
   */
  swallow(what: Swallowed, count = 1): void {
    this.#faults.swallowed.set(what, count);
  }

  /**
   * Refuses the next `count` requests of this kind, with an error of this text. Default 1.
   *
   * @example
   * ```ts
   * server.refuse("subscribe", "too many subscriptions per channel");
   * ```
   */
  refuse(request: Refused, text: string, count = 1): void {
    this.#faults.refused.set(request, { text, left: count });
  }

  /**
   * From now on, all that the streaming server sends comes so many milliseconds later, by the server's clock.
   * Heartbeats do not.
   *
   * @example
   * ```ts
   * server.delay(200);
   * ```
   */
  delay(milliseconds: number): void {
    this.#faults.delay = milliseconds;
  }

  /**
   * Sends exactly these bytes to the client with this ID, or to all clients. A string is sent as UTF-8.
   *
   * @example
   * ```ts
   * server.send("-ERR 'Stale Connection'\r\n", "shop");
   * ```
   */
  send(bytes: string | Uint8Array, clientId?: string): void {
    const data = typeof bytes === "string" ? encoder.encode(bytes) : bytes;
    for (const connection of this.#connectionsOf(clientId)) connection.send(data);
  }

  #accept(socket: Socket): void {
    const { host, port } = this;
    const max_payload = this.#options.limits?.payload || 1024 * 1024;
    const info = { server_id: this.#id, version: "2.9.24", proto: 1, host, port, headers: true, max_payload };
    this.#connections.add(socket, info);
  }

  #connectionsOf(clientId: string | undefined): ClientConnection[] {
    if (clientId === undefined) return this.#connections.all();
    const inbox = this.#streaming.sessions.get(clientId)?.heartbeatInbox;
    return this.#connections.all().filter((connection) => inbox !== undefined && connection.hears(inbox));
  }

  #stand(paused: boolean, inCharge: boolean): void {
    if (inCharge !== this.#inCharge) this.#streaming.listen(inCharge);
    this.#connections.pause(paused);
    this.#paused = paused;
    this.#inCharge = inCharge;
    this.#clock.hold(paused || !inCharge);
  }
}
