import { noop } from "../core-nats/async.ts";
import type { ClientStatus } from "./session/client-status.ts";
import type { SubscriptionStatus } from "./subscribing/subscription-status.ts";

/**
 * What happens to a client and its subscriptions. `onStatus`, an option of `connect`, gets each one as it happens. New
 * types may come in a minor version: a `switch` needs a `default`. A `Subscription` has its channel in `subject`.
 *
 * - `registered`: the streaming server knows this client. `resumed`: it is the same session as before
 * - `disconnected`: the link to the NATS server is lost, and `error` says why. The client repairs it
 * - `subscribed`: the subscription is in place. `resumed`: it was in place before. `from`: the sequence that it goes on
 *   from, if the client had to ask for one. `reason`: why the client asked again although neither link nor session was
 *   lost
 * - `gap`: messages with the sequences `from` to `to` may be missing, and `reason` says why
 * - `handler-failed`: the handler threw `error`, or its promise rejected. The message comes again after `ackWait`, or
 *   as `backoff` says
 * - `retrying`: the message waits `delay` milliseconds for its next run in this process. It comes once for each
 *   message, after the first run that failed. `deliveries`: how many times it was handled. `error`: what the handler
 *   threw; undefined after `nak`
 * - `dead-lettered`: the message is stored in the dead letters, and acknowledged. `deliveries`: how many times it was
 *   handled. `error`: what the last run threw, or the `reason` of `term`. `replyKept`: false if its `reply` did not fit
 *   into the dead letter
 * - `redelivered-often`: this is the fifth delivery of the message, or a later one
 * - `error`: an attempt failed and the client repeats it, a dead letter is not stored yet, something unreadable was
 *   dropped, another client has the client ID, or the server refused a close. The `code` of the error says which
 * - `closed`: the client has ended
 *
 * @example
 * ```ts
 * function onStatus(status: Status): void {
 *   if (status.type === "gap") console.warn(status.subscription.subject, status.from, status.to, status.reason);
 *   if (status.type === "handler-failed") console.error(status.message.sequence, status.error);
 * }
 * ```
 */
export type Status = ClientStatus | SubscriptionStatus;

/** @internal Reports a status. Never throws. */
export type Notify = (status: Status) => void;

/**
 * @internal Wraps the caller's `onStatus`: a failure of it does not reach the client. Without `onStatus` the result
 * prints problems.
 */
export function notifier(clientId: string, onStatus: ((status: Status) => void) | undefined): Notify {
  const listener = onStatus ?? printer(clientId);
  return (status) => {
    try {
      void Promise.resolve(listener(status)).catch(noop);
    } catch {
      // A broken listener must not break the client.
    }
  };
}

/** Prints one line for each problem, and one for the end of an outage. */
function printer(clientId: string): Notify {
  let outage = false;
  return (status) => {
    let line = warningOf(status);
    if (status.type === "disconnected") outage = true;
    if (status.type === "registered" && outage) {
      outage = false;
      line = "registered again";
    }
    if (line !== undefined) console.warn(`nats-streaming-client ${clientId}: ${line}`);
  };
}

/** The problem in words, or undefined if the status is no problem. */
function warningOf(status: Status): string | undefined {
  switch (status.type) {
    case "disconnected":
      return `disconnected: ${reasonOf(status.error)}`;
    case "error":
      return `${status.error.code}: ${reasonOf(status.error)}`;
    case "subscribed":
      if (status.reason === undefined) return undefined;
      return `${status.subscription.subject}: subscribed again: ${status.reason}`;
    case "gap":
      return `${status.subscription.subject}: messages ${status.from} to ${status.to} may be missing: ${status.reason}`;
    case "handler-failed": {
      const { subscription, message, error } = status;
      return `${subscription.subject}: the handler of message ${message.sequence} failed: ${stackOf(error)}`;
    }
    case "dead-lettered": {
      const { subscription, message, error, deliveries, replyKept } = status;
      const reply = replyKept ? "" : ", without its reply, which is too long";
      const reason = error === undefined ? "" : `: ${reasonOf(error)}`;
      const times = `${deliveries} ${deliveries === 1 ? "delivery" : "deliveries"}`;
      return `${subscription.subject}: message ${message.sequence} is a dead letter after ${times}${reply}${reason}`;
    }
    case "redelivered-often": {
      const { sequence, redeliveryCount } = status.message;
      return `${status.subscription.subject}: message ${sequence} is delivered for the ${redeliveryCount + 1}th time`;
    }
    default:
      return undefined;
  }
}

function reasonOf(error: unknown): string {
  return wordsOf(error, "message").replace(/[\s\p{Cc}]+/gu, " ");
}

/** The stack of an error, with its lines, or its message if there is no stack. */
function stackOf(error: unknown): string {
  return wordsOf(error, "stack").replace(/[^\S\n]+|[^\P{Cc}\n]+/gu, " ") || reasonOf(error);
}

/**
 * The text of a thrown value, which may be anything: frameworks throw plain objects with a message, and some objects
 * throw when they are converted to a string.
 */
function wordsOf(error: unknown, property: "message" | "stack"): string {
  try {
    const text = (Object(error) as Record<string, unknown>)[property];
    if (typeof text === "string") return text;
    return property === "stack" ? "" : String(error);
  } catch {
    return property === "stack" ? "" : "something that has no text";
  }
}
