import { settledWithin } from "../../core-nats/async.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import { StreamingError } from "../errors.ts";
import type { ClientContext } from "./client-context.ts";
import { FailurePolicy } from "./failure-policy.ts";
import type { Decision, FailureEvents, FailureSettings, History } from "./failure-policy.ts";
import type { Handlers, Outcome } from "./handlers.ts";
import type { Message, Subscription, Verdict } from "./message.ts";
import type { SubscriptionGroup } from "./subscription-group.ts";
import type { SubscribeSettings } from "./subscribe-options.ts";

/** The subscription whose messages fail. */
export interface FailureHost {
  readonly subscription: Subscription;
  readonly handlers: Handlers;
  /** The first message that the server sent to this process first, or 0. */
  readonly firstNew: number;
  readonly group: SubscriptionGroup;
  report(error: StreamingError): void;
  error(code: StreamingError["code"], reason: string, cause?: unknown): StreamingError;
}

/** For `nak` and `term` without options for messages that fail. */
const NO_SETTINGS: FailureSettings = { backoff: [], jitter: false, maxDeliver: Infinity, deadLetter: undefined };

/** Keeps the messages of one subscription that failed, and does with them what the policy decides. */
export class FailedMessages implements FailureEvents {
  readonly #context: ClientContext;
  readonly #settings: SubscribeSettings;
  readonly #host: FailureHost;
  readonly #policy: FailurePolicy;
  readonly #verdicts = new Map<Message, Verdict>();
  /** The members of a queue group in this client share it. */
  readonly #histories: Map<number, History>;
  #warned = false;

  constructor(context: ClientContext, settings: SubscribeSettings, host: FailureHost) {
    this.#context = context;
    this.#settings = settings;
    this.#host = host;
    this.#histories = host.group.members?.histories ?? new Map<number, History>();
    this.#policy = new FailurePolicy(settings.failure ?? NO_SETTINGS, this.#histories, context.publish, this);
  }

  /** The number of messages that wait to be run again, or to be stored as a dead letter. */
  get waiting(): number {
    return this.#policy.waiting;
  }

  /** Takes a message that was run as often as it may: it becomes a dead letter. Returns false if it may run. */
  take(message: Message): boolean {
    const policy = this.#policy;
    if (!policy.isSpent(message)) return false;
    if (!this.#keep(message)) {
      if (policy.waiting > 0) {
        message.awaitRedelivery();
        return true;
      }
      // One dead letter at a time needs no room: messages that wait for this one may have taken all.
      this.#context.waitingBytes.addAnyway(message.data);
    }
    policy.bury(message, new Error(`delivered ${message.redeliveryCount} times, and no handler has ended well`));
    return true;
  }

  /** There is no room for the message. Its next delivery does not count as a run. */
  turnedAway(message: Message): void {
    this.#policy.turnedAway(message);
  }

  /** The handler has ended well. Returns undefined if it has not called `nak` or `term`. */
  handled(message: Message): Outcome | undefined {
    const verdict = this.#takeVerdict(message);
    if (verdict === undefined || message.finished) return undefined;
    const { outcome, decision } = this.#afterRun(message, undefined, verdict);
    this.notify(message, undefined, decision);
    return outcome;
  }

  /** The handler has failed. `notify` must follow, with the decision. */
  failed(message: Message, error: unknown): { readonly outcome: Outcome; readonly decision: Decision | undefined } {
    const verdict = this.#takeVerdict(message);
    return this.#afterRun(message, error, verdict);
  }

  /** Notifies of the first retry of a message. */
  notify(message: Message, error: unknown, decision: Decision | undefined): void {
    if (decision?.delay === undefined) return;
    const { delay, deliveries } = decision;
    this.#warnOfGroup(delay);
    if (!decision.isFirst) return;
    const { subscription } = this.#host;
    this.#context.notify({ type: "retrying", subscription, message, error, delay, deliveries });
  }

  /** Notifies once that another member may run a message while it waits here. */
  #warnOfGroup(delay: number): void {
    const { queue, ackWait } = this.#settings;
    if (queue === "" || delay <= ackWait || this.#warned) return;
    this.#warned = true;
    const rule = `the server sends the message to a member of the queue group again after ${ackWait} ms (ackWait)`;
    const reason = `a message waits ${Math.round(delay)} ms to run again, and ${rule}: another process may run it, too`;
    this.#host.report(this.#host.error("UNCONFIRMED", reason));
  }

  /** See `Message.nak` and `Message.term`. The message is unfinished. */
  decide(message: Message, verdict: Verdict): boolean {
    if ("term" in verdict && this.#settings.failure?.deadLetter === undefined) {
      const rule = "a channel or a function for the messages that are given up: none is dropped";
      throw new TypeError(`term needs deadLetter, ${rule}`);
    }
    if (this.#host.handlers.runs(message)) this.#verdicts.set(message, verdict);
    else if (message.isActive) return false;
    else this.#afterRun(message, undefined, verdict);
    return true;
  }

  /** True if a verdict waits for the end of the handler. */
  isDecided(message: Message): boolean {
    return this.#verdicts.has(message);
  }

  /** The message is acknowledged. Returns true if it was kept here. */
  finished(sequence: number): boolean {
    const message = this.#policy.finished(sequence);
    if (message === undefined) return false;
    this.#context.waitingBytes.remove(message.data);
    this.#host.handlers.leave(message.order);
    return true;
  }

  /** Waits for the dead letters that are being stored. Resolves with the messages that are not stored in time. */
  async finishStoring(timeout: number, ...signals: readonly AbortSignalLike[]): Promise<readonly Message[]> {
    if (this.#policy.storing.length > 0) await settledWithin(timeout, this.#policy.stored(), ...signals);
    return this.#policy.storing;
  }

  /** Runs no message again. Dead letters that are being stored go on. */
  stop(): void {
    for (const message of this.#policy.stop()) {
      this.#context.waitingBytes.remove(message.data);
      message.awaitRedelivery();
    }
  }

  /** Forgets all messages: the channel was reset, or the subscription has ended. */
  clear(): void {
    this.#verdicts.clear();
    if (this.#host.group.members === undefined) this.#histories.clear();
    for (const message of this.#policy.clear()) {
      this.#context.waitingBytes.remove(message.data);
      this.#host.handlers.leave(message.order);
    }
  }

  /** Other processes have not run a message that the server sent to this one first. It may just not have arrived. */
  runsElsewhere({ sequence, redeliveryCount }: Message): number {
    const { queue, durable } = this.#settings;
    const { firstNew } = this.#host;
    const isOwn = queue === "" && (durable === "" || (firstNew > 0 && sequence >= firstNew));
    return isOwn ? 0 : redeliveryCount;
  }

  again(message: Message): void {
    if (!this.#host.handlers.stopped) this.#host.handlers.again(message);
  }

  buried(message: Message, error: unknown, deliveries: number, replyKept: boolean): void {
    this.#context.waitingBytes.remove(message.data);
    message.ack();
    this.#host.handlers.leave(message.order);
    const { subscription } = this.#host;
    this.#context.notify({ type: "dead-lettered", subscription, message, error, deliveries, replyKept });
  }

  notStored({ sequence }: Message, error: unknown): void {
    const code = error instanceof StreamingError ? error.code : "REFUSED";
    const reason = `the dead letter of message ${sequence} was not stored; that is tried again`;
    this.#host.report(this.#host.error(code, reason, error));
  }

  #takeVerdict(message: Message): Verdict | undefined {
    // As after most handlers.
    if (this.#verdicts.size === 0) return undefined;
    const verdict = this.#verdicts.get(message);
    this.#verdicts.delete(message);
    return verdict;
  }

  #afterRun(
    message: Message,
    error: unknown,
    verdict: Verdict | undefined,
  ): { readonly outcome: Outcome; readonly decision: Decision | undefined } {
    if (message.finished || !message.isCurrent) return { outcome: "done", decision: undefined };
    const decides = this.#settings.failure !== undefined || verdict !== undefined;
    if (decides && !this.#host.handlers.stopped) {
      if (this.#keep(message)) {
        const decision = this.#policy.ran(message, error, verdict);
        if (decision !== undefined) return { outcome: "kept", decision };
        this.#context.waitingBytes.remove(message.data);
      } else this.#policy.count(message);
    }
    message.awaitRedelivery();
    return { outcome: "again", decision: undefined };
  }

  // Why: docs/decisions.md#a-waiting-retry-keeps-its-message
  /** Keeps a message, if there is room: its redeliveries start no handler. */
  #keep(message: Message): boolean {
    // Before its bytes are added: those of its last delivery may count until now.
    message.activate();
    return this.#context.waitingBytes.add(message.data);
  }
}
