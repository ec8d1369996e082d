import { settled, settledWithin } from "../../core-nats/async.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import { bad } from "../checks.ts";
import { StreamingError } from "../errors.ts";
import type { SessionListener } from "../session/registration.ts";
import { abortedBy, follow } from "../signal.ts";
import type { Signal } from "../signal.ts";
import type { ClientContext } from "./client-context.ts";
import type { MessageHandler } from "./handlers.ts";
import type { Message, Subscription } from "./message.ts";
import { Semaphore } from "./semaphore.ts";
import type { SubscribeSettings } from "./subscribe-options.ts";
import { QueueGroups } from "./subscription-group.ts";
import { SubscriptionImpl } from "./subscription.ts";
import { WaitingBytes } from "./waiting-bytes.ts";
import { Watchdog } from "./watchdog.ts";

/** Limits concurrent subscribe requests: after an outage, thousands at once would delay the answers to heartbeats. */
const RESUBSCRIBES_AT_ONCE = 16;

/** The subscriptions of a client that have not ended. */
export class Subscriptions {
  readonly #all = new Set<SubscriptionImpl>();
  readonly #context: ClientContext;
  readonly #isOpen: () => boolean;

  /** `isOpen` returns false once the client drains, closes or has ended. */
  constructor(
    client: Pick<ClientContext, "settings" | "registrar" | "notify" | "ending" | "publish">,
    isOpen: () => boolean,
  ) {
    this.#isOpen = isOpen;
    this.#context = {
      ...client,
      semaphore: new Semaphore(RESUBSCRIBES_AT_ONCE),
      waitingBytes: new WaitingBytes(client.settings.maxWaitingBytes),
      queueGroups: new QueueGroups(),
      watchdog: new Watchdog(),
      ended: (subscription) => (this.#all as Set<Subscription>).delete(subscription),
    };
  }

  get count(): number {
    return this.#all.size;
  }

  /** The bytes of messages that wait, in all subscriptions. */
  get waitingBytes(): number {
    return this.#context.waitingBytes.bytes;
  }

  /** True while the server delivers to all subscriptions. */
  get ready(): boolean {
    return [...this.#all].every(({ state }) => state === "subscribed");
  }

  /** True while the server may lack acks. */
  get owesAcks(): boolean {
    return [...this.#all].some((subscription) => subscription.owesAcks);
  }

  get listeners(): SessionListener[] {
    return [...this.#all].map(({ listener }) => listener);
  }

  /** The client has published many messages to the channel. */
  publishedTo(subject: string): void {
    for (const { watched } of this.#all) if (watched.subject === subject) this.#context.watchdog.watchIfIdle(watched);
  }

  /** See `Client.subscribe`. The arguments are checked, but for what they say together. */
  async subscribe(
    subject: string,
    handler: MessageHandler,
    settings: SubscribeSettings,
    signal: Signal | undefined,
  ): Promise<SubscriptionImpl> {
    // A dead letter would be handled again, for ever.
    if (settings.failure?.deadLetter === subject) bad("deadLetter", "must be another channel", subject);
    const { lifetime, release } = follow(signal);
    try {
      const holder = (): SubscriptionImpl | undefined => this.#holderOf(subject, settings);
      // A durable is free soon if this client is closing its subscription.
      for (let other = holder(); other !== undefined; other = holder()) {
        if (!other.isClosing) {
          const reason = `this client has a subscription with durable ${other.durable} already`;
          throw new StreamingError("REFUSED", `subscribe ${subject}: ${reason}`);
        }
        if (!(await settled(other.closed, this.#context.ending, lifetime))) break;
      }
      if (!this.#isOpen()) throw new StreamingError("CLOSED", `subscribe ${subject}: the client is closed`);
      if (lifetime.aborted) throw abortedBy(signal, `subscribe ${subject}`);
      const { subscription, ready } = SubscriptionImpl.start(this.#context, subject, handler, settings);
      this.#all.add(subscription);
      await settled(ready, lifetime);
      if (lifetime.aborted) {
        // The server is told of the end as soon as it can be. In an outage nobody waits for that.
        await settledWithin(this.#context.settings.requestTimeout, subscription.close());
        throw abortedBy(signal, `subscribe ${subject}`);
      }
      await ready;
      return subscription;
    } finally {
      release();
    }
  }

  /** Waits for the handlers of all: see `SubscriptionImpl.finishHandlers`. */
  async finishHandlers(timeout: number, signal: AbortSignalLike): Promise<Message[]> {
    const unhandled = [...this.#all].map((subscription) => subscription.finishHandlers(timeout, signal));
    return (await Promise.all(unhandled)).flat();
  }

  /** Closes all. Resolves when the server has answered for each. */
  async close(): Promise<void> {
    await Promise.all([...this.#all].map((subscription) => subscription.close()));
  }

  /** Resolves when all have ended. */
  async closed(): Promise<void> {
    await Promise.all([...this.#all].map((subscription) => subscription.closed));
  }

  /** The subscription of this client that holds the durable. A durable queue group has many members and no holder. */
  #holderOf(subject: string, { durable, queue }: SubscribeSettings): SubscriptionImpl | undefined {
    if (durable === "" || queue !== "") return undefined;
    const holds = (other: SubscriptionImpl): boolean =>
      other.subject === subject && other.durable === durable && other.queue === "" && other.state !== "closed";
    return [...this.#all].find(holds);
  }
}
