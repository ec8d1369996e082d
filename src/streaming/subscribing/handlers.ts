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

/** @internal Who is told what becomes of messages. */
export interface HandlerEvents {
  /** Asked where one is handled at a time, in order: whether a message before it is yet to come again. */
  mustWait(message: Message): boolean;
  /** A handler is about to get it. */
  starting(message: Message): void;
  /** The handler has ended well. */
  handled(message: Message): void;
  /** The handler threw, or its promise rejected. */
  failed(message: Message, error: unknown): void;
  /** There is no room for more to wait; told once, until there is again. */
  overflowed(): void;
}

/** Of the signals that were asked for. */
const controllers = new WeakMap<Message, AbortController>();

// Why: docs/decisions.md#waiting-messages-are-bounded-by-bytes
/**
 * @internal
 * The handlers of one subscription: as many at once as it may have. What comes beyond waits, in order, bounded by the
 * bytes that may wait in the whole client: a bound by count would drop most of a storm of redeliveries (seen: 95 000
 * dropped deliveries for 20 000 messages).
 */
export class Handlers {
  readonly #handler: MessageHandler;
  /** One at a time, and a message that failed before all behind it. */
  readonly #ordered: boolean;
  #concurrency: number;
  readonly #waitingBytes: WaitingBytes;
  readonly #events: HandlerEvents;
  #waiting: Queue<Message> | undefined;
  /** Those whose handler has returned a promise. */
  #running: Set<Message> | undefined;
  /** The one whose handler is being called: it runs from the call on, not from the promise on. */
  #called: Message | undefined;
  #idle: Deferred<void> | undefined;
  /** Why no handler starts any more. */
  #stopped: StreamingError | undefined;
  #overflowing = false;

  /** What waits takes `room`. */
  constructor(handler: MessageHandler, concurrency: number, ordered: boolean, waitingBytes: WaitingBytes, events: HandlerEvents) {
    this.#handler = handler;
    this.#ordered = ordered;
    this.#concurrency = concurrency;
    this.#waitingBytes = waitingBytes;
    this.#events = events;
  }

  /** Handlers that run. */
  get running(): number {
    return (this.#running?.size ?? 0) + (this.#called === undefined ? 0 : 1);
  }

  /** Messages that wait for one. */
  get waiting(): number {
    return this.#waiting?.length ?? 0;
  }

  /** True once `stop` was called: nothing is taken any more. */
  get stopped(): boolean {
    return this.#stopped !== undefined;
  }

  /** So many may run at once from now on. */
  set concurrency(concurrency: number) {
    // Nothing new is no reason to start what is being started: whoever is told of that may be calling.
    if (this.#concurrency === concurrency) return;
    this.#concurrency = concurrency;
    this.startNext();
  }

  /** Starts the handler, or has the message wait for one. */
  take(message: Message): void {
    const first = this.#waiting === undefined || this.#waiting.length === 0;
    if (first && this.#hasRoom && !(this.#ordered && this.#events.mustWait(message))) {
      this.#start(message);
      return;
    }
    if (!this.#waitingBytes.add(message.data)) {
      // Its next delivery is as good as its first; until then it is not missing for good.
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
   * Aborted by `stop` and `abort`, while the handler of the message runs; from the beginning once `stop` was called.
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

  /** Aborts the signals of all messages whose handlers run. */
  abort(reason: StreamingError): void {
    for (const message of this.#runningMessages()) controllers.get(message)?.abort(reason);
  }

  /**
   * No handler starts from now on, and those that run are told why. The messages that were waiting for one are
   * released.
   */
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
   * Waits for the handlers that run, but no longer than so long, or until `over` settles, or one of these ends. Returns
   * the messages of those that still run.
   */
  async finish(milliseconds: number, over: Promise<unknown>, ...endings: readonly AbortSignalLike[]): Promise<Message[]> {
    if (this.running > 0) {
      this.#idle ??= deferred();
      await settledWithin(milliseconds, Promise.race([this.#idle.promise, over]), ...endings);
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
    // A drain that began in the call waits for its end.
    else if (this.#idle !== undefined) this.startNext();
  }

  /** Returns the promise of the handler's end, or undefined if it has ended already. */
  #call(message: Message): Promise<unknown> | undefined {
    this.#events.starting(message);
    if (this.stopped) {
      // Whoever was told of it has closed the subscription.
      message.awaitRedelivery();
      return undefined;
    }
    try {
      // Not as a method: the handler is nothing of ours.
      const handler = this.#handler;
      const result = handler(message);
      // Made a true one: the `then` of others may throw, or settle twice.
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

  /** There may be a place free, or what was waited for has come: starts those that wait. */
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
