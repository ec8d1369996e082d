import { nothing, onEnd, settled, settledWithin, within } from "../core-nats/async.ts";
import { elapsed } from "../core-nats/clock.ts";
import { Lifetime } from "../core-nats/lifetime.ts";
import { StreamingError, withCaller } from "./errors.ts";
import type { MessageHandler } from "./handlers.ts";
import { inspectable } from "./inspect.ts";
import { Messages } from "./messages.ts";
import { bad, checkChannel, checkConnectOptions, checkDrainOptions, checkMessagesOptions, checkSubscribeOptions } from "./options.ts";
import type { ConnectOptions, DrainOptions, PublishItem, PublishManyOptions, PublishOptions, Settings, Signal, SubscribeOptions, SubscribeSettings } from "./options.ts";
import { publishMany } from "./publish-many.ts";
import { Publisher } from "./publisher.ts";
import { Room } from "./room.ts";
import { Shares } from "./share.ts";
import { Slots } from "./slots.ts";
import type { ClientStats } from "./stats.ts";
import { teller } from "./status.ts";
import type { Tell } from "./status.ts";
import { Subscription } from "./subscription.ts";
import type { DrainReport, Household } from "./subscription.ts";
import { Supervisor } from "./supervisor.ts";
import { Watchdog } from "./watchdog.ts";

declare global {
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol;
  }
}

/** After an outage this many subscriptions at a time are asked for: thousands at once would starve heartbeats. */
const RESUBSCRIBES_AT_ONCE = 16;

/**
 * Connects to a NATS server and registers with the streaming server behind it. Resolves once registered; from then on
 * whatever breaks is repaired, for as long as it takes, until `close` or `drain`.
 *
 * Rejects with a `TypeError` for wrong options, and with a `StreamingError`: `CONNECT_FAILED`, `AUTH_FAILED`, `NO_SERVER`,
 * `CLIENT_ID_IN_USE`, `REFUSED`, `NOT_PERMITTED`, or `ABORTED` by the caller's signal. With `waitOnFirstConnect` it waits
 * for what may pass.
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  return await withCaller(Client.connect(checkConnectOptions(options)));
}

/** A client of a streaming server. It ends by `close()` or `drain()` alone. */
export class Client {
  /** Resolves when the client has ended. */
  readonly closed: Promise<void>;

  readonly #settings: Settings;
  readonly #tell: Tell;
  readonly #supervisor: Supervisor;
  readonly #publisher: Publisher;
  readonly #subscriptions = new Set<Subscription>();
  readonly #ending = new Lifetime();
  readonly #household: Household;
  #draining = false;

  private constructor(settings: Settings) {
    this.#settings = settings;
    this.#tell = teller(settings.clientId, settings.onStatus);
    const watchdog = new Watchdog();
    const verify = (error?: StreamingError): void => this.#supervisor.verify(error);
    this.#publisher = new Publisher(settings, this.#tell, verify, (subject) => {
      for (const subscription of this.#subscriptions) if (subscription.subject === subject) watchdog.suspect(subscription);
    });
    this.#supervisor = new Supervisor(settings, this.#tell, this.#publisher, () => [...this.#subscriptions, this.#publisher]);
    this.#household = {
      settings,
      supervisor: this.#supervisor,
      tell: this.#tell,
      slots: new Slots(RESUBSCRIBES_AT_ONCE),
      room: new Room(settings.maxWaitingBytes),
      ending: this.#ending,
      shares: new Shares(),
      watchdog,
      left: (subscription) => this.#subscriptions.delete(subscription),
    };
    this.closed = this.#supervisor.run().then(() => this.#end());
  }

  /** @internal */
  static async connect(settings: Settings): Promise<Client> {
    const { signal } = settings;
    const client = new Client(settings);
    const unlisten = signal === undefined ? undefined : onEnd(() => client.#supervisor.close(), signal);
    try {
      await client.#supervisor.first;
      return client;
    } catch (error) {
      await client.closed;
      throw signal?.aborted === true ? abortedBy(signal, "connect") : error;
    } finally {
      unlisten?.();
    }
  }

  /** The client ID that the client is registered under. */
  get clientId(): string {
    return this.#settings.clientId;
  }

  /** Where the client is on its way to the server: without a NATS server, with one, known to the streaming server, or ended. */
  get state(): "disconnected" | "connected" | "registered" | "closed" {
    return this.#supervisor.state;
  }

  /** True while registered and with every subscription in place: for readiness probes. */
  get ready(): boolean {
    if (this.state !== "registered" || this.#draining) return false;
    for (const subscription of this.#subscriptions) if (subscription.state !== "subscribed") return false;
    return true;
  }

  /** What the client has done so far, and what is under way. Cheap: numbers that are kept anyway. */
  stats(): ClientStats {
    return {
      ...this.#publisher.stats(),
      subscriptions: this.#subscriptions.size,
      waitingBytes: this.#household.room.bytes,
      ...this.#supervisor.stats(),
    };
  }

  /**
   * Publishes a message. Resolves once the server has stored it.
   *
   * While disconnected, and while too much is under way, it waits for its turn. It settles within `publishTimeout`. The bytes
   * of `data` are copied before this returns. Rejects with a `TypeError` for wrong arguments, and with a `StreamingError`
   * whose code says whether it was done: `UNCONFIRMED` means unknown, all others mean no.
   */
  publish(subject: string, data: string | Uint8Array, options?: PublishOptions): Promise<void> {
    const published = this.#publisher.publish(subject, data, options);
    return this.#settings.callerStacks ? withCaller(published) : published;
  }

  /**
   * Publishes all that the source yields, drawing from it no faster than acks come in; resolves to the number stored.
   *
   * At the first failure, when the signal aborts, and when the client closes or drains, it draws no more, closes the source,
   * waits until what was drawn is settled, and rejects with a `PublishManyError`, which says what is stored and where to go on.
   */
  publishMany(subject: string, source: Iterable<PublishItem> | AsyncIterable<PublishItem>, options?: PublishManyOptions): Promise<number> {
    return publishMany(this.#publisher, subject, source, options);
  }

  /**
   * Subscribes to a channel. Waits until registered, through outages; resolves once the server has accepted the subscription, which is
   * kept from then on. The handler may be called before that: messages can come together with the server's answer.
   * `message.subscription` is there from the first one on. A durable of this client that is being closed is waited for.
   *
   * Rejects with a `TypeError` for wrong arguments, and with a `StreamingError`: `REFUSED` or `NOT_PERMITTED` if the server
   * refuses it for good, `ABORTED` by the caller's signal, `CLOSED` if the client ends before.
   */
  async subscribe(subject: string, handler: MessageHandler, options: SubscribeOptions = {}): Promise<Subscription> {
    if (typeof handler !== "function") bad("handler", "must be a function", handler);
    checkChannel(subject);
    return await withCaller(this.#subscribe(subject, handler, checkSubscribeOptions(options), options.signal));
  }

  /**
   * Subscribes to a channel, for `for await`: one message at a time, acknowledged when the loop comes back for the next.
   * `maxInFlight` (default 100) says how many the server sends ahead; with 1 they are strictly in order, and one that was left unacknowledged is retried first.
   */
  async messages(subject: string, options: Omit<SubscribeOptions, "concurrency"> = {}): Promise<Messages> {
    checkChannel(subject);
    const settings = checkMessagesOptions(options);
    const started = Messages.start(settings.manualAck, (handler) =>
      this.#subscribe(subject, handler, { ...settings, concurrency: 0, manualAck: true }, options.signal),
    );
    return await withCaller(started);
  }

  /**
   * Ends the client gracefully: no new handler starts; those that run finish, and may still publish and ack; then
   * publishes are refused and those under way are settled; then it closes. Ends in any case after `timeout`
   * milliseconds (default 20 000) and what taking leave needs, also if the server is gone, or if a handler waits for this very
   * drain; an aborted `signal` ends the waiting at once. The report says what was left. Rejects with a `TypeError` for wrong options.
   */
  async drain(options: DrainOptions = {}): Promise<DrainReport> {
    const { timeout, endings } = checkDrainOptions(options);
    this.#draining = true;
    const before = this.#publisher.stats().unconfirmed;
    const end = elapsed() + timeout;
    const left = (): number => Math.max(1, end - elapsed());
    // One listener at the caller's signal, for all subscriptions.
    const { lifetime: enough, release } = within(this.#ending, ...endings);
    const unhandled = await Promise.all([...this.#subscriptions].map((subscription) => subscription.finishHandlers(left(), enough)));
    await this.#publisher.drain(left(), enough);
    if ([...this.#subscriptions].some((subscription) => subscription.owesAcks)) {
      // What was handled during an outage would come again: acks are repeated once the client is registered again.
      await settledWithin(left(), this.#supervisor.registered(enough), enough);
    }
    release();
    if (this.state === "registered") {
      const closing = Promise.all([...this.#subscriptions].map((subscription) => subscription.close()));
      await settledWithin(Math.min(left(), this.#settings.requestTimeout), closing);
    }
    await this.close();
    return { unhandled: unhandled.flat(), unconfirmed: this.#publisher.stats().unconfirmed - before };
  }

  /**
   * Ends the client now. Publishes under way reject, with `UNCONFIRMED` if they were sent. Handlers that run go on, but
   * their acks return false. The server is told, if it can be reached; durables keep their positions.
   */
  async close(): Promise<void> {
    this.#draining = true;
    this.#ending.abort();
    this.#publisher.close();
    this.#supervisor.close();
    await this.closed;
  }

  /** Like `drain()`, for `await using`. There where the host has `Symbol.asyncDispose`. */
  declare [Symbol.asyncDispose]: () => Promise<void>;

  async #subscribe(subject: string, handler: MessageHandler, settings: SubscribeSettings, signal: Signal | undefined): Promise<Subscription> {
    // A durable that this client is about to close, as far as the server can be told, is free soon.
    for (let other = this.#holderOf(subject, settings); other !== undefined; other = this.#holderOf(subject, settings)) {
      if (!other.leaves) {
        throw new StreamingError("REFUSED", `subscribe ${subject}: this client has a subscription with durable ${other.durable} already`);
      }
      if (!(await settled(other.closed, this.#ending, ...(signal === undefined ? [] : [signal])))) break;
    }
    if (this.#draining || this.state === "closed") throw new StreamingError("CLOSED", `subscribe ${subject}: the client is closed`);
    const aborted = (): boolean => signal?.aborted === true;
    if (aborted()) throw abortedBy(signal, `subscribe ${subject}`);
    const { subscription, ready } = Subscription.start(this.#household, subject, handler, settings);
    this.#subscriptions.add(subscription);
    const unlisten = signal === undefined ? nothing : onEnd(() => void subscription.close(), signal);
    try {
      await ready;
      return subscription;
    } catch (error) {
      await subscription.closed;
      throw aborted() ? abortedBy(signal, `subscribe ${subject}`) : error;
    } finally {
      unlisten();
    }
  }

  /** This client's subscription that has the durable; a durable queue group may have several members. */
  #holderOf(subject: string, { durable, queue }: SubscribeSettings): Subscription | undefined {
    if (durable === "" || queue !== "") return undefined;
    for (const other of this.#subscriptions) {
      if (other.subject === subject && other.durable === durable && other.queue === "" && other.state !== "closed") return other;
    }
    return undefined;
  }

  async #end(): Promise<void> {
    this.#draining = true;
    this.#ending.abort();
    this.#publisher.close();
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.closed));
  }
}

function abortedBy(signal: Signal | undefined, operation: string): StreamingError {
  return new StreamingError("ABORTED", `${operation}: the caller's signal was aborted`, signal?.reason);
}

inspectable(Client, (client) => {
  const { clientId, state, ready } = client;
  return { clientId, state, ready, ...client.stats() };
});

if (typeof Symbol.asyncDispose === "symbol") {
  Object.defineProperty(Client.prototype, Symbol.asyncDispose, {
    configurable: true,
    writable: true,
    value: async function (this: Client): Promise<void> {
      await this.drain();
    },
  });
}
