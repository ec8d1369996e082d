import { elapsed, setTimeout } from "../../core-nats/clock.ts";

/** A subscription, as the watchdog sees it. */
export interface WatchedSubscription {
  readonly subject: string;
  /** The number of messages that it received. */
  readonly received: number;
  /** True while it is in place and no handler runs or waits. */
  readonly idle: boolean;
  /** For how long a message may be on its way, in milliseconds. */
  readonly patience: number;
  /** No message came for that long. Either there is none, or the server forgot the subscription. */
  silent(): void;
}

interface Watch {
  /** The number of messages that had been received at its begin. */
  readonly received: number;
  /** Since when the subscription is idle. */
  since: number;
}

/** The time between two checks, in milliseconds. */
const INTERVAL = 1_000;

// Why: docs/decisions.md#a-subscription-that-is-given-nothing
/**
 * Watches the subscriptions that the server may have forgotten, until they receive a message. These are the ones that
 * were in an outage, and those to whose channel this client has published a lot. Other subscriptions cost nothing.
 */
export class Watchdog {
  readonly #watches = new Map<WatchedSubscription, Watch>();
  #timer: Timer | undefined;

  watch(subscription: WatchedSubscription): void {
    this.#watches.set(subscription, { received: subscription.received, since: elapsed() });
    this.#arm();
  }

  /** Watches a subscription whose channel has got many messages: if it is idle, a message should come soon. */
  watchIfIdle(subscription: WatchedSubscription): void {
    if (subscription.idle && !this.#watches.has(subscription)) this.watch(subscription);
  }

  unwatch(subscription: WatchedSubscription): void {
    this.#watches.delete(subscription);
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#watches.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#check(elapsed());
      this.#arm();
    }, INTERVAL);
    this.#timer.unref?.();
  }

  #check(now: number): void {
    for (const [subscription, watch] of this.#watches) {
      if (subscription.received !== watch.received) this.#watches.delete(subscription);
      else if (!subscription.idle) watch.since = now;
      else if (now - watch.since >= subscription.patience) {
        this.#watches.delete(subscription);
        subscription.silent();
      }
    }
  }
}
