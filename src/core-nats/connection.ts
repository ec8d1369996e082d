import { deferred, nothing, settled, within } from "./async.ts";
import { authenticate } from "./auth.ts";
import type { Credentials } from "./auth.ts";
import { clearTimeout, setTimeout } from "./clock.ts";
import { NatsError } from "./errors.ts";
import { readInfo } from "./info.ts";
import type { ServerInfo } from "./info.ts";
import { Lifetime } from "./lifetime.ts";
import type { Ending } from "./lifetime.ts";
import { nuid } from "./nuid.ts";
import { Outbox } from "./outbox.ts";
import { Parser } from "./parser.ts";
import type { Delivery } from "./delivery.ts";
import type { Server } from "./servers.ts";
import { Socket } from "./socket.ts";
import type { TlsOptions } from "./socket.ts";
import { checkSubject } from "./subject.ts";
import { encoder } from "./text.ts";

/** The version that CONNECT tells the server: the package's. */
export const VERSION = "0.1.0";

/** A peer that leaves this much unread is not coming back: what is sent without being held back stays bounded too. */
const LARGEST_BACKLOG = 64 * 1024 * 1024;

/** Requests that timed out and whose answer is wanted all the same: the last ones. Most will never be answered. */
const MOST_LATE = 1_000;

/** Subjects whose PUB is kept encoded: without, a publish of 128 bytes takes 1.2 µs and not 0.15. */
const MOST_HEADS = 100;

/**
 * Servers that want TLS though it is not demanded, as they were heard to say. Only their first connection is dialled twice:
 * TLS cannot begin on a socket that is read in the fastest way.
 */
const wantTls = new WeakSet<Server>();

/** How a connection is opened and watched. */
export interface ConnectionOptions {
  /** Tells operators who this is (CONNECT's `name`). */
  readonly name: string;
  readonly credentials: Credentials | undefined;
  /** Present: TLS is demanded. */
  readonly tls: TlsOptions | undefined;
  /** One dial: TCP, TLS and handshake together. Milliseconds. */
  readonly timeout: number;
  /** How often a PING is sent. Milliseconds. */
  readonly pingInterval: number;
  /** The link ends once this many PINGs in a row went unanswered, and nothing else came either. */
  readonly pingMaxOut: number;
  readonly inboxPrefix: string;
  /** Told of what goes wrong while the link stays: a denied subject that nobody waits for, a refused subscription. */
  readonly problem: (error: NatsError) => void;
  /** Told of each INFO that may be trusted: over TLS only those that came encrypted. */
  readonly informed: (info: ServerInfo) => void;
}

/** Takes what arrives for one subscription. */
export interface Receiver {
  /** Called in the very turn in which the bytes arrived; the delivery is valid during the call only. */
  deliver(delivery: Delivery): void;
  /** The server denied the subscription: it does not exist. */
  denied(error: NatsError): void;
}

interface Subscribed {
  readonly subject: string;
  readonly receiver: Receiver;
}

/** Reads what lies from `start` to `end`, and keeps none of the bytes. Throws if they are not what they should be. */
type Read<T> = (bytes: Uint8Array, start: number, end: number) => T;

interface Request {
  readonly subject: string;
  /** Reads the answer, which settles the request. */
  readonly read: Read<void>;
  readonly fail: (error: NatsError) => void;
}

// Why: docs/decisions.md#one-life-for-each-connection
/**
 * One connection to one NATS server. It is open from the moment `open` resolves; it ends once, with a reason, and
 * never comes back: whoever needs another opens another.
 */
export class Connection {
  readonly server: Server;
  /** Its end; the reason is the `NatsError` that says why. */
  readonly ended: Ending;
  readonly outbox: Outbox;
  /** Called when publishes that were held back (`outbox.full`) may go on. */
  writable: () => void = nothing;
  /** How many PINGs were sent. What is sent before a PING has arrived when its PONG has. */
  pings = 0;
  /** How many of them were answered. */
  pongs = 0;
  /** Asked who published to a denied subject; returns false when it was nobody that waits. */
  publishDenied: (subject: string, error: NatsError) => boolean = nobody;

  readonly #options: ConnectionOptions;
  readonly #lifetime = new Lifetime();
  readonly #subscribed = new Map<number, Subscribed>();
  readonly #pongs: ((error?: NatsError) => void)[] = [];
  /** Those that wait for their answer, by their tokens. */
  readonly #requests = new Map<string, Request>();
  /** Those that timed out and whose answer is wanted all the same, the newest last. */
  readonly #late = new Map<string, Request>();
  /** The PUB of a subject up to the size. */
  readonly #heads = new Map<string, Uint8Array>();
  readonly #mux: string;
  /** Why there are no answers to requests, if the server denied the inbox for them. */
  #muxDenied: NatsError | undefined;
  #parser: Parser;
  /** Ends when the connection need not be opened any more. */
  #opening!: Ending;
  #socket!: Socket;
  /** What the socket was dialled with. Undefined: TLS cannot begin on it. */
  #tls: TlsOptions | undefined;
  /** There since the greeting. */
  #info!: ServerInfo;
  /** Settles when INFO has come, and with it TLS where it is wanted. */
  readonly #greeted = deferred();
  #stage: "INFO" | "end of the TLS handshake" | "answer to CONNECT" = "INFO";
  #lastSid = 0;
  #lastToken = 0;
  #lastError: NatsError | undefined;
  #tlsPending = false;
  #heard = false;
  #unanswered = 0;
  #timer: Timer | undefined;

  private constructor(server: Server, options: ConnectionOptions) {
    this.server = server;
    this.#options = options;
    this.ended = this.#lifetime;
    this.#mux = `${options.inboxPrefix}.${nuid()}`;
    this.#parser = new Parser(this.#operations);
    this.outbox = new Outbox({ write: (bytes, written) => this.#write(bytes, written) }, () => this.writable());
  }

  /**
   * Dials the server and proves the connection by a PING: credentials that are refused, or TLS that fails, are known
   * when this returns. Rejects with a `NatsError`; an aborted signal rejects with `CLOSED`.
   */
  static async open(server: Server, options: ConnectionOptions, signal: Ending): Promise<Connection> {
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

  /** The largest payload that the server takes, in bytes. May change while connected. */
  get maxPayload(): number {
    return this.#info.maxPayload;
  }

  /** True where the server answers a publish that nobody listens to with a 503 (NATS 2.2 and later). */
  get noResponders(): boolean {
    return this.#info.headers;
  }

  /** Sends SUB. Throws a `TypeError` for a subject that is none; wildcards are allowed. */
  subscribe(subject: string, receiver: Receiver): number {
    checkSubject(subject, true);
    const sid = ++this.#lastSid;
    this.#subscribed.set(sid, { subject, receiver });
    this.outbox.line(`SUB ${subject} ${sid}`);
    return sid;
  }

  /** Sends UNSUB. What still arrives for this sid goes nowhere. */
  unsubscribe(sid: number): void {
    if (this.#subscribed.delete(sid)) this.outbox.line(`UNSUB ${sid}`);
  }

  /**
   * Sends PUB; the payload is copied before this returns. Throws a `TypeError` for a subject that is none. Nothing says
   * whether anybody got it. Is never held back: whoever sends a lot has to look at `outbox.full`.
   */
  publish(subject: string, payload: Uint8Array, reply?: string): void {
    if (reply === undefined) {
      this.outbox.pub(this.#heads.get(subject) ?? this.#newHead(subject), payload);
    } else {
      checkSubject(subject, false);
      checkSubject(reply, false);
      this.outbox.pub(encoder.encode(`PUB ${subject} ${reply} `), payload);
    }
  }

  #newHead(subject: string): Uint8Array {
    checkSubject(subject, false);
    const head = encoder.encode(`PUB ${subject} `);
    if (this.#heads.size >= MOST_HEADS) this.#heads.clear();
    this.#heads.set(subject, head);
    return head;
  }

  /**
   * Publishes a request and resolves with what `read` makes of the first answer that it can read, in the very turn in
   * which that arrives. Rejects with `NO_RESPONDERS` (at once, where the server says so), `PERMISSIONS`, `TIMEOUT`, or
   * the reason for which the connection ended. An answer that comes after the timeout is read by `late`.
   */
  request<T>(subject: string, payload: Uint8Array, timeout: number, read: Read<T>, late?: Read<void>): Promise<T> {
    const refusal: unknown = this.ended.aborted ? this.ended.reason : this.#muxDenied;
    if (refusal !== undefined) return Promise.reject(refusal);
    const token = (++this.#lastToken).toString(36);
    const { promise, resolve, reject } = deferred<T>();
    const timer = setTimeout(() => {
      this.#requests.delete(token);
      if (late !== undefined) this.#expectLate(token, subject, late);
      reject(new NatsError("TIMEOUT", `no answer to a request to ${subject} within ${timeout} ms`));
    }, timeout);
    const close = (): void => {
      clearTimeout(timer);
      this.#requests.delete(token);
    };
    const fail = (error: unknown): void => {
      close();
      reject(error);
    };
    this.#requests.set(token, {
      subject,
      read: (bytes, start, end) => {
        const answer = read(bytes, start, end);
        close();
        resolve(answer);
      },
      fail,
    });
    try {
      this.publish(subject, payload, `${this.#mux}.${token}`);
    } catch (error) {
      fail(error);
    }
    return promise;
  }

  #expectLate(token: string, subject: string, late: Read<void>): void {
    const close = (): void => void this.#late.delete(token);
    this.#late.set(token, {
      subject,
      read: (bytes, start, end) => {
        late(bytes, start, end);
        close();
      },
      fail: close,
    });
    const [oldest] = this.#late.keys();
    if (this.#late.size > MOST_LATE) this.#late.delete(oldest!);
  }

  /** Resolves once the server has processed all that was sent before. Rejects with the reason if the connection ends first. */
  flush(): Promise<void> {
    if (this.ended.aborted) return Promise.reject(this.ended.reason);
    return new Promise((resolve, reject) => this.ping((error) => (error === undefined ? resolve() : reject(error))));
  }

  /** Sends PING; `pong` is called when its PONG arrives, in order, or with the reason when the connection ends first. */
  ping(pong: (error?: NatsError) => void): void {
    this.#pongs.push(pong);
    this.pings++;
    this.outbox.line("PING");
  }

  /** Ends the connection once what was sent before has left, or after a short while. */
  close(): void {
    if (this.ended.aborted) return;
    this.outbox.flush();
    this.#socket.end();
    this.#over(new NatsError("CLOSED", "closed by this client"));
  }

  /** Ends the connection now. What has not been written is lost. */
  end(reason: NatsError): void {
    if (this.ended.aborted) return;
    this.#socket?.destroy();
    this.#over(reason);
  }

  async #open(signal: Ending): Promise<void> {
    const { ended } = this;
    const stop = within(signal, ended);
    this.#opening = stop.lifetime;
    try {
      await this.#dial();
      await settled(this.#greeted.promise, stop.lifetime);
      if (ended.aborted) throw ended.reason;
      if (signal.aborted) throw signal.reason;
      await this.#greeted.promise;
      this.#stage = "answer to CONNECT";
      this.outbox.line(`CONNECT ${JSON.stringify(this.#connectFields())}`);
      const proof = this.flush();
      this.subscribe(`${this.#mux}.*`, this.#answers);
      await settled(proof, stop.lifetime);
      if (signal.aborted) throw signal.reason;
      await proof;
    } finally {
      stop.release();
    }
    this.#keepAlive();
  }

  async #dial(): Promise<void> {
    const { server } = this;
    this.#tls = this.#options.tls ?? (server.tls || wantTls.has(server) ? {} : undefined);
    this.#socket = await Socket.dial(
      server,
      this.#tls,
      {
        data: (bytes) => this.#data(bytes),
        // Without an error it was this side that ended it, with a reason.
        closed: (error) => error !== undefined && this.end(this.#lastError ?? error),
      },
      this.#opening,
    );
  }

  #data(bytes: Uint8Array): void {
    this.#heard = true;
    try {
      const parsed = this.#parser.parse(bytes);
      // The parser stops by itself only at an INFO after which TLS must follow: whatever came with it is not TLS.
      if (this.#tlsPending) this.#upgrade(parsed < bytes.length);
    } catch (error) {
      this.end(error instanceof NatsError ? error : new NatsError("PROTOCOL", "an operation failed", error));
    }
  }

  /** Called within the turn in which INFO came, so that nothing in clear can be taken for what comes after it. */
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
      this.#parser.maxPayload = this.maxPayload;
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
      // What was let through before the limit shrank may still be under way.
      this.#parser.maxPayload = Math.max(this.#parser.maxPayload, info.maxPayload);
      this.#options.informed(info);
      if (first) this.#greeted.resolve();
    },
    message: (delivery: Delivery): void => {
      this.#subscribed.get(delivery.sid)?.receiver.deliver(delivery);
    },
    ping: (): void => this.outbox.line("PONG"),
    pong: (): void => {
      // A server that still answers has not closed the connection for what it said.
      if (this.#lastError !== undefined) this.#options.problem(this.#lastError);
      this.#lastError = undefined;
      const pong = this.#pongs.shift();
      if (pong === undefined) return;
      this.pongs++;
      pong();
    },
    ok: nothing,
    error: (text: string): void => this.#refused(text),
  };

  /** Takes the answers to all requests of this connection: one subscription, with a token for each request. */
  readonly #answers: Receiver = {
    deliver: (delivery) => {
      const { status, bytes, start, end } = delivery;
      const inbox = delivery.subject();
      const token = inbox.slice(inbox.lastIndexOf(".") + 1);
      const request = this.#requests.get(token) ?? this.#late.get(token);
      if (request === undefined) return;
      const { subject } = request;
      if (status !== 0) {
        request.fail(new NatsError("NO_RESPONDERS", `nobody listens on ${subject} (${status})`));
        return;
      }
      try {
        request.read(bytes, start, end);
      } catch (error) {
        // Anyone who may publish to the inbox can send rubbish: the true answer may still come.
        this.#options.problem(new NatsError("PROTOCOL", `an answer to a request to ${subject} cannot be read`, error));
      }
    },
    denied: (error) => {
      this.#muxDenied = error;
      for (const request of [...this.#requests.values()]) request.fail(error);
      this.#options.problem(error);
    },
  };

  /** An -ERR. Which of them end the link, and which do not, is the server's decision: it closes, or it does not. */
  #refused(text: string): void {
    const [, kind, quoted] = /^permissions violation for (.+?) "((?:[^"\\]|\\.)*)"/i.exec(text) ?? [];
    if (kind !== undefined && quoted !== undefined) {
      const error = new NatsError("PERMISSIONS", text);
      if (!this.#denied(kind.toLowerCase(), unquote(quoted), error)) this.#options.problem(error);
    } else if (/^maximum subscriptions exceeded/i.test(text)) {
      // Names no subject, and concerns the SUB that was sent last or a little before: the newest must do.
      const error = new NatsError("SERVER", text);
      const newest = [...this.#subscribed.values()].pop();
      if (newest === undefined || !this.#subscribeRefused(newest.subject, error)) this.#options.problem(error);
    } else if (/^(permissions violation|invalid (publish )?subject|failed account registration)/i.test(text)) {
      this.#options.problem(new NatsError("SERVER", text));
    } else {
      this.#lastError = new NatsError(codeOf(text), `${this.server.label}: ${text}`);
    }
  }

  /** Tells whoever was denied the subject. Returns false when it was nobody that waits. */
  #denied(kind: string, subject: string, error: NatsError): boolean {
    switch (kind) {
      case "publish to":
        return this.#publishRefused(subject, error);
      case "publish with reply of":
        return this.#replyRefused(subject, error);
      case "subscription to":
        return this.#subscribeRefused(subject, error);
      default:
        return false;
    }
  }

  /** The newest request to the subject is the one that was refused: a connection's publishes are processed in order. */
  #publishRefused(subject: string, error: NatsError): boolean {
    const request = [...this.#requests.values()].reverse().find((request) => request.subject === subject);
    request?.fail(error);
    return request !== undefined || this.publishDenied(subject, error);
  }

  #replyRefused(subject: string, error: NatsError): boolean {
    const request = this.#requests.get(subject.slice(this.#mux.length + 1));
    request?.fail(error);
    return request !== undefined;
  }

  #subscribeRefused(subject: string, error: NatsError): boolean {
    let known = false;
    for (const [sid, subscribed] of [...this.#subscribed]) {
      if (subscribed.subject !== subject) continue;
      known = true;
      this.#subscribed.delete(sid);
      subscribed.receiver.denied(error);
    }
    return known;
  }

  /**
   * Finds a peer that is silent: sends a PING each interval, whether it was heard or not, since to wait for an interval of
   * silence would find it later; too many of them without a byte from it end the link. Counts turns of the timer, not the
   * clock: a process that was frozen has missed nothing.
   */
  #keepAlive(): void {
    if (this.ended.aborted) return;
    this.#timer = setTimeout(() => {
      if (this.#heard) this.#unanswered = 0;
      this.#heard = false;
      if (this.#unanswered >= this.#options.pingMaxOut) {
        this.end(new NatsError("STALE", `${this.server.label}: ${this.#unanswered} PINGs in a row were not answered`));
        return;
      }
      this.#unanswered++;
      this.ping(nothing);
      this.#keepAlive();
    }, this.#options.pingInterval);
  }

  // Why: docs/decisions.md#secrets-are-shown-nowhere
  /** Every field that is ever sent; the credentials are in here and nowhere else. */
  #connectFields(): Record<string, string | number | boolean> {
    const headers = this.noResponders;
    return {
      verbose: false,
      pedantic: false,
      tls_required: this.#socket.encrypted,
      name: this.#options.name,
      lang: "typescript",
      version: VERSION,
      protocol: 1,
      echo: true,
      headers,
      no_responders: headers,
      ...authenticate(this.#options.credentials, this.#info.nonce),
    };
  }

  #write(bytes: Uint8Array, written: () => void): void {
    this.#socket.write(bytes, written);
    if (this.outbox.pending > LARGEST_BACKLOG) {
      this.end(new NatsError("STALE", `${this.server.label}: the server reads no more`));
    }
  }

  #over(reason: NatsError): void {
    clearTimeout(this.#timer);
    this.#parser.stop();
    this.outbox.close();
    this.#lifetime.abort(reason);
    this.#subscribed.clear();
    for (const request of [...this.#requests.values()]) request.fail(reason);
    this.#late.clear();
    for (const pong of this.#pongs.splice(0)) pong(reason);
  }
}

/** For the texts after which servers close the connection. */
function codeOf(text: string): NatsError["code"] {
  // A port for routes, gateways or leaf nodes lets no client in, now or later.
  if (/^(authorization violation|(user|account) authentication (expired|revoked)|attempted to connect to)/i.test(text)) {
    return "AUTHORIZATION";
  }
  return /^(unknown protocol operation|maximum (control line|payload)|invalid client protocol|no responders requires)/i.test(text)
    ? "PROTOCOL"
    : "SERVER";
}

/** A text that a server, which is written in Go, has put between quotes by its `%q`. */
function unquote(quoted: string): string {
  return quoted.replace(/\\(?:u([\da-f]{4})|U([\da-f]{8})|(.))/g, (_, short?: string, long?: string, character?: string) => {
    const code = parseInt(short ?? long ?? "", 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : (character ?? "");
  });
}

function nobody(): boolean {
  return false;
}
