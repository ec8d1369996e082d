import { clearTimeout, setTimeout, soon } from "../core-nats/clock.ts";
import { type Client, connect as connectClient, type Status } from "../index.ts";
import { CLOSED, connectError, NatsError, publishError, StanError } from "./errors.ts";
import { EventEmitter } from "./event-emitter.ts";
import { guid } from "./guid.ts";
import { NatsConnection } from "./nats-connection.ts";
import { connectOptionsOf, parseOptions, reconnectDelay, timeoutOf } from "./stan-options.ts";
import type { ParsedOptions, StanOptions } from "./stan-options.ts";
import { Subscription } from "./subscription.ts";
import { NewSubscriptionOptions, type SubscriptionOptions } from "./subscription-options.ts";

/**
 * Called once, when a publish is settled. Without an error the message is stored. With one it is not, unless the `code`
 * of the error is "UNCONFIRMED": then it may be.
 */
export interface AckHandlerCallback {
  (err: Error | undefined, guid: string): void;
}

/** Limit on the bytes of publishes that wait to be sent, of which each counts some more. */
const MOST_QUEUED = 16 * 2 ** 20;
const PUBLISH_OVERHEAD = 256;

/** The version of node-nats-streaming whose calls and events these are. */
export const version = "0.3.2";

/**
 * Connects to a streaming server. Returns at once; "connect" follows once the server knows the client, or "error".
 *
 * @throws Error if an ID is missing, or if an option is not offered; it says what to do instead
 */
export function connect(clusterID: string, clientID: string, opts?: StanOptions | string | number): Stan {
  return new Stan(clusterID, clientID, opts);
}

/**
 * A client of a streaming server, with the calls and events of node-nats-streaming. It repairs link, session and
 * subscriptions by itself, for as long as it takes.
 *
 * It emits "connect", "disconnect", "reconnecting", "reconnect", "error" and "close"; and "connection_lost", followed
 * by "close", when a live client has taken over the client ID.
 */
export class Stan extends EventEmitter {
  /** @internal */ readonly clusterID: string;
  /** @internal */ readonly clientID: string;
  /** @internal */ declare readonly options: ParsedOptions;
  /** @internal Undefined once closed. */ nc: NatsConnection | undefined;
  /** @internal Null until connected. */ pubPrefix: string | null = null;
  /** @internal Publishes that are not settled. */ pubAckOutstanding = 0;
  /** @internal */ readonly connected: Promise<Client>;
  /** @internal */ readonly subscriptions = new Set<Subscription>();
  /** @internal */ readonly aborter = new AbortController();
  /** @internal Undefined until connected. */ client: Client | undefined = undefined;
  /** @internal `close` was called, or the client has failed. */ ending = false;
  /** @internal Dials of this outage. */ dials = 0;
  /** @internal Another live client was found to hold the client ID. */ inUse = false;
  /** @internal Publishes that are settled, and who waits for how many. */ settled = 0;
  /** @internal */ readonly flushes: { readonly at: number; readonly callback: () => void }[] = [];

  /** @internal */ constructor(clusterID: string, clientID: string, opts: StanOptions | string | number | undefined) {
    super();
    if (typeof clusterID !== "string" || clusterID === "") throw new Error("stan: cluster ID must be supplied");
    if (typeof clientID !== "string" || clientID === "") throw new Error("stan: client ID must be supplied");
    this.clusterID = clusterID;
    this.clientID = clientID;
    // Not enumerable: they hold secrets, and programs print the client.
    Object.defineProperty(this, "options", { value: parseOptions(opts) });
    this.nc = new NatsConnection((callback) => this.flush(callback), () => this.close());
    this.connected = connectClient({
      ...connectOptionsOf(this.options),
      clusterId: clusterID,
      clientId: clientID,
      maxQueuedBytes: MOST_QUEUED,
      onStatus: (status) => this.heard(status),
      reconnectDelay: () => this.delay(),
      signal: this.aborter.signal,
    });
    // After all that wait for it: what was published before "connect" is sent before what is published then.
    this.connected.then((client) => client).then((client) => {
      if (this.ending) return;
      this.client = client;
      this.pubPrefix = `_STAN.pub.${clusterID}`;
      this.linked("connect");
    }, (error: unknown) => this.failed(error));
  }

  /**
   * Publishes a message, and returns a guid at once. The bytes are copied before it returns. While the client is not
   * connected, or too much is under way, the message waits. It is settled within `ackTimeout`.
   *
   * @throws Error if the client is closed or too much waits, and there is no callback; TypeError if the data is none
   */
  publish(subject: string, data?: Uint8Array | string | Buffer, callback?: AckHandlerCallback): string {
    const bytes = data ?? "";
    // In jest, there is more than one class of that name.
    if (typeof bytes !== "string" && bytes[Symbol.toStringTag] !== "Uint8Array") {
      throw new TypeError("stan: data must be a string, a Buffer or a Uint8Array");
    }
    if (this.isClosed() || this.ending) return refuse(CLOSED, callback);
    const { client } = this;
    if (this.pubAckOutstanding > this.options.maxPubAcksInflight) {
      const room = client === undefined ? 0 : MOST_QUEUED - client.stats().queuedBytes;
      if (bytes.length + PUBLISH_OVERHEAD > room) return refuse("stan: max in flight reached.", callback);
    }
    const id = guid();
    this.pubAckOutstanding++;
    if (client === undefined) this.wait(subject, typeof bytes === "string" ? bytes : bytes.slice(), id, callback);
    else this.send(client, subject, bytes, id, callback);
    return id;
  }

  /** Subscribes to a channel. Returns at once. The server is asked as soon as it can be. */
  subscribe(subject: string, opts?: SubscriptionOptions): Subscription;
  /** Subscribes as a member of a queue group. */
  subscribe(subject: string, qGroup: string, opts?: SubscriptionOptions): Subscription;
  subscribe(subject: string, qGroup?: string | SubscriptionOptions, opts?: SubscriptionOptions): Subscription {
    const group = typeof qGroup === "string" ? qGroup : undefined;
    const options = opts ?? (typeof qGroup === "object" ? qGroup : undefined) ?? NewSubscriptionOptions();
    const nameless = typeof subject !== "string" || subject === "";
    const refusal = nameless ? "stan: subject must be supplied" : this.isClosed() || this.ending ? CLOSED : undefined;
    return new Subscription(this, subject, group, options).start(refusal);
  }

  /** Returns options for `subscribe`, with the defaults. */
  subscriptionOptions(): SubscriptionOptions {
    return NewSubscriptionOptions();
  }

  /** Closes the client, and emits "close". Publishes under way call back with "stan: Connection closed". */
  close(): void {
    if (this.isClosed() || this.ending) return;
    this.ending = true;
    this.aborter.abort();
    const lost = this.nc?.reconnecting && new NatsError("stan: close request timeout", "REQ_TIMEOUT");
    const closed = this.connected.then(async (client) => {
      // What was asked for before comes first, and async listeners may end. If that takes too long, this ends them.
      const timer = setTimeout(() => void client.close(), timeoutOf(this.options.connectTimeout));
      const ends = async (one: Subscription): Promise<unknown> => one.left ?? one.finish(await one.asked);
      if (!lost) await Promise.all([...this.subscriptions].map(ends));
      clearTimeout(timer);
      await client.close();
    });
    void closed.then(() => this.ended([lost || null]), () => this.ended([]));
  }

  /** @internal */ isClosed(): boolean {
    return this.nc === undefined;
  }

  /** @internal */
  send(client: Client, subject: string, data: string | Uint8Array, id: string, callback?: AckHandlerCallback): void {
    client.publish(subject, data).then(
      () => this.settle(undefined, id, callback),
      (error: unknown) => this.settle(publishError(error, this.ending), id, callback),
    );
  }

  /** @internal Sends it once connected. */
  wait(subject: string, data: string | Uint8Array, id: string, callback?: AckHandlerCallback): void {
    let late = false;
    const fail = (text: string): void => this.settle(new StanError(text), id, callback);
    const ackTimeout = timeoutOf(this.options.ackTimeout);
    const timer = setTimeout(() => ((late = true), fail("stan: publish ack timeout")), ackTimeout);
    const connected = (client?: Client): void => {
      clearTimeout(timer);
      if (client === undefined && !late) fail(CLOSED);
      if (client !== undefined && !late) this.send(client, subject, data, id, callback);
    };
    this.connected.then(connected, () => connected());
  }

  /** @internal */ settle(error: Error | undefined, id: string, callback?: AckHandlerCallback): void {
    this.pubAckOutstanding--;
    this.settled++;
    if (typeof callback === "function") this.guard(() => callback(error, id));
    while (this.flushes.length > 0 && this.flushes[0]!.at <= this.settled) this.guard(this.flushes.shift()!.callback);
  }

  /** @internal */ flush(callback: () => void): void {
    if (this.pubAckOutstanding === 0) soon(() => this.guard(callback));
    else this.flushes.push({ at: this.settled + this.pubAckOutstanding, callback });
  }

  /** @internal */ failed(failure: unknown): void {
    const error = connectError(failure);
    // As in 0.3.2, if no server was reached, "close" comes after `close()` only.
    if (!this.ending && "code" in error && error.code === "CONN_ERR") this.raise(error);
    else if (!this.ending) this.end(() => this.raise(error));
  }

  /** @internal Ends the client, not by `close()`. */ end(tell?: () => void): void {
    this.ending = true;
    this.aborter.abort();
    void this.client?.close();
    soon(() => this.ended([], tell));
  }

  /** @internal Says that it is closed: by `tell`, and by a "close" with these arguments. */
  ended(args: readonly (Error | null)[], tell?: () => void): void {
    const nc = this.nc!;
    this.nc = undefined;
    Object.assign(nc, { closed: true, connected: false, reconnecting: false });
    this.announce(nc, "close");
    tell?.();
    this.announce(this, "close", ...args);
  }

  /** @internal Says how long to wait before a dial. */ delay(): number {
    // The first dial of all is no reconnect.
    const dials = this.dials++ - (this.client === undefined ? 1 : 0);
    if (dials < 0) return 0;
    const { maxReconnectAttempts } = this.options;
    if (maxReconnectAttempts < 0 || dials < maxReconnectAttempts) this.linked("reconnecting");
    else if (!this.ending) this.end();
    return reconnectDelay(this.options, dials);
  }

  /** @internal Takes what happens to the client inside. */ heard(status: Status): void {
    if (this.ending) return;
    if (status.type === "error") return this.troubled(status.error);
    this.inUse = false;
    if (this.client === undefined) return;
    if (status.type === "registered" && this.nc!.reconnecting) this.linked("reconnect");
    if (status.type !== "disconnected") return;
    this.dials = 0;
    this.linked("disconnect");
    if (this.options.reconnect === false) this.end();
  }

  /** @internal What is being repaired is no "error": programs exit for one. */
  troubled(error: Error & { readonly code: string }): void {
    const inUse = error.code === "CLIENT_ID_IN_USE";
    if (inUse && this.client === undefined) return this.failed(error);
    // The second time the client inside has tried for long: whoever has the ID is there to stay.
    const replaced = new StanError("client has been replaced or is no longer registered", error);
    if (inUse && this.inUse) return this.end(() => this.announce(this, "connection_lost", replaced));
    this.inUse = inUse;
    if (error.code === "AUTH_FAILED" && this.listenerCount("error") > 0) this.raise(connectError(error));
  }

  /** @internal Tells of a change of the link, on `nc` and here. */
  linked(event: "connect" | "disconnect" | "reconnecting" | "reconnect"): void {
    const { nc } = this;
    if (nc === undefined) return;
    const up = event === "connect" || event === "reconnect";
    Object.assign(nc, { connected: up, reconnecting: !up });
    this.announce(nc, event, ...(up ? [nc] : []));
    this.announce(this, event, ...(up ? [this] : []));
  }

  /** @internal Emits an event. What a listener throws is an "error", as in 0.3.2. */
  announce(emitter: EventEmitter, event: string, ...args: unknown[]): void {
    this.guard(() => emitter.emit(event, ...args));
  }

  /** @internal */ guard(callback: () => unknown): void {
    try {
      callback();
    } catch (error) {
      this.raise(error);
    }
  }

  /** @internal Emits an "error". If nobody listens it ends the process, as in 0.3.2, but cuts nothing short here. */
  raise(error: unknown): void {
    try {
      this.emit("error", error);
    } catch (thrown) {
      void Promise.reject(thrown);
    }
  }
}

/** As in 0.3.2: calls back at once and without a guid, or throws. */
function refuse(text: string, callback?: AckHandlerCallback): string {
  const error = new StanError(text);
  if (typeof callback !== "function") throw error;
  return (callback as (error: Error) => undefined)(error) as unknown as string;
}
