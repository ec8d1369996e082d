import { deferred, settledWithin } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { StreamingError } from "../errors.ts";
import type { Message } from "./message.ts";
import { Lanes } from "./lanes.ts";
import { Queue } from "./queue.ts";
import type { WaitingBytes } from "./waiting-bytes.ts";

/**
 * Called for each {@link Message}. The message is acknowledged when the handler has returned, or when the promise that
 * it returned has resolved, unless `manualAck` is set. If the handler throws, or its promise rejects, the message comes
 * again after `ackWait`.
 */
export type MessageHandler = (message: Message) => unknown;

/**
 * @internal What becomes of a message whose handler has ended. `done`: nothing follows. `kept`: the client runs it
 * again, or stores it as a dead letter. `again`: the server sends it again.
 */
export type Outcome = "done" | "kept" | "again";

/** @internal What happens to messages on their way through the handlers. */
export interface HandlerEvents {
  /** A handler is about to get the message. */
  starting(message: Message): void;
  /** The handler has ended well. */
  handled(message: Message): Outcome;
  /** The handler threw, or its promise rejected. */
  failed(message: Message, error: unknown): Outcome;
  /** There is no room for the message. Its next delivery does not count as a run. */
  turnedAway(message: Message): void;
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
  /** Undefined unless messages are handled in order: all of them, or those with the same key. */
  readonly #lanes: Lanes<Message> | undefined;
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
  #paused = false;

  /** In a group, the server may send a message again to another member: then no other message waits for it. */
  constructor(
    handler: MessageHandler,
    concurrency: number,
    key: ((message: Message) => string) | undefined,
    isGroup: boolean,
    waitingBytes: WaitingBytes,
    events: HandlerEvents,
  ) {
    this.#handler = handler;
    this.#lanes = key && new Lanes((message) => (this.#waiting ??= new Queue()).push(message), !isGroup, key);
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
    return (this.#waiting?.length ?? 0) + (this.#lanes?.waiting ?? 0);
  }

  /** The number of messages that wait for a handler. Those that are held back count up to this order. */
  waitingUpTo(order: number): number {
    return (this.#waiting?.length ?? 0) + (this.#lanes?.waitingUpTo(order) ?? 0);
  }

  /** True while the handler of the message runs. */
  runs(message: Message): boolean {
    return this.#called === message || this.#running?.has(message) === true;
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

  /** True between `pause` and `resume` of the subscription. No handler starts. */
  get paused(): boolean {
    return this.#paused;
  }

  set paused(paused: boolean) {
    this.#paused = paused;
    this.startNext();
  }

  /** Starts a handler for the message, or makes the message wait. */
  take(message: Message): void {
    const lanes = this.#lanes;
    let key = "";
    if (lanes !== undefined) {
      try {
        key = lanes.keyOf(message);
      } catch (error) {
        message.activate();
        this.#settle(message, this.#events.failed(message, error));
        return;
      }
    }
    const first = this.#waiting === undefined || this.#waiting.length === 0;
    if (first && this.#hasRoom && (lanes === undefined || lanes.isFree(key, message.order))) {
      lanes?.pass(key, message.order);
      this.#start(message);
      // The end of the handler may have made another message free.
      if (lanes !== undefined) this.startNext();
      return;
    }
    // Before its bytes are added: those of its last delivery may count until now.
    message.activate();
    if (!this.#waitingBytes.add(message.data)) {
      this.#events.turnedAway(message);
      // The redelivery is handled like a first delivery. Until then the message is not missing.
      lanes?.await(key, message.order);
      message.awaitRedelivery();
      if (!this.#overflowing) this.#events.overflowed();
      this.#overflowing = true;
      return;
    }
    if (lanes === undefined) (this.#waiting ??= new Queue()).push(message);
    else {
      lanes.add(key, message.order, message);
      this.startNext();
    }
  }

  /** Runs a kept message again. Its bytes are counted already. */
  again(message: Message): void {
    if (this.#lanes !== undefined && !this.#lanes.has(message.order)) {
      // The key is unknown: its function has thrown.
      this.#waitingBytes.remove(message.data);
      this.take(message);
      return;
    }
    (this.#waiting ??= new Queue()).push(message);
    this.startNext();
  }

  /** A message that was kept, or was to come again, is finished or does not come: no other message waits for it. */
  leave(order: number): void {
    const message = this.#lanes?.leave(order);
    if (message !== undefined) this.#waitingBytes.remove(message.data);
    this.startNext();
  }

  /** True if other messages wait for the redelivery of this one. */
  isAwaited(order: number): boolean {
    return this.#lanes !== undefined && this.#lanes.isAwaited(order);
  }

  /** Messages are missing. Later ones wait until `found`. */
  holdBehind(from: number, to: number): void {
    this.#lanes?.holdBehind(from, to);
  }

  /** The missing messages came, or do not exist any more. */
  found(from: number, to: number): void {
    this.#lanes?.release(from, to);
    this.startNext();
  }

  /** The channel was reset. */
  reset(): void {
    for (const message of this.#lanes?.reset() ?? []) this.#waitingBytes.remove(message.data);
    this.startNext();
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
    for (const message of [...(this.#waiting?.drain() ?? []), ...(this.#lanes?.drain() ?? [])]) {
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
    return this.running < this.#concurrency && !this.#paused;
  }

  #start(message: Message): void {
    this.#called = message;
    const ended = this.#call(message);
    this.#called = undefined;
    if (typeof ended !== "string") this.#await(message, ended);
    else {
      this.#settle(message, ended);
      // A drain that began in the handler waits for the handler's end.
      if (this.#idle !== undefined) this.startNext();
    }
  }

  /** Calls the handler. Returns its promise, or the outcome if the handler has ended. */
  #call(message: Message): Promise<unknown> | Outcome {
    this.#events.starting(message);
    if (this.stopped) {
      // A status listener has closed the subscription.
      message.awaitRedelivery();
      return "again";
    }
    try {
      // Called as a function, so that the handler does not get this object as `this`.
      const handler = this.#handler;
      const result = handler(message);
      // A promise of the host's: the `then` of another class may throw, or settle twice.
      if (isThenable(result)) return Promise.resolve(result);
    } catch (error) {
      return this.#events.failed(message, error);
    }
    return this.#events.handled(message);
  }

  #await(message: Message, promise: Promise<unknown>): void {
    message.activate();
    const running = (this.#running ??= new Set());
    running.add(message);
    promise.then(
      () => {
        running.delete(message);
        this.#settle(message, this.#events.handled(message));
        this.startNext();
      },
      (error: unknown) => {
        running.delete(message);
        this.#settle(message, this.#events.failed(message, error));
        this.startNext();
      },
    );
  }

  /** The handler of the message has ended. */
  #settle(message: Message, outcome: Outcome): void {
    if (this.#lanes === undefined || outcome === "kept") return;
    if (outcome === "done") this.#lanes.leave(message.order);
    else this.#lanes.returns(message.order);
  }

  /** Starts handlers for waiting messages. Called when a handler has ended, or an awaited message came. */
  startNext(): void {
    const waiting = this.#waiting;
    while (waiting !== undefined && waiting.length > 0 && this.#hasRoom && !this.stopped) {
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
