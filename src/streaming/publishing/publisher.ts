import { deferred, RETRY_DELAY, settledWithin, sleep } from "../../core-nats/async.ts";
import type { Deferred } from "../../core-nats/async.ts";
import { clearTimeout, elapsed, setTimeout } from "../../core-nats/clock.ts";
import type { Connection, Receiver } from "../../core-nats/connection.ts";
import { NatsError } from "../../core-nats/errors.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import type { Ending } from "../../core-nats/lifetime.ts";
import { nuid } from "../../core-nats/nuid.ts";
import type { Delivery } from "../../core-nats/parser.ts";
import { isBytes } from "../../core-nats/text.ts";
import { PubAckView, PubMsg } from "../../pb/protocol.ts";
import { StreamingError, classify } from "../errors.ts";
import type { StreamingErrorCode } from "../errors.ts";
import { Guids } from "./guid.ts";
import { InFlight } from "./in-flight.ts";
import { bad, checkChannel, checkPublishOptions } from "../options.ts";
import type { PublishOptions, Settings } from "../options.ts";
import { Channel, Publish, Stage } from "./publish.ts";
import { Signals } from "./signals.ts";
import { Slabs } from "./slab.ts";
import type { ClientStats } from "../stats.ts";
import type { Tell } from "../status.ts";
import type { Dependent, Registration } from "../session/supervisor.ts";
import { Unsettled } from "./unsettled.ts";

/** So many publishes that are stored say that the subscriptions to their channel should have got something. */
const MANY = 256;
/** Channels whose envelopes are kept; servers have 100 channels by default. */
const MOST_CHANNELS = 1_000;
/** Payloads from this size on are sent from where they were copied to, not copied once more. Measured: at 16 KiB, to copy takes half the CPU. */
const ATTACHED_SIZE = 32 * 1024;
/** Up to this many bytes a loop copies faster than a view can be made and copied by the host. */
const SHORT = 64;
/** What a publish costs while it waits, beyond its data: its promise, and what is known of it. */
const PUBLISH_OVERHEAD = 256;
/** A new leader answers pings up to a second before it takes publishes; a channel that nobody serves may stay so. In milliseconds. */
const FIRST_RETRY_DELAY = 10;
const ACKS = "_STAN.acks";
/** While nothing tells when the client can publish again; the cause says why it cannot. */
const NOT_NOW = "refused until its cause has passed";

/**
 * The publish queue: what is published waits here for its turn, and then for its ack. Each publish settles once.
 *
 * Out: `publish`, `#send`, and on through the outbox. Back: `deliver`, `#acknowledged`, and the promise is settled.
 */
export class Publisher implements Dependent, Receiver {
  readonly #settings: Settings;
  readonly #tell: Tell;
  readonly #verify: (error?: StreamingError) => void;
  readonly #storedMany: (subject: string) => void;
  readonly #acks = `${ACKS}.${nuid()}`;
  readonly #channels = new Map<string, Channel>();
  readonly #slabs = new Slabs();
  readonly #view = new PubAckView();
  readonly #guids = new Guids();
  readonly #head = { envelope: new Uint8Array(0) as Uint8Array, guid: this.#guids.bytes };
  readonly #inFlight = new InFlight();
  readonly #unsettled: Unsettled;
  readonly #signals = new Signals((publishes, reason) => this.#aborted(publishes, reason));
  /** The first that waits. All others that do are behind it among the unsettled, in the order of the calls. */
  #next: Publish | undefined;
  #waiting = 0;
  #queuedBytes = 0;
  #order = 0;
  #registration: Registration | undefined;
  #refusal: StreamingError | undefined;
  #deaf: StreamingError | undefined;
  readonly #closing = new Lifetime();
  #stored = 0;
  #rejected = 0;
  #unconfirmed = 0;
  readonly #room: Deferred<void>[] = [];
  #quiet: Deferred<void> | undefined;
  #retry: Timer | undefined;
  #retryDelay = FIRST_RETRY_DELAY;
  /** Of the promise that was made last. */
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  /** `storedMany` is told of a channel now and then, when many messages more are stored there. */
  constructor(
    settings: Settings,
    tell: Tell,
    verify: (error?: StreamingError) => void,
    storedMany: (subject: string) => void,
  ) {
    this.#settings = settings;
    this.#tell = tell;
    this.#verify = verify;
    this.#storedMany = storedMany;
    this.#unsettled = new Unsettled(settings.publishTimeout, (publish) => this.#expired(publish));
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
      queued: this.#waiting,
      queuedBytes: this.#queuedBytes,
    };
  }

  /** True while something waits for its turn: whoever publishes many waits for `roomy`. */
  get crowded(): boolean {
    return this.#waiting > 0;
  }

  /** Ends when nothing more is taken. */
  get closing(): Ending {
    return this.#closing;
  }

  /** Resolves when nothing waits for its turn any more. */
  roomy(): Promise<void> {
    const room = deferred();
    this.#room.push(room);
    return room.promise;
  }

  /** Takes a publish; calls one of the two when it is settled. Never throws. */
  accept(
    subject: string,
    data: string | Uint8Array,
    options: PublishOptions | undefined,
    resolve: () => void,
    reject: (error: unknown) => void,
  ): void {
    let publish: Publish;
    try {
      const channel = this.#channels.get(subject) ?? this.#newChannel(subject);
      if (typeof data !== "string" && !isBytes(data)) {
        const json = typeof data === "object" && data !== null ? " (JSON.stringify makes a string of an object)" : "";
        bad("data", `must be a string or a Uint8Array${json}`, data);
      }
      if (options !== undefined) checkPublishOptions(options);
      if (this.#closing.aborted) throw failure("CLOSED", subject, "the client is closed");
      if (this.#refusal !== undefined) throw failure(this.#refusal.code, subject, NOT_NOW, this.#refusal);
      const signal = options?.signal;
      if (signal?.aborted === true) throw failure("ABORTED", subject, "the caller's signal was aborted", signal.reason);
      this.#slabs.hold(data);
      publish = new Publish(
        channel,
        options?.reply ?? "",
        ++this.#order,
        Math.trunc(elapsed()) + this.#settings.publishTimeout,
        this.#slabs,
        resolve,
        reject,
      );
      if (signal !== undefined) this.#signals.add(publish, signal);
    } catch (error) {
      if (error instanceof StreamingError) this.#rejected++;
      reject(error);
      return;
    }
    this.#unsettled.add(publish);

    if (this.#waiting === 0 && this.#registration !== undefined && this.#hasWindow(publish)) {
      this.#send(publish, this.#registration, data);
    } else {
      this.#wait(publish);
    }
  }

  #newChannel(subject: string): Channel {
    checkChannel(subject);
    const channel = new Channel(subject);
    if (this.#channels.size >= MOST_CHANNELS) this.#channels.clear();
    this.#channels.set(subject, channel);
    return channel;
  }

  #wait(publish: Publish): void {
    const size = publish.end - publish.start + publish.reply.length + PUBLISH_OVERHEAD;
    if (this.#queuedBytes + size > this.#settings.maxQueuedBytes) {
      const reason = `${this.#queuedBytes} bytes are waiting to be sent, and ${this.#settings.maxQueuedBytes} may (maxQueuedBytes)`;
      this.#fail(publish, "QUEUE_FULL", reason);
      return;
    }
    this.#enqueue(publish, size);
  }

  #enqueue(publish: Publish, size: number): void {
    publish.stage = Stage.waiting;
    publish.size = size;
    this.#waiting++;
    this.#queuedBytes += size;
    if (this.#next === undefined || publish.order < this.#next.order) this.#next = publish;
  }

  /** Whether a publish may be sent now: by count, by bytes, and by what the socket has taken. */
  #hasWindow(publish: Publish): boolean {
    const { maxPubAcksInFlight, maxPubBytesInFlight } = this.#settings;
    // First of all: what was given up is not in flight any more, and may still wait to be written.
    if (this.#registration!.connection.outbox.full) return false;
    const { count, bytes } = this.#inFlight;
    return count === 0 || (count < maxPubAcksInFlight && bytes + publish.end - publish.start <= maxPubBytesInFlight);
  }

  /** Encodes a publish straight into the outgoing bytes. `given` is its data as the caller has it, during the call only. */
  #send(publish: Publish, registration: Registration, given?: string | Uint8Array): void {
    const { channel, slab, start, end, reply } = publish;
    const { connection, session } = registration;
    const { clientId } = this.#settings;
    channel.encode(session, clientId, this.#acks);
    const head = this.#head;
    head.envelope = reply === "" ? channel.envelope : channel.envelopeWith(reply, session, clientId);
    const length = end - start;
    const size = PubMsg.size(head, length);
    if (size > connection.maxPayload) {
      const reason = `the encoded message has ${size} bytes, and the server takes ${connection.maxPayload} (max_payload)`;
      this.#fail(publish, "TOO_LARGE", reason);
      return;
    }

    this.#inFlight.add(publish, size, connection);
    publish.session = session;
    publish.stage = Stage.sent;
    this.#guids.set(publish.number);
    const { outbox } = connection;
    const attached = length >= ATTACHED_SIZE && !slab.shared;
    let at = outbox.begin(channel.head, this.#inFlight.token(publish), size, attached ? size - length : size);
    const { bytes } = outbox;
    at = PubMsg.writeHead(head, length, bytes, at);
    if (attached) {
      slab.users++;
      outbox.attach(slab.bytes.subarray(start, end), () => this.#slabs.release(slab));
    } else if (length > SHORT) bytes.set(typeof given === "object" ? given : slab.bytes.subarray(start, end), at);
    else for (let i = 0; i < length; i++) bytes[at + i] = slab.bytes[start + i];
  }

  // --- back ---

  /** Called by the connection for each answer to a publish. */
  deliver(delivery: Delivery): void {
    if (delivery.status !== 0) {
      this.#unheard(delivery);
      return;
    }
    const view = this.#view;
    const { bytes } = delivery;
    try {
      view.read(bytes, delivery.start, delivery.end);
    } catch (error) {
      this.#tell({ type: "error", error: new StreamingError("REFUSED", "publish: an ack that cannot be read was dropped", error) });
      return;
    }
    const publish = this.#inFlight.find(this.#guids.read(bytes, view.guidStart, view.guidEnd));
    // Not ours, or answered long ago, or given up: whatever it says is of no use any more.
    if (publish === undefined) return;
    publish.channel.unheard = false;
    if (view.errorStart !== view.errorEnd) {
      this.#refused(publish, view.error());
      return;
    }
    this.#acknowledged(publish);
  }

  #acknowledged(publish: Publish): void {
    this.#settle(publish);
    this.#stored++;
    if (++publish.channel.stored % MANY === 0) this.#storedMany(publish.channel.subject);
    publish.resolve();
    if (this.#waiting > 0) this.#pump();
  }

  // Why: docs/decisions.md#the-answer-invalid-publish-request
  /** The streaming server's own words for why a message was not stored, or may not have been. */
  #refused(publish: Publish, text: string): void {
    if (/^stan: invalid publish request/.test(text)) {
      // The client could not be registered anew, so this session is gone.
      if (this.#refusal !== undefined) return this.#sendAgain(publish);
      this.#unsend(publish);
      publish.stage = this.#registration === undefined ? Stage.doubted : Stage.asked;
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
  #unheard(delivery: Delivery): void {
    const publish = this.#inFlight.ofToken(parseInt(delivery.subject().slice(-2), 16));
    if (publish === undefined) return;
    const { channel } = publish;
    if (this.#registration !== undefined && channel.unheard) {
      publish.stage = Stage.unheard;
      this.#retry ??= setTimeout(() => this.#sendUnheard(), this.#retryDelay);
      return;
    }
    this.#sendAgain(publish);
    if (this.#registration === undefined) return;
    channel.unheard = true;
    this.#retryDelay = FIRST_RETRY_DELAY;
    const text = `publish ${channel.subject}: no streaming server is in charge`;
    this.#verify(new StreamingError("NO_SERVER", text, new NatsError("NO_RESPONDERS", `status ${delivery.status}`)));
  }

  // Why: docs/decisions.md#a-503-while-the-session-lives
  #sendUnheard(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#retryDelay = Math.min(Math.ceil(1.25 * this.#retryDelay), RETRY_DELAY);
    for (const publish of this.#unsettled) if (publish.stage === Stage.unheard) this.#sendAgain(publish);
    this.#pump();
  }

  /** The NATS server denied a subject. It says so once for each publish, in their order, and before the PONG of their lap. */
  #permissionDenied(subject: string, error: NatsError): boolean {
    const publish = this.#inFlight.latest(
      ({ session, channel }) => subject === `${session!.subjects.pubPrefix}.${channel.subject}`,
    );
    if (publish === undefined) return false;
    this.#fail(publish, "NOT_PERMITTED", error.reason, error);
    this.#pump();
    return true;
  }

  /** The server denied the inbox for acks: no publish could be confirmed, so none is sent on this connection. */
  denied(error: NatsError): void {
    this.#deaf = new StreamingError("NOT_PERMITTED", `publish: acks cannot be received: ${error.reason}`, error);
    this.#tell({ type: "error", error: this.#deaf });
    this.refuse(this.#deaf);
  }

  // --- the supervisor's word ---

  open(connection: Connection): void {
    connection.subscribe(`${this.#acks}.*`, this);
    connection.writable = () => this.#pump();
    connection.publishDenied = (subject, error) => this.#permissionDenied(subject, error);
    this.#inFlight.begin();
    this.#deaf = undefined;
  }

  resume(registration: Registration, sent = this.#inFlight.last): void {
    this.#refusal = this.#deaf;
    this.#registration = registration;
    let doubts = false;
    for (const publish of this.#unsettled) {
      const { stage } = publish;
      if (stage !== Stage.doubted && stage !== Stage.asked) continue;
      if (publish.session !== registration.session) {
        this.#sendAgain(publish);
      } else if (stage === Stage.asked) {
        this.#fail(publish, "REFUSED", "stan: invalid publish request");
      } else {
        publish.stage = Stage.asked;
        doubts = true;
      }
    }
    if (this.#inFlight.count > 0) void this.#giveUpSoon(registration, sent);
    this.#pump();
    if (doubts) this.#verify();
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
    for (const publish of this.#unsettled) if (publish.stage === Stage.sent && publish.number <= sent) this.#giveUp(publish, error);
    this.#pump();
  }

  suspend(): void {
    this.#registration = undefined;
  }

  /** Publishes that are sent and not yet answered, and would have an unknown outcome if the connection ended. */
  get underWay(): number {
    return this.#inFlight.count;
  }

  /** The number of the publish that was sent last. */
  get sent(): number {
    return this.#inFlight.last;
  }

  lost(error: StreamingError): void {
    this.#registration = undefined;
    for (const publish of this.#unsettled) if (publish.stage === Stage.sent) this.#giveUp(publish, error);
    this.#sendUnheard();
  }

  /** Its ack will not come any more. */
  #giveUp(publish: Publish, error: StreamingError): void {
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
    for (const publish of this.#unsettled) {
      if (publish.stage !== Stage.sent) this.#fail(publish, error.code, NOT_NOW, error);
    }
  }

  // --- the end ---

  /** Takes nothing more, and waits until all is settled, but no longer than the timeout, or until one of these ends. */
  async drain(timeout: number, ...endings: readonly Ending[]): Promise<void> {
    this.#closing.abort();
    if (this.#unsettled.first === undefined) return;
    this.#quiet ??= deferred();
    await settledWithin(timeout, this.#quiet.promise, ...endings);
  }

  /** Takes nothing more and settles all: what was sent is unconfirmed, the rest was not done. */
  close(): void {
    this.#closing.abort();
    this.#registration = undefined;
    for (const publish of this.#unsettled) {
      this.#fail(publish, publish.stage === Stage.sent ? "UNCONFIRMED" : "CLOSED", "the client was closed");
    }
    this.#unsettled.stop();
    clearTimeout(this.#retry);
  }

  // --- the queue ---

  /** Sends what waits, as far as the window goes. */
  #pump(): void {
    for (let publish = this.#next; publish !== undefined; publish = this.#next) {
      if (this.#registration === undefined || !this.#hasWindow(publish)) return;
      this.#unwait(publish);
      this.#send(publish, this.#registration);
    }
  }

  #unwait(publish: Publish): void {
    publish.stage = Stage.called;
    this.#waiting--;
    this.#queuedBytes -= publish.size;
    if (this.#waiting === 0) {
      this.#next = undefined;
      for (const room of this.#room.splice(0)) room.resolve();
    } else if (publish === this.#next) {
      do this.#next = this.#next!.next; while (this.#next!.stage !== Stage.waiting);
    }
  }

  /** Takes a publish out of the ring, if it is in there. */
  #unsend(publish: Publish): void {
    if (publish.stage !== Stage.sent && publish.stage !== Stage.unheard) return;
    this.#inFlight.remove(publish);
    publish.stage = Stage.called;
  }

  #sendAgain(publish: Publish): void {
    this.#unsend(publish);
    const refusal = this.#refusal;
    if (refusal === undefined) this.#enqueue(publish, publish.size);
    else this.#fail(publish, refusal.code, NOT_NOW, refusal);
  }

  /** Takes a publish out of everything, once and for all. The caller resolves or rejects it. */
  #settle(publish: Publish): void {
    if (publish.stage === Stage.waiting) this.#unwait(publish);
    else this.#unsend(publish);
    publish.stage = Stage.settled;
    if (publish.signal !== undefined) this.#signals.remove(publish);
    this.#slabs.release(publish.slab);
    this.#unsettled.remove(publish);
    if (this.#unsettled.first === undefined) this.#quiet?.resolve();
  }

  #fail(publish: Publish, code: StreamingErrorCode, reason: string, cause?: unknown): void {
    this.#settle(publish);
    // Whatever happened to this sending, an earlier one may have been stored.
    const known = publish.perhapsStored ? "UNCONFIRMED" : code;
    if (known === "UNCONFIRMED") this.#unconfirmed++;
    else this.#rejected++;
    publish.reject(failure(known, publish.channel.subject, reason, cause));
  }

  #expired(publish: Publish): void {
    const { publishTimeout } = this.#settings;
    const known = publish.channel.unheard ? "heard by no streaming server" : "not sent";
    if (publish.stage === Stage.sent) this.#fail(publish, "UNCONFIRMED", `no ack within ${publishTimeout} ms`);
    else this.#fail(publish, "NOT_SENT", `${known} within ${publishTimeout} ms`);
    this.#pump();
  }

  #aborted(publishes: Iterable<Publish>, reason: unknown): void {
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
