import { anySignal, deferred, noop, settled } from "./async.ts";
import type { Credentials } from "./auth.ts";
import { clearTimeout, setTimeout } from "./clock.ts";
import { connectFields } from "./connect-fields.ts";
import type { Delivery, Receiver } from "./delivery.ts";
import { NatsError } from "./errors.ts";
import { readInfo } from "./info.ts";
import type { ServerInfo } from "./info.ts";
import { KeepAlive } from "./keep-alive.ts";
import { Lifetime } from "./lifetime.ts";
import type { AbortSignalLike } from "./lifetime.ts";
import { Outbox } from "./outbox.ts";
import { Parser } from "./parser.ts";
import { Requests } from "./requests.ts";
import type { Read } from "./requests.ts";
import { readServerError } from "./server-error.ts";
import type { ServerError } from "./server-error.ts";
import type { Server } from "./servers.ts";
import { Socket } from "./socket.ts";
import type { TlsOptions } from "./socket.ts";
import { checkSubject } from "./subject.ts";
import { encoder } from "./text.ts";

/** Ends a connection whose peer leaves this much unread. It bounds what is sent without being held back, too. */
const LARGEST_BACKLOG = 64 * 1024 * 1024;

/**
 * Servers that said in INFO that they require TLS, where the options do not. Only the first connection to such a
 * server is dialled twice: TLS cannot begin on a socket that is read in the fastest way.
 */
const wantTls = new WeakSet<Server>();

/** How a connection is opened and watched. */
export interface ConnectionOptions {
  /** `name` in CONNECT, which operators see. */
  readonly name: string;
  readonly credentials: Credentials | undefined;
  /** Not undefined: TLS is demanded. */
  readonly tls: TlsOptions | undefined;
  /** How long one dial may take, in milliseconds: TCP, TLS and handshake together. */
  readonly timeout: number;
  /** The time between two PINGs, in milliseconds. */
  readonly pingInterval: number;
  /** The connection ends when this many PINGs in a row went unanswered and nothing else came either. */
  readonly pingMaxOut: number;
  readonly inboxPrefix: string;
  /**
   * A received message may have so many bytes, whatever the server's `max_payload` is: JetStream's answers have more.
   * Default 0.
   */
  readonly largestAnswer?: number | undefined;
  /**
   * Gets each error after which the connection goes on: a denied subject that nobody waits for, a refused
   * subscription.
   */
  readonly problem: (error: NatsError) => void;
  /** Gets each INFO that can be trusted: with TLS only those that came encrypted. */
  readonly informed: (info: ServerInfo) => void;
}

interface Subscribed {
  readonly subject: string;
  readonly receiver: Receiver;
}

// Why: docs/decisions.md#one-life-for-each-connection
/**
 * One connection to one NATS server. It is open when `open` resolves. It ends once, with a reason, and never comes
 * back: its owner opens another one.
 */
export class Connection {
  readonly server: Server;
  /** Aborts when the connection ends. The reason is a `NatsError`. */
  readonly ended: AbortSignalLike;
  readonly outbox: Outbox;
  /** Is called when publishes that `outbox.full` held back may go on. */
  writable: () => void = noop;
  /** How many PINGs were sent. When a PONG arrives, the server has processed everything before its PING. */
  pings = 0;
  /** How many PINGs were answered. */
  pongs = 0;
  /** Is called when the server denies a publish to a subject. Returns false when nobody waits for such a publish. */
  publishDenied: (subject: string, error: NatsError) => boolean = () => false;

  readonly #options: ConnectionOptions;
  readonly #lifetime = new Lifetime();
  readonly #subscribed = new Map<number, Subscribed>();
  readonly #pongs: ((error?: NatsError) => void)[] = [];
  readonly #requests: Requests;
  readonly #keepAlive: KeepAlive;
  #parser: Parser;
  /** Aborts when opening is given up: by the caller, or because the connection has ended. */
  #opening!: AbortSignalLike;
  #socket!: Socket;
  /** The TLS options that the socket was dialled with. Undefined: TLS cannot begin on it. */
  #tls: TlsOptions | undefined;
  /** The latest INFO. It is there once the server has greeted. */
  #info!: ServerInfo;
  /** Resolves when INFO has come and TLS has begun, if there is any. */
  readonly #greeted = deferred();
  #stage: "INFO" | "end of the TLS handshake" | "signature by auth.sign" | "answer to CONNECT" = "INFO";
  #lastSid = 0;
  #lastError: NatsError | undefined;
  #tlsPending = false;

  private constructor(server: Server, options: ConnectionOptions) {
    this.server = server;
    this.#options = options;
    this.ended = this.#lifetime;
    this.#parser = new Parser(this.#operations);
    this.outbox = new Outbox({ write: (bytes, written) => this.#write(bytes, written) }, () => this.writable());
    const silent = (unanswered: number): void => {
      this.end(new NatsError("STALE", `${server.label}: ${unanswered} PINGs in a row were not answered`));
    };
    this.#keepAlive = new KeepAlive(options.pingInterval, options.pingMaxOut, () => this.ping(noop), silent);
    this.#requests = new Requests(options.inboxPrefix, (...message) => this.publish(...message), options.problem);
  }

  /**
   * Dials the server and proves the connection by a PING: when this resolves, the server has accepted TLS and
   * credentials. Rejects with a `NatsError`; with `CLOSED` if the signal aborts.
   */
  static async open(server: Server, options: ConnectionOptions, signal: AbortSignalLike): Promise<Connection> {
    const connection = new Connection(server, options);
    const timer = setTimeout(() => {
      connection.end(new NatsError("TIMEOUT", `${server.label}: ${connection.#silence(options.timeout)}`));
    }, options.timeout);
    try {
      await connection.#open(signal);
      return connection;
    } catch (error) {
      if (signal.aborted) connection.end(new NatsError("CLOSED", "given up by the caller"));
      connection.end(error instanceof NatsError ? error : new NatsError("CONNECT", "an unexpected failure", error));
      throw connection.ended.reason;
    } finally {
      clearTimeout(timer);
    }
  }

  #silence(timeout: number): string {
    if (this.#stage !== "INFO") return `no ${this.#stage} within ${timeout} ms`;
    const question = "is this the client port of a NATS server (4222 by default, not 8222)?";
    return `accepted the connection, and sent no NATS greeting (INFO) within ${timeout} ms: ${question}`;
  }

  /** What the server has said of itself last. */
  get info(): ServerInfo {
    return this.#info;
  }

  /** The largest payload that the server takes, in bytes. It may change while connected. */
  get maxPayload(): number {
    return this.#info.maxPayload;
  }

  /** Sends SUB and returns the sid. Wildcards are allowed. Throws a `TypeError` for a bad subject. */
  subscribe(subject: string, receiver: Receiver): number {
    checkSubject(subject, true);
    const sid = ++this.#lastSid;
    this.#subscribed.set(sid, { subject, receiver });
    this.outbox.line(`SUB ${subject} ${sid}`);
    return sid;
  }

  /** Sends UNSUB. The receiver gets nothing more, whatever still arrives for the sid. */
  unsubscribe(sid: number): void {
    if (this.#subscribed.delete(sid)) this.outbox.line(`UNSUB ${sid}`);
  }

  /**
   * Sends PUB, and copies the payload. Throws a `TypeError` for a bad subject. Nothing says whether anybody gets the
   * message. It is never held back: who sends a lot looks at `outbox.full`.
   */
  publish(subject: string, payload: Uint8Array, reply?: string): void {
    checkSubject(subject, false);
    if (reply !== undefined) checkSubject(reply, false);
    this.outbox.pub(encoder.encode(reply === undefined ? `PUB ${subject} ` : `PUB ${subject} ${reply} `), payload);
  }

  /**
   * Sends HPUB, and copies headers (see `headerBlock`) and payload. Else it is as `publish`. A server whose `info` has
   * no `headers` ends the connection because of it.
   */
  publishWithHeaders(subject: string, headers: Uint8Array, payload: Uint8Array, reply?: string): void {
    checkSubject(subject, false);
    if (reply !== undefined) checkSubject(reply, false);
    const head = encoder.encode(reply === undefined ? `HPUB ${subject} ` : `HPUB ${subject} ${reply} `);
    const { outbox } = this;
    const at = outbox.beginWithHeaders(head, headers.length, headers.length + payload.length);
    outbox.bytes.set(headers, at);
    outbox.bytes.set(payload, at + headers.length);
  }

  /**
   * Publishes a request and resolves with what `read` makes of the first answer that it can read, in the turn in
   * which the answer arrives. Rejects with `NO_RESPONDERS` (at once, where the server says so), `PERMISSIONS`,
   * `TIMEOUT`, or the reason why the connection ended. `late` reads an answer that comes after the timeout.
   */
  request<T>(subject: string, payload: Uint8Array, timeout: number, read: Read<T>, late?: Read<void>): Promise<T> {
    return this.#requests.send(subject, payload, timeout, read, late);
  }

  /** Resolves when the server has processed all that was sent before. Rejects if the connection ends first. */
  flush(): Promise<void> {
    if (this.ended.aborted) return Promise.reject(this.ended.reason);
    return new Promise((resolve, reject) => this.ping((error) => (error === undefined ? resolve() : reject(error))));
  }

  /** Sends PING. Calls `pong` when its PONG arrives, or with the reason when the connection ends first. */
  ping(pong: (error?: NatsError) => void): void {
    this.#pongs.push(pong);
    this.pings++;
    this.outbox.line("PING");
  }

  /** Ends the connection when what was sent before has left, or after a second. */
  close(): void {
    if (this.ended.aborted) return;
    this.outbox.flush();
    this.#socket.end();
    this.#finish(new NatsError("CLOSED", "closed by this client"));
  }

  /** Ends the connection now. What is not written yet is lost. */
  end(reason: NatsError): void {
    if (this.ended.aborted) return;
    this.#socket?.destroy();
    this.#finish(reason);
  }

  #mostReceived({ maxPayload }: ServerInfo): number {
    return Math.max(maxPayload, this.#options.largestAnswer ?? 0);
  }

  async #open(signal: AbortSignalLike): Promise<void> {
    const { ended } = this;
    const stop = anySignal(signal, ended);
    this.#opening = stop.lifetime;
    const wait = async <T>(promise: Promise<T>): Promise<T> => {
      const done = await settled(promise, stop.lifetime);
      if (signal.aborted) throw signal.reason;
      if (!done) throw ended.reason;
      return promise;
    };
    try {
      await this.#dial();
      await wait(this.#greeted.promise);
      this.#stage = "signature by auth.sign";
      const { name, credentials } = this.#options;
      const fields = await wait(connectFields(name, credentials, this.#info, this.#socket.encrypted));
      this.#stage = "answer to CONNECT";
      this.outbox.line(`CONNECT ${JSON.stringify(fields)}`);
      const proof = this.flush();
      this.subscribe(this.#requests.answers, this.#requests);
      await wait(proof);
    } finally {
      stop.release();
    }
    if (!ended.aborted) this.#keepAlive.start();
  }

  async #dial(): Promise<void> {
    const { server } = this;
    this.#tls = this.#options.tls ?? (server.tls || wantTls.has(server) ? {} : undefined);
    this.#socket = await Socket.dial(
      server,
      this.#tls,
      {
        data: (bytes) => this.#data(bytes),
        // Without an error this side closed the socket, and the connection has its reason.
        closed: (error) => error !== undefined && this.end(this.#lastError ?? error),
      },
      this.#opening,
    );
  }

  #data(bytes: Uint8Array): void {
    this.#keepAlive.heard = true;
    try {
      const parsed = this.#parser.parse(bytes);
      // The parser stops at an INFO that TLS must follow: bytes that came with that INFO are not TLS.
      if (this.#tlsPending) this.#upgrade(parsed < bytes.length);
    } catch (error) {
      this.end(error instanceof NatsError ? error : new NatsError("PROTOCOL", "an operation failed", error));
    }
  }

  /** Runs in the turn in which INFO came: no bytes in clear can be taken for what comes behind the handshake. */
  #upgrade(residue: boolean): void {
    this.#tlsPending = false;
    if (this.#tls === undefined) {
      wantTls.add(this.server);
      this.#socket.destroy();
      this.#parser = new Parser(this.#operations);
      this.#dial().catch(this.#greeted.reject);
      return;
    }
    this.#stage = "end of the TLS handshake";
    this.#socket.upgrade(residue).then(() => {
      this.#parser = new Parser(this.#operations);
      this.#parser.maxPayload = this.#mostReceived(this.#info);
      this.#greeted.resolve();
    }, this.#greeted.reject);
  }

  readonly #operations = {
    // Why: docs/decisions.md#what-an-info-in-clear-may-decide
    info: (json: string): void => {
      const info = readInfo(json);
      const first = this.#info === undefined;
      if (first && !this.#socket.encrypted) {
        const demanded = this.#options.tls !== undefined || this.server.tls;
        if (demanded && !info.tlsRequired && !info.tlsAvailable) {
          throw new NatsError("TLS", `${this.server.label}: TLS is demanded and the server does not offer it`);
        }
        if (demanded || info.tlsRequired) {
          this.#tlsPending = true;
          this.#parser.stop();
          if (this.#tls !== undefined) this.#info = info;
          return;
        }
      }
      this.#info = info;
      // The server may have sent larger messages before the limit shrank.
      this.#parser.maxPayload = Math.max(this.#parser.maxPayload, this.#mostReceived(info));
      this.#options.informed(info);
      if (first) this.#greeted.resolve();
    },
    message: (delivery: Delivery): void => {
      this.#subscribed.get(delivery.sid)?.receiver.deliver(delivery);
    },
    ping: (): void => this.outbox.line("PONG"),
    pong: (): void => {
      // A server that still answers has not closed the connection because of the error.
      if (this.#lastError !== undefined) this.#options.problem(this.#lastError);
      this.#lastError = undefined;
      const pong = this.#pongs.shift();
      if (pong === undefined) return;
      this.pongs++;
      pong();
    },
    ok: noop,
    error: (text: string): void => this.#refused(readServerError(text, this.server.label)),
  };

  /** Never ends the connection: the server decides which errors do, and closes its side behind them. */
  #refused(serverError: ServerError): void {
    if (serverError.kind === "connection") this.#lastError = serverError.error;
    else if (!this.#hasReceiver(serverError)) this.#options.problem(serverError.error);
  }

  /** Gives the error to those that wait for what the server denied. Returns false if nobody does. */
  #hasReceiver({ kind, subject, error }: ServerError): boolean {
    switch (kind) {
      case "publish":
        return this.#requests.publishDenied(subject, error) || this.publishDenied(subject, error);
      case "reply":
        return this.#requests.replyDenied(subject, error);
      case "subscription":
        return this.#subscriptionDenied(subject, error);
      case "subscriptions": {
        // The server means the SUB that was sent last or a little before: the newest is the best guess.
        const newest = [...this.#subscribed.values()].pop();
        return newest !== undefined && this.#subscriptionDenied(newest.subject, error);
      }
      default:
        return false;
    }
  }

  #subscriptionDenied(subject: string, error: NatsError): boolean {
    let known = false;
    for (const [sid, subscribed] of [...this.#subscribed]) {
      if (subscribed.subject !== subject) continue;
      known = true;
      this.#subscribed.delete(sid);
      subscribed.receiver.denied(error);
    }
    return known;
  }

  #write(bytes: Uint8Array, written: () => void): void {
    this.#socket.write(bytes, written);
    if (this.outbox.pending > LARGEST_BACKLOG) {
      this.end(new NatsError("STALE", `${this.server.label}: the server reads no more`));
    }
  }

  #finish(reason: NatsError): void {
    this.#keepAlive.stop();
    this.#parser.stop();
    this.outbox.close();
    this.#lifetime.abort(reason);
    this.#subscribed.clear();
    this.#requests.end(reason);
    for (const pong of this.#pongs.splice(0)) pong(reason);
  }
}
