import { sleep } from "../core-nats/async.ts";
import { nuid } from "../core-nats/nuid.ts";
import { encoder, isBytes } from "../core-nats/text.ts";
import { textOf } from "../pb/wire.ts";
import type { Stored } from "./channel.ts";
import { Clock } from "./clock.ts";
import { Faults, type Refused, type Swallowed } from "./faults.ts";
import { Link } from "./link.ts";
import { type Listener, type Socket, listen } from "./listener.ts";
import { Streaming, type StreamingOptions } from "./streaming.ts";
import { Subjects } from "./subjects.ts";

export type { Refused, Swallowed };

/**
 * A client that has not answered for so many times ten milliseconds is not waited for. In pieces: where the process stands
 * still, which clients are part of, one of them passes and not all.
 */
const PATIENCE = 10;

/** How a server is started. All of it may be left out. */
export interface StreamingServerOptions extends StreamingOptions {
  /** Default: a free one. */
  port?: number | undefined;
  /** Default "127.0.0.1". Anything that is not the loopback interface needs `allowRemote`, too. */
  host?: string | undefined;
  /** Default false. There is no access control: whoever reaches the port may do anything. */
  allowRemote?: boolean | undefined;
}

/** A message that a channel holds. Its timestamp is by the server's clock, and its text is the data as UTF-8. */
export type StoredMessage = Stored & { readonly text: string };

/** A subscription as the server has it. */
export interface SubscriptionState {
  readonly clientId: string;
  /** The names of the durable and of the queue group; empty: none. */
  readonly durable: string;
  readonly queue: string;
  /** False: it is closed, and its position is kept for the next one of its name. */
  readonly online: boolean;
  /** The sequences of what was sent and has not been acknowledged, ascending. */
  readonly pending: readonly number[];
}

// Why: docs/decisions.md#a-server-for-tests-in-the-package
/**
 * A NATS Streaming server for tests, in this process: a TCP port for any client, and everything in memory. Not a product.
 *
 * It does what nats-streaming-server 0.25.6 does with a memory store and an embedded NATS server, and is held to that by
 * a suite that runs against both. It does not do: persistence, clustering, fault tolerance, partitions, TLS, monitoring,
 * authentication (any credentials are taken), permissions, headers (HPUB), CONNECT's `verbose`, `pedantic` and
 * `echo: false`, limits by age or bytes, removal of unused channels, PINGs to keep links alive. Its clock goes with the
 * real one, but for `advance`.
 */
export class StreamingServer {
  readonly host: string;
  readonly port: number;
  readonly #options: StreamingServerOptions;
  readonly #id = nuid();
  readonly #subjects = new Subjects();
  readonly #clock = new Clock();
  readonly #faults = new Faults();
  readonly #links = new Set<Link>();
  #streaming: Streaming;
  #listener: Listener | undefined;
  #traffic = 0;
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

  /** Starts a server. Resolves once clients can connect; rejects if the port is taken or the address not loopback. */
  static async start(options: StreamingServerOptions = {}): Promise<StreamingServer> {
    const { host = "127.0.0.1", port = 0, allowRemote = false } = options;
    if (!allowRemote && !/^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host)) {
      throw new TypeError(`host: ${host} is not the loopback interface, and this server lets in anybody; see allowRemote`);
    }
    const listener = await listen(host, port, (socket) => server.#accept(socket));
    const server = new StreamingServer(options, host, listener);
    return server;
  }

  /** What clients connect to. */
  get url(): string {
    return `nats://${this.host.includes(":") ? `[${this.host}]` : this.host}:${this.port}`;
  }

  /** Ends all connections and listens no more. No timer or socket is left. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#clock.hold(true);
    await this.down();
  }

  /** The IDs of the registered clients. */
  get clients(): string[] {
    return [...this.#streaming.sessions.keys()];
  }

  /** What a channel holds, oldest first. */
  messages(channel: string): StoredMessage[] {
    const stored = [...(this.#streaming.channels.get(channel)?.messages.values() ?? [])];
    return stored.map((message) => ({ ...message, text: textOf(message.data, 0, message.data.length) }));
  }

  /** The subscriptions to a channel, the closed ones whose position is kept included. */
  subscriptions(channel: string): SubscriptionState[] {
    const groups = [...(this.#streaming.channels.get(channel)?.groups.values() ?? [])];
    const members = groups.flatMap(({ members, absent }) => (absent === undefined ? members : [absent]));
    return members.map(({ request: { clientID: clientId, durableName: durable, qGroup: queue }, online, pending }) => {
      return { clientId, durable, queue, online, pending: [...pending.keys()].sort((a, b) => a - b) };
    });
  }

  /**
   * Resolves once nothing is under way: all that clients sent is handled, all that they were sent has reached them, and
   * nothing new came of it. What a handler does later does not count, and a client that does not answer a PING within
   * 100 ms is not waited for.
   */
  async idle(): Promise<void> {
    for (let before = -1; before !== this.#traffic; ) {
      before = this.#traffic;
      this.#clock.ring();
      const enough = new AbortController();
      const links = this.#paused ? [] : [...this.#links];
      const reached = Promise.all(links.map((link) => link.reached())).then(() => enough.abort());
      for (let i = 0; i < PATIENCE && !enough.signal.aborted; i++) await Promise.race([reached, sleep(10, enough.signal)]);
      enough.abort();
    }
  }

  /** Resolves once the client with this ID is registered and has a connection, the first time or again; or after `stop`. */
  async present(clientId: string): Promise<void> {
    while (!this.#stopped && this.#linksOf(clientId).length === 0) await sleep(1);
    await this.idle();
  }

  /** Stores a message as if a client had published it. Returns its sequence. Throws what the server would refuse it with. */
  publish(channel: string, data: string | Uint8Array, reply = ""): number {
    if (typeof data !== "string" && !isBytes(data)) throw new TypeError("data must be a string or a Uint8Array");
    // Not by `slice`: that of a Buffer is no copy.
    const bytes = typeof data === "string" ? encoder.encode(data) : new Uint8Array(data);
    const stored = this.#streaming.store(channel, bytes, reply);
    if (typeof stored === "string") throw new Error(stored);
    return stored.sequence;
  }

  /**
   * Moves the server's clock ahead. What that makes happen, redeliveries and heartbeats, happens in its order, and in
   * between clients have the real time that they need to answer (see `idle`).
   */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#clock.now() + milliseconds;
    for (await this.idle(); this.#clock.next <= end; await this.idle()) this.#clock.moveTo(this.#clock.next);
    this.#clock.moveTo(end);
  }

  /** Cuts the connection of the client with this ID, or all. Clients may connect again at once. */
  cut(clientId?: string): void {
    for (const link of this.#linksOf(clientId)) link.cut();
  }

  /** Cuts all connections and listens no more, until `up`. Everything is kept, and the clock goes on. */
  async down(): Promise<void> {
    const closed = this.#listener?.close();
    this.#listener = undefined;
    this.cut();
    await closed;
  }

  /** Listens again, on the same port. */
  async up(): Promise<void> {
    this.#listener ??= await listen(this.host, this.port, (socket) => this.#accept(socket));
  }

  /** Cuts all connections and starts anew with nothing: no client, no channel. Faults that are yet to happen are kept. */
  restart(): void {
    this.cut();
    this.#streaming.listen(false);
    this.#clock.clear();
    this.#streaming = new Streaming(this.#subjects, this.#clock, this.#faults, this.#options);
    this.resume();
    this.lead();
  }

  /** Stands still, like a suspended process, until `resume`: connections stay, and can be made, but nothing is answered. */
  pause(): void {
    this.#stand(true, this.#inCharge);
  }

  /** Goes on after `pause`, with all that has come in meanwhile. */
  resume(): void {
    this.#stand(false, this.#inCharge);
  }

  /** Until `lead` nobody is in charge of streaming, as between two leaders: NATS stays, and requests get a 503. */
  stepDown(): void {
    this.#stand(this.#paused, false);
  }

  /** Is in charge again, with everything as it was. */
  lead(): void {
    this.#stand(this.#paused, true);
  }

  /** Forgets a client, as after missed heartbeats. Its connection stays. Returns false if there is none with this ID. */
  forget(clientId: string): boolean {
    const session = this.#streaming.sessions.get(clientId);
    if (session !== undefined) this.#streaming.forget(session);
    return session !== undefined;
  }

  /** Loses the next ones, `count` (1) of them, on their way. */
  swallow(what: Swallowed, count = 1): void {
    this.#faults.swallowed.set(what, count);
  }

  /** Refuses the next requests, `count` (1) of them, with an error of this text. */
  refuse(request: Refused, text: string, count = 1): void {
    this.#faults.refused.set(request, { text, left: count });
  }

  /** From now on all that the streaming server sends, but for heartbeats, comes so much later by the server's clock. */
  delay(milliseconds: number): void {
    this.#faults.delay = milliseconds;
  }

  /** Sends exactly these bytes (text as UTF-8) to the client with this ID, or to all. */
  send(bytes: string | Uint8Array, clientId?: string): void {
    for (const link of this.#linksOf(clientId)) link.send(typeof bytes === "string" ? encoder.encode(bytes) : bytes);
  }

  #accept(socket: Socket): void {
    const { host, port } = this;
    const max_payload = this.#options.limits?.payload || 1024 * 1024;
    const info = { server_id: this.#id, version: "2.9.24", proto: 1, host, port, headers: true, max_payload };
    const traffic = (): number => this.#traffic++;
    const link: Link = new Link(socket, this.#subjects, info, traffic, () => this.#links.delete(link));
    this.#links.add(link);
    link.pause(this.#paused);
  }

  #linksOf(clientId: string | undefined): Link[] {
    const inbox = this.#streaming.sessions.get(clientId ?? "")?.heartbeatInbox;
    return [...this.#links].filter((link) => clientId === undefined || (inbox !== undefined && link.hears(inbox)));
  }

  #stand(paused: boolean, inCharge: boolean): void {
    if (inCharge !== this.#inCharge) this.#streaming.listen(inCharge);
    if (paused !== this.#paused) for (const link of this.#links) link.pause(paused);
    this.#paused = paused;
    this.#inCharge = inCharge;
    this.#clock.hold(paused || !inCharge);
  }
}
