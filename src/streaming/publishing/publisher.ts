import { settledWithin, sleep } from "../../core-nats/async.ts";
import { elapsed } from "../../core-nats/clock.ts";
import { NatsError } from "../../core-nats/errors.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import { nuid } from "../../core-nats/nuid.ts";
import { StreamingError, classify } from "../errors.ts";
import type { StreamingErrorCode } from "../errors.ts";
import { invariant } from "../invariant.ts";
import type { ClientStatus } from "../session/client-status.ts";
import type { SessionListener, PublishState } from "../session/registration.ts";
import type { Settings } from "../settings.ts";
import type { ClientStats } from "../stats.ts";
import { AbortSignals } from "./abort-signals.ts";
import { Answers } from "./answers.ts";
import type { AnswerEvents } from "./answers.ts";
import { Guids } from "./guid.ts";
import { InFlight } from "./in-flight.ts";
import { PendingPublish, Stage } from "./pending-publish.ts";
import { checkData, checkPublishOptions } from "./publish-options.ts";
import type { PublishOptions } from "./publish-options.ts";
import { PublishQueue } from "./publish-queue.ts";
import type { PublishConnection, PublishRegistration } from "./publish-registration.ts";
import { PublishTemplates } from "./publish-template.ts";
import { RetryTimer } from "./retry-timer.ts";
import { Sender } from "./sender.ts";
import { Slabs } from "./slab.ts";

/** One call of `storedMany` stands for this many stored publishes to a channel. */
const STORED_MANY = 256;
/** The bytes that a queued publish takes beyond its data, for its promise and its fields. */
const PUBLISH_OVERHEAD = 256;
/** The reason of each rejection while the client cannot publish and does not know when it can. The cause says why. */
const NOT_NOW = "refused until its cause has passed";
type Counted = "stored" | "rejected" | "unconfirmed" | "inFlight" | "inFlightBytes" | "queued" | "queuedBytes";

/** Takes publishes, sends them, and settles each one once. */
export class Publisher implements SessionListener, PublishState, AnswerEvents {
  readonly #settings: Settings;
  readonly #notify: (status: ClientStatus) => void;
  readonly #verify: (error?: StreamingError) => void;
  readonly #storedMany: (subject: string) => void;
  readonly #acks = `_STAN.acks.${nuid()}`;
  readonly #templates = new PublishTemplates();
  readonly #slabs = new Slabs();
  readonly #inFlight = new InFlight();
  readonly #queue: PublishQueue;
  readonly #sender: Sender;
  readonly #answers: Answers;
  readonly #signals = new AbortSignals((publishes, reason) => this.#aborted(publishes, reason));
  #order = 0;
  #refusal: StreamingError | undefined;
  #acksDenied: StreamingError | undefined;
  readonly #closing = new Lifetime();
  #stored = 0;
  #rejected = 0;
  #unconfirmed = 0;
  readonly #retry = new RetryTimer(() => this.#sendUnanswered());
  /** The functions of the newest promise. */
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  /** Calls `storedMany` with a channel after many more publishes to it: its subscriptions should have received some. */
  constructor(
    settings: Settings,
    notify: (status: ClientStatus) => void,
    verify: (error?: StreamingError) => void,
    storedMany: (subject: string) => void,
  ) {
    this.#settings = settings;
    this.#notify = notify;
    this.#verify = verify;
    this.#storedMany = storedMany;
    this.#queue = new PublishQueue(settings.publishTimeout, (publish) => this.#expired(publish));
    const guids = new Guids();
    this.#sender = new Sender(settings, this.#acks, guids, this.#slabs, this.#inFlight);
    this.#answers = new Answers(guids, this.#inFlight, this);
  }

  /** See `Client.publish`. */
  publish(subject: string, data: string | Uint8Array, options?: PublishOptions): Promise<void> {
    const promise = new Promise<void>(this.#capture);
    this.accept(subject, data, options, this.#resolve, this.#reject);
    return promise;
  }

  /** All promises share it: measured, one function for each takes a fifth of the CPU with 16 384 in flight. */
  readonly #capture = (resolve: () => void, reject: (error: unknown) => void): void => {
    this.#resolve = resolve;
    this.#reject = reject;
  };

  /** See `Client.stats`. */
  stats(): Pick<ClientStats, Counted> {
    return {
      stored: this.#stored,
      rejected: this.#rejected,
      unconfirmed: this.#unconfirmed,
      inFlight: this.#inFlight.count,
      inFlightBytes: this.#inFlight.bytes,
      queued: this.#queue.queued,
      queuedBytes: this.#queue.queuedBytes,
    };
  }

  /** True while a publish waits for its turn. A caller with many publishes then waits for `backlogCleared`. */
  get hasBacklog(): boolean {
    return this.#queue.queued > 0;
  }

  /** Ends when the publisher takes no more publishes. */
  get closing(): AbortSignalLike {
    return this.#closing;
  }

  /** Resolves when no publish waits for its turn any more. */
  backlogCleared(): Promise<void> {
    return this.#queue.backlogCleared();
  }

  /** Takes a publish. Calls `resolve` or `reject` when it is settled. Never throws. */
  accept(
    subject: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
    resolve: () => void,
    reject: (error: unknown) => void,
  ): void {
    let publish: PendingPublish;
    try {
      const template = this.#templates.of(subject);
      checkData(data);
      if (options !== undefined) checkPublishOptions(options);
      if (this.#closing.aborted) throw failure("CLOSED", subject, "the client is closed");
      if (this.#refusal !== undefined) throw failure(this.#refusal.code, subject, NOT_NOW, this.#refusal);
      const signal = options?.signal;
      if (signal?.aborted === true) throw failure("ABORTED", subject, "the caller's signal was aborted", signal.reason);
      this.#slabs.hold(data);
      const deadline = Math.trunc(elapsed()) + this.#settings.publishTimeout;
      const reply = options?.reply ?? "";
      publish = new PendingPublish(template, reply, ++this.#order, deadline, this.#slabs, resolve, reject);
      if (signal !== undefined) this.#signals.add(publish, signal);
    } catch (error) {
      if (error instanceof StreamingError) this.#rejected++;
      reject(error);
      return;
    }
    this.#queue.add(publish);
    if (this.#queue.queued === 0 && this.#sender.maySend(publish)) this.#send(publish, data);
    else this.#wait(publish);
  }

  #wait(publish: PendingPublish): void {
    const size = publish.end - publish.start + publish.reply.length + PUBLISH_OVERHEAD;
    const { maxQueuedBytes } = this.#settings;
    if (this.#queue.queuedBytes + size > maxQueuedBytes) {
      const waiting = `${this.#queue.queuedBytes} bytes are waiting to be sent`;
      this.#fail(publish, "QUEUE_FULL", `${waiting}, and ${maxQueuedBytes} may (maxQueuedBytes)`);
      return;
    }
    this.#queue.enqueue(publish, size);
  }

  #send(publish: PendingPublish, given?: string | Uint8Array): void {
    const size = this.#sender.send(publish, given);
    if (size === undefined) return;
    invariant(this.#sender.registration !== undefined, "publish: a message was sent without a registration");
    const { maxPayload } = this.#sender.registration.connection;
    const reason = `the encoded message has ${size} bytes, and the server takes ${maxPayload} (max_payload)`;
    this.#fail(publish, "TOO_LARGE", reason);
  }

  acknowledged(publish: PendingPublish): void {
    this.#settle(publish);
    this.#stored++;
    if (++publish.template.stored % STORED_MANY === 0) this.#storedMany(publish.template.subject);
    publish.resolve();
    if (this.#queue.queued > 0) this.#pump();
  }

  // Why: docs/decisions.md#the-answer-invalid-publish-request
  refused(publish: PendingPublish, text: string): void {
    if (/^stan: invalid publish request/.test(text)) {
      // The client could not register again, so this session is gone.
      if (this.#refusal !== undefined) return this.#sendAgain(publish);
      this.#unsend(publish);
      publish.stage = this.#sender.registration === undefined ? Stage.suspect : Stage.verifying;
      this.#verify();
      return;
    }
    this.#fail(publish, classify(text) === "permanent" ? "REFUSED" : "UNCONFIRMED", text);
    this.#pump();
  }

  // Why: docs/decisions.md#a-503-always-sends-again
  /**
   * A 503: no streaming server received the publish, so it is certainly not stored. It is sent again before all queued
   * publishes, once the session is verified. After a second 503 the retry timer says when, and the session is not
   * suspect: a new leader is not ready yet, or no server serves the channel (in partitioned mode).
   */
  noResponders(publish: PendingPublish, status: number): void {
    const { template } = publish;
    if (this.#sender.registration !== undefined && template.noResponders) {
      publish.stage = Stage.noResponders;
      this.#retry.start();
      return;
    }
    this.#sendAgain(publish);
    if (this.#sender.registration === undefined) return;
    template.noResponders = true;
    this.#retry.reset();
    const text = `publish ${template.subject}: no streaming server is in charge`;
    this.#verify(new StreamingError("NO_SERVER", text, new NatsError("NO_RESPONDERS", `status ${status}`)));
  }

  // Why: docs/decisions.md#a-503-while-the-session-lives
  #sendUnanswered(): void {
    for (const publish of this.#queue) if (publish.stage === Stage.noResponders) this.#sendAgain(publish);
    this.#pump();
  }

  notPermitted(publish: PendingPublish, error: NatsError): void {
    this.#fail(publish, "NOT_PERMITTED", error.reason, error);
    this.#pump();
  }

  unreadable(error: unknown): void {
    const text = "publish: an ack that cannot be read was dropped";
    this.#notify({ type: "error", error: new StreamingError("REFUSED", text, error) });
  }

  /** No ack can arrive on this connection, so the client sends no publish on it. */
  acksDenied(error: NatsError): void {
    this.#acksDenied = new StreamingError("NOT_PERMITTED", `publish: acks cannot be received: ${error.reason}`, error);
    this.#notify({ type: "error", error: this.#acksDenied });
    this.refuse(this.#acksDenied);
  }

  open(connection: PublishConnection): void {
    invariant(this.#sender.registration === undefined, "publish: a connection opened before another one was lost");
    connection.subscribe(`${this.#acks}.*`, this.#answers);
    connection.writable = () => this.#pump();
    connection.publishDenied = (subject, error) => this.#answers.publishDenied(subject, error);
    this.#inFlight.begin();
    this.#acksDenied = undefined;
  }

  resume(registration: PublishRegistration, sent = this.#inFlight.last): void {
    invariant(!registration.over.aborted, "publish: a registration that is over was resumed");
    this.#refusal = this.#acksDenied;
    this.#sender.registration = registration;
    let suspects = false;
    for (const publish of this.#queue) {
      const { stage } = publish;
      if (stage !== Stage.suspect && stage !== Stage.verifying) continue;
      if (publish.session !== registration.session) {
        this.#sendAgain(publish);
      } else if (stage === Stage.verifying) {
        this.#fail(publish, "REFUSED", "stan: invalid publish request");
      } else {
        publish.stage = Stage.verifying;
        suspects = true;
      }
    }
    if (this.#inFlight.count > 0) void this.#giveUpSoon(registration, sent);
    this.#pump();
    if (suspects) this.#verify();
  }

  // Why: docs/decisions.md#publishes-that-a-successor-does-not-know
  /**
   * Gives up the publishes up to the number `sent` after a while: another server may be in charge now, which does not
   * know them (seen when the leader of a raft cluster is killed). They would fill the window until their deadlines.
   */
  async #giveUpSoon(registration: PublishRegistration, sent: number): Promise<void> {
    await sleep(this.#settings.requestTimeout, registration.over);
    if (registration.over.aborted) return;
    const error = new StreamingError("NO_SERVER", "publish: no ack, and another server may have taken over");
    for (const publish of this.#queue) {
      if (publish.stage === Stage.sent && publish.number <= sent) this.#giveUp(publish, error);
    }
    this.#pump();
  }

  suspend(): void {
    this.#sender.registration = undefined;
  }

  get unanswered(): number {
    return this.#inFlight.count;
  }

  get sent(): number {
    return this.#inFlight.last;
  }

  lost(error: StreamingError): void {
    this.#sender.registration = undefined;
    for (const publish of this.#queue) if (publish.stage === Stage.sent) this.#giveUp(publish, error);
    this.#retry.expire();
  }

  /** Ends the wait for the ack of a publish. */
  #giveUp(publish: PendingPublish, error: StreamingError): void {
    if (this.#settings.resendUnconfirmed) {
      publish.perhapsStored = true;
      this.#sendAgain(publish);
    } else {
      this.#fail(publish, "UNCONFIRMED", "sent, and its ack cannot come any more", error);
    }
  }

  refuse(error: StreamingError): void {
    this.#refusal = error;
    for (const publish of this.#queue) {
      if (publish.stage !== Stage.sent) this.#fail(publish, error.code, NOT_NOW, error);
    }
  }

  /** Takes no more publishes. Waits until all are settled, the timeout is over, or one of the signals is aborted. */
  async drain(timeout: number, ...endings: readonly AbortSignalLike[]): Promise<void> {
    this.#closing.abort();
    await settledWithin(timeout, this.#queue.idle(), ...endings);
  }

  /** Takes no more publishes and settles all: sent ones reject with `UNCONFIRMED`, the others with `CLOSED`. */
  close(): void {
    this.#closing.abort();
    this.#sender.registration = undefined;
    for (const publish of this.#queue) {
      this.#fail(publish, publish.stage === Stage.sent ? "UNCONFIRMED" : "CLOSED", "the client was closed");
    }
    this.#queue.stop();
    this.#retry.stop();
  }

  /** Sends queued publishes, as far as the window allows. */
  #pump(): void {
    for (let publish = this.#queue.firstQueued; publish !== undefined; publish = this.#queue.firstQueued) {
      if (!this.#sender.maySend(publish)) return;
      this.#queue.dequeue(publish);
      this.#send(publish);
    }
  }

  /** Removes a publish from those in flight, if it is one of them. */
  #unsend(publish: PendingPublish): void {
    if (publish.stage !== Stage.sent && publish.stage !== Stage.noResponders) return;
    this.#inFlight.remove(publish);
    publish.stage = Stage.accepted;
  }

  #sendAgain(publish: PendingPublish): void {
    this.#unsend(publish);
    const refusal = this.#refusal;
    if (refusal === undefined) this.#queue.enqueue(publish, publish.size);
    else this.#fail(publish, refusal.code, NOT_NOW, refusal);
  }

  /** Removes a publish everywhere. The caller resolves or rejects it. */
  #settle(publish: PendingPublish): void {
    if (publish.stage === Stage.queued) this.#queue.dequeue(publish);
    else this.#unsend(publish);
    publish.stage = Stage.settled;
    if (publish.signal !== undefined) this.#signals.remove(publish);
    this.#slabs.release(publish.slab);
    this.#queue.remove(publish);
  }

  #fail(publish: PendingPublish, code: StreamingErrorCode, reason: string, cause?: unknown): void {
    this.#settle(publish);
    // An earlier attempt may have been stored, although this one failed.
    const known = publish.perhapsStored ? "UNCONFIRMED" : code;
    if (known === "UNCONFIRMED") this.#unconfirmed++;
    else this.#rejected++;
    publish.reject(failure(known, publish.template.subject, reason, cause));
  }

  #expired(publish: PendingPublish): void {
    const { publishTimeout } = this.#settings;
    const known = publish.template.noResponders ? "heard by no streaming server" : "not sent";
    if (publish.stage === Stage.sent) this.#fail(publish, "UNCONFIRMED", `no ack within ${publishTimeout} ms`);
    else this.#fail(publish, "NOT_SENT", `${known} within ${publishTimeout} ms`);
    this.#pump();
  }

  #aborted(publishes: Iterable<PendingPublish>, reason: unknown): void {
    const text = "the caller's signal was aborted";
    for (const publish of publishes) {
      if (publish.stage === Stage.sent) this.#fail(publish, "UNCONFIRMED", `${text} after it was sent`, reason);
      else this.#fail(publish, "ABORTED", text, reason);
    }
    this.#pump();
  }
}

function failure(code: StreamingErrorCode, subject: string, reason: string, cause?: unknown): StreamingError {
  return new StreamingError(code, `publish ${subject}: ${reason}`, cause);
}
