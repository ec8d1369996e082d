import { deferred, onAbort, sleep } from "../core-nats/async.ts";
import { elapsed } from "../core-nats/clock.ts";
import type { Connection } from "../core-nats/connection.ts";
import { NatsError } from "../core-nats/errors.ts";
import type { Client, Message, Subscription } from "../index.ts";
import { ChannelFigures } from "./channel-figures.ts";
import { bridgeError } from "./ends.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import { fillHole, removeFillers } from "./hole.ts";
import { look } from "./look.ts";
import { mergePosition } from "./merge-position.ts";
import { checkChannelIsSame, lastCopied } from "./mirror-position.ts";
import { Sender, weightOf, WINDOW } from "./sender.ts";
import { configOf, isOpening, phaseOf } from "./stream.ts";
import type { Phase, Route } from "./stream.ts";
import { aborted, API_ERRORS, ApiError } from "./target.ts";
import type { StreamInfo } from "./target.ts";
import type { Trouble } from "./trouble.ts";

/** The longest pause before the copy tries again, in milliseconds. */
const LONGEST_PAUSE = 2_000;
const FIRST_PAUSE = 250;
/** How often the copy of a quiet channel looks whether its phase is still the same, in milliseconds. */
const CALM = 5_000;
/** The server sends what waits for the target again after this long, in milliseconds. Nothing needs it. */
const ACK_WAIT = 300_000;
/** More than the headers take, but for a long reply or channel. */
const HEADER_ROOM = 1_024;
/** After so many messages the copy tries whether it may have more under way again. */
const GROW_AFTER = 16 * WINDOW;

/**
 * @internal
 * Copies one channel into its stream. What the stream has is the only state: whatever goes wrong, the copy looks what
 * is there and goes on behind it.
 */
export class ChannelCopy {
  readonly figures: ChannelFigures;
  readonly sender: Sender;
  readonly #ends: Ends;
  readonly #client: Client;
  readonly #route: Route;
  readonly #watch: boolean;
  /** The most bytes under way. */
  readonly #limit: number;
  #maxInFlight = WINDOW;
  #phase: Phase = "mirror";
  /** In the merge phase: what need not be sent. */
  #copied: ReadonlySet<number> = new Set();
  /** The number that must come next. Undefined: nothing was received. */
  #next: number | undefined;
  #subscription: Subscription | undefined;
  /** Counts the subscriptions: messages of earlier ones are not taken. */
  #subscribed = 0;
  /** What waits until nothing is under way. No message is taken meanwhile. */
  #blocked: Trouble | undefined;
  #attention = deferred<Trouble>();
  #maxPayload = 0;
  /** Somebody else has stored messages of this channel: once it may be what an earlier bridge had under way. */
  #overtaken = false;
  #sinceSubscribed = 0;
  #calmSince = elapsed();

  constructor(ends: Ends, client: Client, route: Route, limit: number, watch: boolean) {
    this.#ends = ends;
    this.#client = client;
    this.#route = route;
    this.#limit = limit;
    this.#watch = watch;
    this.figures = new ChannelFigures(route);
    this.sender = new Sender(route, ends.settings.from.clusterId, ends.target.inboxPrefix, {
      stored: (message) => this.#stored(message),
      trouble: (trouble) => this.#attention.resolve(trouble),
    });
  }

  /** Resolves when the end is reached. Rejects with the `BridgeError` that ends the copy. */
  async run(): Promise<void> {
    const { ending } = this.#ends;
    const release = onAbort(() => this.#raise({ kind: "over", error: aborted(ending.reason) }), ending);
    try {
      this.figures.end = await this.#endOfChannel();
      let renew = true;
      for (let attempt = 0; ; attempt++) {
        const before = this.figures.last;
        const trouble = await this.#round(renew);
        this.sender.stop();
        this.#attention = deferred();
        if (ending.aborted) throw aborted(ending.reason);
        if (trouble.kind === "over") throw trouble.error;
        if (trouble.kind === "level") return;
        renew = trouble.kind === "renew" || trouble.kind === "missing";
        if (this.figures.last !== before) attempt = 0;
        this.figures.resyncs++;
        if (trouble.kind === "wait") this.figures.wait(trouble.reason);
        const least = trouble.kind === "wait" ? trouble.delay : 0;
        const pause = attempt === 0 ? 0 : Math.min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE);
        await sleep(Math.max(least, pause), ending);
      }
    } finally {
      release();
      this.sender.stop();
      this.#leave();
    }
  }

  /** Is called about once a second. */
  tick(): void {
    this.sender.tick();
    if (this.sender.count > 0) this.#calmSince = elapsed();
    if (elapsed() - this.#calmSince < CALM) return;
    this.#calmSince = elapsed();
    void this.#lookAtPhase();
  }

  /** Looks what the stream has, goes on behind it, and resolves with what stops it. */
  async #round(renew: boolean): Promise<Trouble> {
    const { target } = this.#ends;
    try {
      const connection = await target.connection();
      // What was sent before is processed.
      await connection.flush();
      this.#maxPayload = connection.maxPayload;
      const info = await this.#stream();
      if (isOpening(info, this.#route)) return { kind: "wait", delay: 500, reason: "the channel is being opened" };
      const subscribeAnew = await this.#synchronize(connection, info);
      if (this.#isLevel()) return { kind: "level" };
      if (renew || subscribeAnew) await this.#subscribe();
      this.sender.start(connection, this.#phase);
      this.#unblock();
      const trouble = await this.#attention.promise;
      this.sender.stop();
      return trouble.kind === "missing" ? await this.#missing(connection) : trouble;
    } catch (error) {
      if (this.#ends.ending.aborted) throw aborted(this.#ends.ending.reason);
      if (error instanceof NatsError) return { kind: "again" };
      throw bridgeError(error, this.#route.channel);
    }
  }

  /** The stream. Makes it if there is none. */
  async #stream(): Promise<StreamInfo> {
    const { target, settings } = this.#ends;
    const { stream, channel } = this.#route;
    const info = await target.stream(stream);
    if (info !== undefined) return info;
    try {
      return await target.createStream(configOf(this.#route, "mirror", settings));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const { nameInUse, overlap } = API_ERRORS;
      if (error.errCode !== nameInUse && error.errCode !== overlap) throw error;
      const remedy = `Give the channel another stream, or another subject, by map: { "${channel}": { … } }.`;
      throw new BridgeError("NAME_TAKEN", channel, `the stream ${stream} cannot be made: ${error.message}`, remedy);
    }
  }

  /** Takes what the stream has off the messages under way. Resolves with true if the subscription must begin anew. */
  async #synchronize(connection: Connection, info: StreamInfo): Promise<boolean> {
    const { target, settings } = this.#ends;
    const phase = phaseOf(info.config, this.#route, settings);
    if (phase === "done") {
      const remedy = "Nothing is left to do: producers and consumers of the channel use JetStream.";
      throw new BridgeError("WRONG_PHASE", this.#route.channel, "its copy is finished", remedy);
    }
    this.#phase = this.figures.phase = phase;
    if (phase === "merge") {
      const { from, copied } = await mergePosition(target, connection, this.#route, info);
      this.#copied = copied;
      if (this.#next === undefined) this.sender.clear();
      else this.sender.remove((sequence) => sequence < from || copied.has(sequence));
      this.#next ??= from;
      return this.#subscription === undefined;
    }
    await removeFillers(target, this.#route, info);
    return await this.#synchronizeMirror(info.state.last_seq);
  }

  async #synchronizeMirror(last: number): Promise<boolean> {
    const { target, ending } = this.#ends;
    const copied = await lastCopied(target, this.#route, last);
    const next = this.#next;
    const isNew = next === undefined;
    if (isNew || last >= next) {
      if (copied !== undefined) await checkChannelIsSame(this.#client, this.#route, copied, ending);
      if (!isNew && last >= next) this.#overtakenBy(last);
    }
    if (isNew && this.figures.from === 0) this.figures.from = last + 1;
    const goesOn = !isNew && last >= this.figures.last && last < next;
    if (goesOn) {
      this.sender.remove((sequence) => sequence <= last);
    } else {
      this.sender.clear();
      this.#next = last + 1;
    }
    this.figures.last = last;
    return !goesOn;
  }

  #overtakenBy(last: number): void {
    if (!this.#overtaken) {
      this.#overtaken = true;
      return;
    }
    const { channel, stream } = this.#route;
    const what = `another bridge copies it: ${stream} has messages up to ${last} that this one did not send`;
    throw new BridgeError("BRIDGE_RUNS", channel, what, "End one of them.");
  }

  /** Reads the channel from the next message on. What is under way stays. */
  async #subscribe(): Promise<void> {
    this.#leave();
    const turn = ++this.#subscribed;
    this.#blocked = undefined;
    this.#sinceSubscribed = 0;
    const take = (message: Message): void => {
      if (turn === this.#subscribed) this.#take(message);
    };
    const startAt = { sequence: this.#next! };
    const options = { startAt, manualAck: true, maxInFlight: this.#maxInFlight, ackWait: ACK_WAIT };
    const subscription = await this.#client.subscribe(this.#route.channel, take, options);
    this.#subscription = subscription;
    void subscription.closed.then((error) => {
      if (error !== undefined) this.#raise({ kind: "over", error: bridgeError(error, this.#route.channel) });
    });
  }

  #leave(): void {
    this.#subscribed++;
    void this.#subscription?.close();
    this.#subscription = undefined;
  }

  #take(message: Message): void {
    if (this.#blocked !== undefined) return;
    const { sequence, timestamp } = message;
    if (sequence === this.#next) this.#takeNext(message);
    else if (sequence > this.#next!) this.#block({ kind: "missing" });
    else if (this.sender.find(sequence)?.timestamp !== timestamp) this.#doubt();
  }

  #takeNext(message: Message): void {
    const { sequence, data, reply } = message;
    if (this.#copied.has(sequence)) {
      this.#next = sequence + 1;
      this.#stored(message);
      return;
    }
    const most = this.#maxPayload;
    if (data.length + reply.length * 3 + HEADER_ROOM > most && this.sender.sizeOf(message) > most) {
      return this.#block({ kind: "over", error: this.#tooLarge(sequence, this.sender.sizeOf(message), most) });
    }
    const { count, bytes } = this.sender;
    const weight = bytes + weightOf(message);
    if (count === WINDOW || (count > 0 && weight > this.#limit)) {
      this.#maxInFlight = Math.max(1, Math.floor((count * this.#limit) / weight / 2));
      return this.#block({ kind: "renew" });
    }
    this.#next = sequence + 1;
    this.sender.add(message);
    if (this.#maxInFlight < WINDOW && ++this.#sinceSubscribed > GROW_AFTER && weight < this.#limit / 8) {
      this.#maxInFlight = Math.min(WINDOW, this.#maxInFlight * 4);
      this.#block({ kind: "renew" });
    }
  }

  /** A message came that the stream has, or another one with its number: the channel may have begun anew. */
  #doubt(): void {
    this.#leave();
    this.#next = undefined;
    this.#raise({ kind: "renew" });
  }

  #stored(message: Message): void {
    message.ack();
    this.figures.stored(message);
    this.#unblock();
    if (this.#isLevel()) this.#raise({ kind: "level" });
  }

  #isLevel(): boolean {
    return !this.#watch && this.figures.last >= this.figures.end;
  }

  #block(trouble: Trouble): void {
    this.#blocked = trouble;
    this.#unblock();
  }

  #unblock(): void {
    if (this.#blocked !== undefined && this.sender.count === 0) this.#raise(this.#blocked);
  }

  #raise(trouble: Trouble): void {
    this.#attention.resolve(trouble);
  }

  /** A message with a later number came. */
  async #missing(connection: Connection): Promise<Trouble> {
    const { target, ending } = this.#ends;
    const next = this.#next!;
    const first = await look(this.#client, this.#route.channel, { sequence: next }, ending);
    if (first === undefined || first.sequence <= next) return { kind: "renew" };
    const last = first.sequence - 1;
    if (this.#phase === "mirror") {
      await fillHole(target, connection, this.#route, target.inboxPrefix, next, last);
    }
    this.figures.hole(next, last);
    this.#next = first.sequence;
    return { kind: "renew" };
  }

  async #endOfChannel(): Promise<number> {
    const { monitor, ending } = this.#ends;
    const { channel } = this.#route;
    const page = await monitor?.channel(channel);
    if (page !== undefined) return page.last_seq;
    return (await look(this.#client, channel, "lastReceived", ending))?.sequence ?? 0;
  }

  async #lookAtPhase(): Promise<void> {
    const { target, settings } = this.#ends;
    try {
      const info = await target.stream(this.#route.stream);
      if (info === undefined || phaseOf(info.config, this.#route, settings) !== this.#phase) {
        this.#raise({ kind: "again" });
      }
    } catch {
      // The next round says what is wrong.
      this.#raise({ kind: "again" });
    }
  }

  #tooLarge(sequence: number, size: number, most: number): BridgeError {
    const what = `message ${sequence} has ${size} bytes with its headers, and the target takes ${most}`;
    const remedy = "Raise max_payload in the target's configuration, and start the same command again.";
    return new BridgeError("TOO_LARGE", this.#route.channel, what, remedy);
  }
}
