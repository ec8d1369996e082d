import { settledWithin, sleep } from "../../core-nats/async.ts";
import { elapsed } from "../../core-nats/clock.ts";
import type { Connection } from "../../core-nats/connection.ts";
import { NatsError } from "../../core-nats/errors.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import { nuid } from "../../core-nats/nuid.ts";
import { StreamingError, classify } from "../errors.ts";
import type { StreamingErrorCode } from "../errors.ts";
import type { ClientStatus } from "../session/client-status.ts";
import type { SessionListener, PublishState, Registration } from "../session/registration.ts";
import type { Settings } from "../settings.ts";
import type { ClientStats } from "../stats.ts";
import { Answers } from "./answers.ts";
import type { AnswerEvents } from "./answers.ts";
import { Guids } from "./guid.ts";
import { InFlight } from "./in-flight.ts";
import { checkData, checkPublishOptions } from "./publish-options.ts";
import type { PublishOptions } from "./publish-options.ts";
import { PublishQueue } from "./publish-queue.ts";
import { PublishTemplates } from "./publish-template.ts";
import { PendingPublish, Stage } from "./pending-publish.ts";
import { RetryTimer } from "./retry-timer.ts";
import { Sender } from "./sender.ts";
import { AbortSignals } from "./abort-signals.ts";
import { Slabs } from "./slab.ts";

/** So many publishes that are stored say that the subscriptions to their channel should have got something. */
const MANY = 256;
/** What a publish costs while it waits, beyond its data: its promise, and what is known of it. */
const PUBLISH_OVERHEAD = 256;
const ACKS = "_STAN.acks";
/** While nothing tells when the client can publish again; the cause says why it cannot. */
const NOT_NOW = "refused until its cause has passed";

/**
 * Takes publishes, sends them, and settles each once.
 *
 * Out: `publish`, `#send`, and on through the encoder. Back: the answers, `acknowledged`, and the promise is settled.
 */
export class Publisher implements SessionListener, PublishState, AnswerEvents {
  readonly #settings: Settings;
  readonly #notify: (status: ClientStatus) => void;
  readonly #verify: (error?: StreamingError) => void;
  readonly #storedMany: (subject: string) => void;
  readonly #acks = `${ACKS}.${nuid()}`;
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
  /** Of the promise that was made last. */
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  /** `storedMany` is told of a channel now and then, when many messages more are stored there. */
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

  /** One for all promises: measured, a function made for each takes a fifth of the CPU where 16 384 are in flight. */
  readonly #capture = (resolve: () => void, reject: (error: unknown) => void): void => {
    this.#resolve = resolve;
    this.#reject = reject;
  };

  /** See `Client.stats`. */
  stats(): Pick<ClientStats, "stored" | "rejected" | "unconfirmed" | "inFlight" | "inFlightBytes" | "queued" | "queuedBytes"> {
    return {
      stored: this.#stored,
      rejected: this.#rejected,
      unconfirmed: this.#unconfirmed,
      inFlight: this.#inFlight.count,
      inFlightBytes: this.#inFlight.bytes,
      queued: this.#queue.waiting,
      queuedBytes: this.#queue.bytes,
    };
  }

  /** True while something waits for its turn: whoever publishes many waits for `roomy`. */
  get hasBacklog(): boolean {
    return this.#queue.waiting > 0;
  }

  /** Ends when nothing more is taken. */
  get closing(): AbortSignalLike {
    return this.#closing;
  }

  /** Resolves when nothing waits for its turn any more. */
  backlogCleared(): Promise<void> {
    return this.#queue.backlogCleared();
  }

  /** Takes a publish; calls one of the two when it is settled. Never throws. */
  accept(
    subject: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
    resolve: () => void,
    reject: (error: unknown) => void,
  ): void {
    let publish: PendingPublish;
    try {
      const channel = this.#templates.of(subject);
      checkData(data);
      if (options !== undefined) checkPublishOptions(options);
      if (this.#closing.aborted) throw failure("CLOSED", subject, "the client is closed");
      if (this.#refusal !== undefined) throw failure(this.#refusal.code, subject, NOT_NOW, this.#refusal);
      const signal = options?.signal;
      if (signal?.aborted === true) throw failure("ABORTED", subject, "the caller's signal was aborted", signal.reason);
      this.#slabs.hold(data);
      const deadline = Math.trunc(elapsed()) + this.#settings.publishTimeout;
      publish = new PendingPublish(channel, options?.reply ?? "", ++this.#order, deadline, this.#slabs, resolve, reject);
      if (signal !== undefined) this.#signals.add(publish, signal);
    } catch (error) {
      if (error instanceof StreamingError) this.#rejected++;
      reject(error);
      return;
    }
    this.#queue.add(publish);

    if (this.#queue.waiting === 0 && this.#sender.maySend(publish)) this.#send(publish, data);
    else this.#wait(publish);
  }

  #wait(publish: PendingPublish): void {
    const size = publish.end - publish.start + publish.reply.length + PUBLISH_OVERHEAD;
    if (this.#queue.bytes + size > this.#settings.maxQueuedBytes) {
      const reason = `${this.#queue.bytes} bytes are waiting to be sent, and ${this.#settings.maxQueuedBytes} may (maxQueuedBytes)`;
      this.#fail(publish, "QUEUE_FULL", reason);
      return;
    }
    this.#queue.enqueue(publish, size);
  }

  #send(publish: PendingPublish, given?: string | Uint8Array): void {
    const size = this.#sender.send(publish, given);
    if (size === undefined) return;
    const { maxPayload } = this.#sender.registration!.connection;
    this.#fail(publish, "TOO_LARGE", `the encoded message has ${size} bytes, and the server takes ${maxPayload} (max_payload)`);
  }

  acknowledged(publish: PendingPublish): void {
    this.#settle(publish);
    this.#stored++;
    if (++publish.channel.stored % MANY === 0) this.#storedMany(publish.channel.subject);
    publish.resolve();
    if (this.#queue.waiting > 0) this.#pump();
  }

  // Why: docs/decisions.md#the-answer-invalid-publish-request
  refused(publish: PendingPublish, text: string): void {
    if (/^stan: invalid publish request/.test(text)) {
      // The client could not be registered anew, so this session is gone.
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
   * A 503: nobody in charge heard the publish. It is certainly not stored, and goes again before all that are waiting, once
   * the session is verified. If that does not help, a new leader is not ready yet, or nobody serves the channel (of a server in
   * partitioned mode): then it is tried now and then, less and less often, and nothing is in question.
   */
  noResponders(publish: PendingPublish, status: number): void {
    const { channel } = publish;
    if (this.#sender.registration !== undefined && channel.noResponders) {
      publish.stage = Stage.noResponders;
      this.#retry.start();
      return;
    }
    this.#sendAgain(publish);
    if (this.#sender.registration === undefined) return;
    channel.noResponders = true;
    this.#retry.reset();
    const text = `publish ${channel.subject}: no streaming server is in charge`;
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
    this.#notify({ type: "error", error: new StreamingError("REFUSED", "publish: an ack that cannot be read was dropped", error) });
  }

  /** No publish could be confirmed, so none is sent on this connection. */
  acksDenied(error: NatsError): void {
    this.#acksDenied = new StreamingError("NOT_PERMITTED", `publish: acks cannot be received: ${error.reason}`, error);
    this.#notify({ type: "error", error: this.#acksDenied });
    this.refuse(this.#acksDenied);
  }

  open(connection: Connection): void {
    connection.subscribe(`${this.#acks}.*`, this.#answers);
    connection.writable = () => this.#pump();
    connection.publishDenied = (subject, error) => this.#answers.publishDenied(subject, error);
    this.#inFlight.begin();
    this.#acksDenied = undefined;
  }

  resume(registration: Registration, sent = this.#inFlight.last): void {
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
   * Another server may be in charge now, which knows nothing of what its predecessor had heard and not answered: it would
   * fill the window until its time is up (seen when the leader of a raft cluster is killed).
   */
  async #giveUpSoon(registration: Registration, sent: number): Promise<void> {
    await sleep(this.#settings.requestTimeout, registration.over);
    if (registration.over.aborted) return;
    const error = new StreamingError("NO_SERVER", "publish: no ack, and another server may have taken over");
    for (const publish of this.#queue) if (publish.stage === Stage.sent && publish.number <= sent) this.#giveUp(publish, error);
    this.#pump();
  }

  suspend(): void {
    this.#sender.registration = undefined;
  }

  /** Publishes that are sent and not yet answered, and would have an unknown outcome if the connection ended. */
  get unanswered(): number {
    return this.#inFlight.count;
  }

  /** The number of the publish that was sent last. */
  get sent(): number {
    return this.#inFlight.last;
  }

  lost(error: StreamingError): void {
    this.#sender.registration = undefined;
    for (const publish of this.#queue) if (publish.stage === Stage.sent) this.#giveUp(publish, error);
    this.#retry.expire();
  }

  /** Its ack will not come any more. */
  #giveUp(publish: PendingPublish, error: StreamingError): void {
    if (this.#settings.resendUnconfirmed) {
      publish.perhapsStored = true;
      this.#sendAgain(publish);
    } else {
      this.#fail(publish, "UNCONFIRMED", "sent, and its ack cannot come any more", error);
    }
  }

  /** There is no knowing when it will be possible to send again, and why: nothing waits for it. */
  refuse(error: StreamingError): void {
    this.#refusal = error;
    for (const publish of this.#queue) {
      if (publish.stage !== Stage.sent) this.#fail(publish, error.code, NOT_NOW, error);
    }
  }

  /** Takes nothing more, and waits until all is settled, but no longer than the timeout, or until one of these ends. */
  async drain(timeout: number, ...endings: readonly AbortSignalLike[]): Promise<void> {
    this.#closing.abort();
    await settledWithin(timeout, this.#queue.idle(), ...endings);
  }

  /** Takes nothing more and settles all: what was sent is unconfirmed, the rest was not done. */
  close(): void {
    this.#closing.abort();
    this.#sender.registration = undefined;
    for (const publish of this.#queue) {
      this.#fail(publish, publish.stage === Stage.sent ? "UNCONFIRMED" : "CLOSED", "the client was closed");
    }
    this.#queue.stop();
    this.#retry.stop();
  }

  /** Sends what waits, as far as the window goes. */
  #pump(): void {
    for (let publish = this.#queue.next; publish !== undefined; publish = this.#queue.next) {
      if (!this.#sender.maySend(publish)) return;
      this.#queue.dequeue(publish);
      this.#send(publish);
    }
  }

  /** Takes a publish out of the ring, if it is in there. */
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

  /** Takes a publish out of everything, once and for all. The caller resolves or rejects it. */
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
    // Whatever happened to this sending, an earlier one may have been stored.
    const known = publish.perhapsStored ? "UNCONFIRMED" : code;
    if (known === "UNCONFIRMED") this.#unconfirmed++;
    else this.#rejected++;
    publish.reject(failure(known, publish.channel.subject, reason, cause));
  }

  #expired(publish: PendingPublish): void {
    const { publishTimeout } = this.#settings;
    const known = publish.channel.noResponders ? "heard by no streaming server" : "not sent";
    if (publish.stage === Stage.sent) this.#fail(publish, "UNCONFIRMED", `no ack within ${publishTimeout} ms`);
    else this.#fail(publish, "NOT_SENT", `${known} within ${publishTimeout} ms`);
    this.#pump();
  }

  #aborted(publishes: Iterable<PendingPublish>, reason: unknown): void {
    for (const publish of publishes) {
      if (publish.stage === Stage.sent) this.#fail(publish, "UNCONFIRMED", "the caller's signal was aborted after it was sent", reason);
      else this.#fail(publish, "ABORTED", "the caller's signal was aborted", reason);
    }
    this.#pump();
  }
}

function failure(code: StreamingErrorCode, subject: string, reason: string, cause?: unknown): StreamingError {
  return new StreamingError(code, `publish ${subject}: ${reason}`, cause);
}
