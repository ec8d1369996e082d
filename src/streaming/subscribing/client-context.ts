import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { Registrar } from "../session/registration.ts";
import type { Settings } from "../settings.ts";
import type { Subscription } from "./message.ts";
import type { WaitingBytes } from "./waiting-bytes.ts";
import type { QueueGroups } from "./subscription-group.ts";
import type { Semaphore } from "./semaphore.ts";
import type { SubscriptionStatus } from "./subscription-status.ts";
import type { Watchdog } from "./watchdog.ts";

/** What all subscriptions of a client share. */
export interface ClientContext {
  readonly settings: Settings;
  readonly registrar: Registrar;
  readonly notify: (status: SubscriptionStatus) => void;
  /** Limits concurrent subscribe requests. */
  readonly semaphore: Semaphore;
  readonly waitingBytes: WaitingBytes;
  readonly queueGroups: QueueGroups;
  readonly watchdog: Watchdog;
  /** Publishes a dead letter. Resolves when the server has stored it. */
  readonly publish: (channel: string, data: Uint8Array, reply: string) => Promise<void>;
  /** Aborts when the client ends. */
  readonly ending: AbortSignalLike;
  /** Called when the subscription has ended. */
  readonly ended: (subscription: Subscription) => void;
}
