import { deferred, settledWithin } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { StreamingError } from "../errors.ts";
import type { Message } from "./message.ts";
import { Queue } from "./queue.ts";
import type { WaitingBytes } from "./waiting-bytes.ts";

/**
 * Called for each {@link Message}. The message is acknowledged when the handler has returned, or when the promise that
 * it returned has resolved, unless `manualAck` is set. If the handler throws, or its promise rejects, the message comes
 * again after `ackWait`.
 */
export type MessageHandler = (message: Message) => unknown;

/** @internal What happens to messages on their way through the handlers. */
export interface HandlerEvents {
  /** Returns true if an ordered message must wait for the redelivery of an earlier one. */
  mustWait(message: Message): boolean;
  /** A handler is about to get the message. */
  starting(message: Message): void;
  /** The handler has ended well. */
  handled(message: Message): void;
  /** The handler threw, or its promise rejected. */
  failed(message: Message, error: unknown): void;
  /** A message was dropped, since too many bytes wait. Called once until no message waits. */
  overflowed(): void;
}

/** The controllers of the signals that were read. */
const controllers = new WeakMap<Message, AbortController>();

// Why: docs/decisions.md#waiting-messages-are-bounded-by-bytes
/**
 * @internal
 * The handlers of one subscription. At most `concurrency` run at once. Further messages wait, in order, bounded by the
 * bytes that may wait in the whole client: a bound by count would drop most of a storm of redeliveries (seen: 95 000
 * dropped deliveries for 20 000 messages).
 */
export class Handlers {
  readonly #handler: MessageHandler;
  /** True if messages are handled one at a time, and later ones wait for the redelivery of a failed one. */
  readonly #ordered: boolean;
  #concurrency: number;
  readonly #waitingBytes: WaitingBytes;
  readonly #events: HandlerEvents;
  #waiting: Queue<Message> | undefined;
  /** The messages whose handler has returned a promise. */
  #running: Set<Message> | undefined;
  /** The message whose handler is being called: it counts as running before the handler has returned. */
  #called: Message | undefined;
  /** Resolves when no handler runs. */
  #idle: Deferred<void> | undefined;
  /** Why no handler starts any more. Undefined while handlers start. */
  #stopped: StreamingError | undefined;
  #overflowing = false;

  constructor(
    handler: MessageHandler,
    concurrency: number,
    ordered: boolean,
    waitingBytes: WaitingBytes,
    events: HandlerEvents,
  ) {
    this.#handler = handler;
    this.#ordered = ordered;
    this.#concurrency = concurrency;
    this.#waitingBytes = waitingBytes;
    this.#events = events;
  }

  /** The number of handlers that run. */
  get running(): number {
    return (this.#running?.size ?? 0) + (this.#called === undefined ? 0 : 1);
  }

  /** The number of messages that wait for a handler. */
  get waiting(): number {
    return this.#waiting?.length ?? 0;
  }

  /** True once `stop` was called. No message is taken any more. */
  get stopped(): boolean {
    return this.#stopped !== undefined;
  }

  /** The number of handlers that may run at once. */
  set concurrency(concurrency: number) {
    // A status listener may set it while a handler is about to start. The same value must not start another one.
    if (this.#concurrency === concurrency) return;
    this.#concurrency = concurrency;
    this.startNext();
  }

  /** Starts a handler for the message, or puts the message in the queue. */
  take(message: Message): void {
    const first = this.#waiting === undefined || this.#waiting.length === 0;
    if (first && this.#hasRoom && !(this.#ordered && this.#events.mustWait(message))) {
      this.#start(message);
      return;
    }
    if (!this.#waitingBytes.add(message.data)) {
      // The redelivery is handled like a first delivery. Until then the message is not missing.
      message.awaitRedelivery();
      if (!this.#overflowing) this.#events.overflowed();
      this.#overflowing = true;
      return;
    }
    message.activate();
    this.#waiting ??= new Queue();
    if (!this.#ordered) this.#waiting.push(message);
    else {
      this.#waiting.insert(message, (other) => other.sequence > message.sequence);
      this.startNext();
    }
  }

  /**
   * Returns the message's signal. `stop` and `abort` abort it while the handler runs. After `stop` it is aborted at
   * once.
   */
  signalOf(message: Message): AbortSignal {
    let controller = controllers.get(message);
    if (controller === undefined) {
      controller = new AbortController();
      controllers.set(message, controller);
      if (this.#stopped !== undefined) controller.abort(this.#stopped);
    }
    return controller.signal;
  }

  /** Aborts the signals of the messages whose handlers run. */
  abort(reason: StreamingError): void {
    for (const message of this.#runningMessages()) controllers.get(message)?.abort(reason);
  }

  /** Starts no more handlers, and aborts the signals of those that run. The waiting messages await their redelivery. */
  stop(reason: StreamingError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = reason;
    for (const message of this.#waiting?.drain() ?? []) {
      this.#waitingBytes.remove(message.data);
      message.awaitRedelivery();
    }
    this.abort(reason);
  }

  /**
   * Waits until no handler runs, for at most `milliseconds`, or until `closed` settles or a signal aborts. Returns the
   * messages whose handlers still run.
   */
  async finish(
    milliseconds: number,
    closed: Promise<unknown>,
    ...signals: readonly AbortSignalLike[]
  ): Promise<Message[]> {
    if (this.running > 0) {
      this.#idle ??= deferred();
      await settledWithin(milliseconds, Promise.race([this.#idle.promise, closed]), ...signals);
    }
    return this.#runningMessages();
  }

  /** The messages whose handlers run. */
  #runningMessages(): Message[] {
    return this.#called === undefined ? [...(this.#running ?? [])] : [this.#called, ...(this.#running ?? [])];
  }

  get #hasRoom(): boolean {
    return this.running < this.#concurrency;
  }

  #start(message: Message): void {
    this.#called = message;
    const promise = this.#call(message);
    this.#called = undefined;
    if (promise !== undefined) this.#await(message, promise);
    // A drain that began in the handler waits for the handler's end.
    else if (this.#idle !== undefined) this.startNext();
  }

  /** Calls the handler. Returns its promise, or undefined if the handler has ended. */
  #call(message: Message): Promise<unknown> | undefined {
    this.#events.starting(message);
    if (this.stopped) {
      // A status listener has closed the subscription.
      message.awaitRedelivery();
      return undefined;
    }
    try {
      // Called as a function, so that the handler does not get this object as `this`.
      const handler = this.#handler;
      const result = handler(message);
      // A promise of the host's: the `then` of another class may throw, or settle twice.
      if (isThenable(result)) return Promise.resolve(result);
    } catch (error) {
      this.#events.failed(message, error);
      return undefined;
    }
    this.#events.handled(message);
    return undefined;
  }

  #await(message: Message, promise: Promise<unknown>): void {
    message.activate();
    const running = (this.#running ??= new Set());
    running.add(message);
    promise.then(
      () => {
        running.delete(message);
        this.#events.handled(message);
        this.startNext();
      },
      (error: unknown) => {
        running.delete(message);
        this.#events.failed(message, error);
        this.startNext();
      },
    );
  }

  /** Starts handlers for waiting messages. Called when a handler has ended, or an earlier message came again. */
  startNext(): void {
    const waiting = this.#waiting;
    while (waiting !== undefined && waiting.length > 0 && this.#hasRoom) {
      if (this.#ordered && this.#events.mustWait(waiting.first!)) break;
      const message = waiting.shift()!;
      this.#waitingBytes.remove(message.data);
      this.#start(message);
    }
    if (waiting === undefined || waiting.length === 0) this.#overflowing = false;
    if (this.running === 0) this.#idle?.resolve();
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  const may = (typeof value === "object" && value !== null) || typeof value === "function";
  return may && "then" in value && typeof value.then === "function";
}
