import { anySignal, onAbort, settledWithin } from "../core-nats/async.ts";
import { elapsed } from "../core-nats/clock.ts";
import { Lifetime } from "../core-nats/lifetime.ts";
import { bad, checkChannel } from "./checks.ts";
import { checkConnectOptions } from "./connect-options.ts";
import type { Connect, ConnectOptions } from "./connect-options.ts";
import { checkDrainOptions } from "./drain-options.ts";
import type { DrainOptions } from "./drain-options.ts";
import { withCaller } from "./errors.ts";
import type { StreamingError } from "./errors.ts";
import { inspectable } from "./inspect.ts";
import { publishMany } from "./publishing/publish-many.ts";
import type { PublishItem, PublishManyOptions, PublishOptions } from "./publishing/publish-options.ts";
import { Publisher } from "./publishing/publisher.ts";
import type { SessionListener } from "./session/registration.ts";
import { Supervisor } from "./session/supervisor.ts";
import type { Settings } from "./settings.ts";
import { abortedBy, follow } from "./signal.ts";
import type { ClientStats } from "./stats.ts";
import { notifier } from "./status.ts";
import { Batches } from "./subscribing/batches.ts";
import type { MessageHandler } from "./subscribing/handlers.ts";
import type { DrainReport, Subscription } from "./subscribing/message.ts";
import { Messages } from "./subscribing/messages.ts";
import { checkBatchesOptions, checkMessagesOptions, checkSubscribeOptions } from "./subscribing/subscribe-options.ts";
import type { BatchesOptions, MessagesOptions, SubscribeOptions } from "./subscribing/subscribe-options.ts";
import { Subscriptions } from "./subscribing/subscriptions.ts";

declare global {
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol;
  }
}

/**
 * Connects to a NATS server and registers with the streaming server behind it. Resolves once the client is registered.
 * From then on the client repairs whatever breaks, for as long as it takes, until {@link Client.close} or
 * {@link Client.drain}.
 *
 * Rejects with a `TypeError` if an option is wrong, before anything is sent. Otherwise rejects with a `StreamingError`:
 * `CONNECT_FAILED`, `AUTH_FAILED`, `NO_SERVER`, `CLIENT_ID_IN_USE`, `REFUSED`, `NOT_PERMITTED`, or `ABORTED` by
 * {@link ConnectOptions.signal}. With {@link ConnectOptions.waitOnFirstConnect} it waits for what can pass.
 *
 * @example
 * ```ts
 * import { connect } from "nats-streaming-client";
 *
 * const client = await connect({ clusterId: "test-cluster", clientId: "billing-1", servers: "nats://127.0.0.1:4222" });
 * ```
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  return await withCaller(Client.connect(checkConnectOptions(options)));
}

/**
 * A client of a streaming server, made by {@link connect}. It ends by {@link Client.close} or {@link Client.drain}
 * alone. It repairs everything else by itself.
 */
export class Client {
  /** Resolves when the client has ended. */
  readonly closed: Promise<void>;

  readonly #settings: Settings;
  readonly #supervisor: Supervisor;
  readonly #publisher: Publisher;
  readonly #subscriptions: Subscriptions;
  readonly #ending = new Lifetime();
  #draining = false;

  private constructor({ settings, onStatus }: Connect) {
    this.#settings = settings;
    const notify = notifier(settings.clientId, onStatus);
    const verify = (error?: StreamingError): void => this.#supervisor.verify(error);
    const storedMany = (subject: string): void => this.#subscriptions.publishedTo(subject);
    this.#publisher = new Publisher(settings, notify, verify, storedMany);
    const listeners = (): SessionListener[] => [...this.#subscriptions.listeners, this.#publisher];
    this.#supervisor = new Supervisor(settings, notify, this.#publisher, listeners);
    const context = {
      settings,
      registrar: this.#supervisor,
      notify,
      ending: this.#ending,
      publish: (channel: string, data: Uint8Array, reply: string) => this.#publisher.publish(channel, data, { reply }),
    };
    this.#subscriptions = new Subscriptions(context, () => !this.#draining && this.state !== "closed");
    this.closed = this.#supervisor.run().then(() => this.#end());
  }

  /** @internal */
  static async connect(checked: Connect): Promise<Client> {
    const { signal } = checked;
    const client = new Client(checked);
    const { lifetime, release } = follow(signal);
    const unlisten = onAbort(() => client.#supervisor.close(), lifetime);
    try {
      await client.#supervisor.first;
      return client;
    } catch (error) {
      await client.closed;
      throw lifetime.aborted ? abortedBy(signal, "connect") : error;
    } finally {
      unlisten();
      release();
    }
  }

  /** The client ID that the client is registered under. */
  get clientId(): string {
    return this.#settings.clientId;
  }

  /**
   * Where the client is: `disconnected` without a link to a NATS server, `connected` with one, `registered` once the
   * streaming server knows the client, `closed` when it has ended.
   */
  get state(): "disconnected" | "connected" | "registered" | "closed" {
    return this.#supervisor.state;
  }

  /**
   * True while the client is registered and every subscription is in place. False during an outage, and from the call
   * of {@link Client.drain} or {@link Client.close} on. For readiness probes.
   */
  get ready(): boolean {
    return this.state === "registered" && !this.#draining && this.#subscriptions.ready;
  }

  /**
   * Returns what the client has done so far, and what is under way. {@link ClientStats} describes each number. The call
   * is cheap: the client keeps these numbers anyway.
   *
   * @example
   * ```ts
   * const { unconfirmed, queued, registrations } = client.stats();
   * console.log({ unconfirmed, queued, registrations });
   * ```
   */
  stats(): ClientStats {
    return {
      ...this.#publisher.stats(),
      subscriptions: this.#subscriptions.count,
      waitingBytes: this.#subscriptions.waitingBytes,
      ...this.#supervisor.stats(),
    };
  }

  /**
   * Publishes a message to a channel. Resolves once the server has stored it.
   *
   * While the client is disconnected, or too much is under way, the publish waits for its turn. It settles within
   * {@link ConnectOptions.publishTimeout}. The bytes of `data` are copied before the call returns.
   *
   * Rejects with a `TypeError` if an argument is wrong. Otherwise rejects with a `StreamingError`, whose `code` says
   * whether the message is stored: `UNCONFIRMED` means unknown, every other code means no.
   *
   * @example
   * ```ts
   * try {
   *   await client.publish("orders", "three apples");
   * } catch (error) {
   *   if (error instanceof StreamingError && error.code === "UNCONFIRMED") console.warn("perhaps stored");
   *   else throw error;
   * }
   * ```
   */
  publish(subject: string, data: string | Uint8Array, options?: PublishOptions): Promise<void> {
    const published = this.#publisher.publish(subject, data, options);
    return this.#settings.callerStacks ? withCaller(published) : published;
  }

  /**
   * Publishes every item that the source yields. It takes items no faster than acks come in, so memory stays bounded.
   * Resolves with the number of stored items.
   *
   * It stops at the first failure, when {@link PublishOptions.signal} is aborted, and when the client closes or drains.
   * Then it takes no more items, closes the source, waits until every item that it took is settled, and rejects with a
   * `PublishManyError`. That error says what is stored, and where to go on. Rejects with a `TypeError` if an argument
   * is wrong.
   *
   * @example
   * ```ts
   * const rows = ["row 1", "row 2", { data: "row 3", reply: "import-7 3" }];
   * const stored = await client.publishMany("rows", rows);
   * console.log(`${stored} rows are stored`);
   * ```
   */
  publishMany(
    subject: string,
    source: Iterable<PublishItem> | AsyncIterable<PublishItem>,
    options?: PublishManyOptions,
  ): Promise<number> {
    return publishMany(this.#publisher, subject, source, options);
  }

  /**
   * Subscribes to a channel and calls the handler for each message. The message is acknowledged when the handler has
   * ended, unless {@link SubscribeOptions.manualAck} is set. If the handler fails, the message comes again after
   * {@link SubscribeOptions.ackWait}, or as {@link SubscribeOptions.backoff}, {@link SubscribeOptions.maxDeliver} and
   * {@link SubscribeOptions.deadLetter} say.
   *
   * Resolves once the server has accepted the subscription, and waits for that through outages. From then on the client
   * keeps the subscription. The handler may be called before: messages can come together with the server's answer, so
   * use `message.subscription` inside it. If this client is still closing a subscription with the same durable, the
   * call waits for that.
   *
   * Rejects with a `TypeError` if an argument is wrong. Otherwise rejects with a `StreamingError`: `REFUSED` or
   * `NOT_PERMITTED` if the server refuses it for good, `ABORTED` by {@link SubscribeOptions.signal}, `CLOSED` if the
   * client ends before.
   *
   * @example
   * ```ts
   * const subscription = await client.subscribe("orders", (message) => save(message.text()), {
   *   durable: "billing",
   *   startAt: "first",
   * });
   * ```
   */
  async subscribe(subject: string, handler: MessageHandler, options: SubscribeOptions = {}): Promise<Subscription> {
    if (typeof handler !== "function") bad("handler", "must be a function", handler);
    checkChannel(subject);
    const settings = checkSubscribeOptions(options);
    return await withCaller(this.#subscriptions.subscribe(subject, handler, settings, options.signal));
  }

  /**
   * Subscribes to a channel, for a `for await` loop. The loop gets one message at a time. A message is acknowledged
   * when the loop comes back for the next one: see {@link Messages}. Resolves and rejects as {@link Client.subscribe}
   * does.
   *
   * {@link SubscribeOptions.maxInFlight} (default 100) says how many messages the server sends ahead. With 1 they are
   * strictly in order, and a message that was left unacknowledged is retried first.
   *
   * @example
   * ```ts
   * for await (const message of await client.messages("orders", { durable: "billing" })) {
   *   await save(message.text());
   * }
   * ```
   */
  async messages(subject: string, options: MessagesOptions = {}): Promise<Messages> {
    checkChannel(subject);
    const settings = checkMessagesOptions(options);
    const started = Messages.start(settings.manualAck, (handler) =>
      this.#subscriptions.subscribe(subject, handler, { ...settings, concurrency: 0, manualAck: true }, options.signal),
    );
    return await withCaller(started);
  }

  /**
   * Subscribes to a channel, for a `for await` loop over batches of messages: {@link BatchesOptions.size} of them, or
   * those that came within {@link BatchesOptions.wait} milliseconds of the first. All messages of a batch are
   * acknowledged when the loop comes back for the next one: see {@link Batches}. Resolves and rejects as
   * {@link Client.subscribe} does.
   *
   * @example
   * ```ts
   * for await (const batch of await client.batches("orders", { size: 500, wait: 200, durable: "db" })) {
   *   await save(batch.map((message) => message.text()).join("\n"));
   * }
   * ```
   */
  async batches(subject: string, options: BatchesOptions): Promise<Batches> {
    checkChannel(subject);
    const { settings, size, wait } = checkBatchesOptions(options);
    const started = Batches.start(size, wait, settings.manualAck, (handler) =>
      this.#subscriptions.subscribe(subject, handler, { ...settings, concurrency: 0, manualAck: true }, options.signal),
    );
    return await withCaller(started);
  }

  /**
   * Ends the client gracefully. No new handler starts. Handlers that run finish, and may still publish and ack. Then
   * the client refuses new publishes, waits until those under way are settled, and closes. The {@link DrainReport} says
   * what was left.
   *
   * The waiting ends after {@link DrainOptions.timeout} milliseconds (default 20 000) in any case, also if the server
   * is gone, or if a handler waits for this very drain. Leaving the server takes up to twice
   * {@link ConnectOptions.requestTimeout} on top. An aborted {@link DrainOptions.signal} ends the waiting at once.
   * Rejects with a `TypeError` if an option is wrong, and never else.
   *
   * @example
   * ```ts
   * process.on("SIGTERM", async () => {
   *   const { unhandled, unconfirmed } = await client.drain({ timeout: 10_000 });
   *   console.log(`${unhandled.length} messages come again, ${unconfirmed} publishes are unconfirmed`);
   * });
   * ```
   */
  async drain(options: DrainOptions = {}): Promise<DrainReport> {
    const { timeout, signal } = checkDrainOptions(options);
    this.#draining = true;
    const before = this.#publisher.stats().unconfirmed;
    const end = elapsed() + timeout;
    const left = (): number => Math.max(1, end - elapsed());
    const given = follow(signal);
    const { lifetime: enough, release } = anySignal(this.#ending, given.lifetime);
    const unhandled = await this.#subscriptions.finishHandlers(left(), enough);
    await this.#publisher.drain(left(), enough);
    if (this.#subscriptions.owesAcks) {
      // Messages that were handled during an outage would come again: their acks leave after the next registration.
      await settledWithin(left(), this.#supervisor.registered(enough), enough);
    }
    release();
    given.release();
    if (this.state === "registered") {
      await settledWithin(Math.min(left(), this.#settings.requestTimeout), this.#subscriptions.close());
    }
    await this.close();
    return { unhandled, unconfirmed: this.#publisher.stats().unconfirmed - before };
  }

  /**
   * Ends the client now; {@link Client.drain} ends it gracefully. Publishes under way reject: with `UNCONFIRMED` if
   * they were sent, with `CLOSED` if not. Handlers that run go on, but their acks return false. The client tells the
   * server, if it can reach it. The server keeps the positions of durables. Resolves when the client has ended, and
   * never rejects.
   *
   * @example
   * ```ts
   * await client.close();
   * ```
   */
  async close(): Promise<void> {
    this.#draining = true;
    this.#ending.abort();
    this.#publisher.close();
    this.#supervisor.close();
    await this.closed;
  }

  /**
   * Does what {@link Client.drain} does, for `await using`. It exists only where the host has `Symbol.asyncDispose`.
   *
   * @example
   * ```ts
   * await using client = await connect({ clusterId: "test-cluster", clientId: "import-1" });
   * ```
   */
  declare [Symbol.asyncDispose]: () => Promise<void>;

  async #end(): Promise<void> {
    this.#draining = true;
    this.#ending.abort();
    this.#publisher.close();
    await this.#subscriptions.closed();
  }
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
