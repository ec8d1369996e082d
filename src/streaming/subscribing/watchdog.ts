import { elapsed, setTimeout } from "../../core-nats/clock.ts";

/** A subscription as the watchdog sees it. */
export interface WatchedSubscription {
  readonly subject: string;
  /** How many messages it was given. */
  readonly received: number;
  /** In place, with nothing in hand. */
  readonly idle: boolean;
  /** For how long what it is to be given may be on its way, in milliseconds. */
  readonly patience: number;
  /** It was given nothing for so long: that may be right, or it was forgotten. */
  silent(): void;
}

interface Watch {
  readonly received: number;
  since: number;
}

const INTERVAL = 1_000;

// Why: docs/decisions.md#a-subscription-that-is-given-nothing
/**
 * Watches the subscriptions of a client that the server may have forgotten to feed, until they are given something: those that
 * were in an outage, and those to whose channel this client has published a lot. An idle subscription is not watched.
 */
export class Watchdog {
  readonly #watches = new Map<WatchedSubscription, Watch>();
  #timer: Timer | undefined;

  watch(subscription: WatchedSubscription): void {
    this.#watches.set(subscription, { received: subscription.received, since: elapsed() });
    this.#arm();
  }

  /** The channel has got many messages: a subscription to it that has nothing in hand should soon be given something. */
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
