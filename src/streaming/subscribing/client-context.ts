import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { Registrar } from "../session/registration.ts";
import type { Settings } from "../settings.ts";
import type { Subscription } from "./message.ts";
import type { WaitingBytes } from "./waiting-bytes.ts";
import type { QueueGroups } from "./subscription-group.ts";
import type { Semaphore } from "./semaphore.ts";
import type { SubscriptionStatus } from "./subscription-status.ts";
import type { Watchdog } from "./watchdog.ts";

/** What a subscription shares with the client it belongs to and its other subscriptions. */
export interface ClientContext {
  readonly settings: Settings;
  readonly registrar: Registrar;
  readonly notify: (status: SubscriptionStatus) => void;
  /** Limits how many subscriptions ask the server at once. */
  readonly semaphore: Semaphore;
  readonly waitingBytes: WaitingBytes;
  readonly queueGroups: QueueGroups;
  readonly watchdog: Watchdog;
  /** The end of the client. */
  readonly ending: AbortSignalLike;
  /** Called when the subscription has ended. */
  readonly ended: (subscription: Subscription) => void;
}
