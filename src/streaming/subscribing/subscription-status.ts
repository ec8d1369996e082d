import type { StreamingError } from "../errors.ts";
import type { Message, Subscription } from "./message.ts";

/** What happens to a subscription: the part of `Status` that names one. */
export type SubscriptionStatus =
  | { type: "subscribed"; subscription: Subscription; resumed: boolean; from?: number; reason?: string }
  | { type: "gap"; subscription: Subscription; from: number; to: number; reason: string }
  | { type: "handler-failed"; subscription: Subscription; message: Message; error: unknown }
  | { type: "redelivered-often"; subscription: Subscription; message: Message }
  | {
      type: "retrying";
      subscription: Subscription;
      message: Message;
      error: unknown;
      delay: number;
      deliveries: number;
    }
  | {
      type: "dead-lettered";
      subscription: Subscription;
      message: Message;
      error: unknown;
      deliveries: number;
      replyKept: boolean;
    }
  | { type: "error"; subscription: Subscription; error: StreamingError };
