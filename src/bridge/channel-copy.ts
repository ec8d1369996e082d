import { deferred, onAbort, sleep } from "../core-nats/async.ts";
import { elapsed } from "../core-nats/clock.ts";
import type { Connection } from "../core-nats/connection.ts";
import { NatsError } from "../core-nats/errors.ts";
import { NO_BYTES } from "../core-nats/text.ts";
import type { Client, Message, Subscription } from "../index.ts";
import type { ChannelProgress } from "./copy-report.ts";
import { bridgeError } from "./ends.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import { look } from "./look.ts";
import { checkChannelIsSame, mergePosition, mirrorPosition } from "./position.ts";
import { Sender, troubleOf, weightOf, WINDOW } from "./sender.ts";
import type { Outgoing, Trouble } from "./sender.ts";
import { configOf, phaseOf } from "./stream.ts";
import type { Phase, Route } from "./stream.ts";
import { API_ERRORS, ApiError } from "./target.ts";
import type { StreamInfo } from "./target.ts";

/** The first and the longest pause before the copy tries again, in milliseconds. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 2_000;
/** How often the copy of a quiet channel looks around, in milliseconds. */
const QUIET = 5_000;
/** The server sends what waits for the target again after this long, in milliseconds. Nothing needs it. */
const ACK_WAIT = 300_000;
/** After so many messages the copy tries whether it may have more in flight again. */
const GROW_AFTER = 16 * WINDOW;
/** How many fillers are sent before they are removed. */
const FILLERS = 1_000;

const AGAIN: Trouble = { kind: "again" };

/**
 * @internal
 * Copies one channel into its stream. What the stream has is the only state: whatever goes wrong, the copy looks what
 * is there and goes on behind it.
 */
export class ChannelCopy {
  readonly sender: Sender;
  readonly #ends: Ends;
  readonly #client: Client;
  readonly #route: Route;
  readonly #watch: boolean;
  /** The most bytes under way. */
  readonly #limit: number;
  readonly #figures = { last: 0, end: 0, copied: 0, bytes: 0, from: 0, holes: 0, missing: 0, resyncs: 0 };
  #phase: Phase = "mirror";
  #waiting: string | undefined;
  #error: BridgeError | undefined;
  #ended = false;
  /** The number that must come next. Undefined: that is looked for. */
  #next: number | undefined;
  /** The highest number that this copy has taken, or that was there when it began. */
  #highest = -1;
  /** In the merge phase: numbers from `next` on that the stream has. */
  #copied: ReadonlySet<number> = new Set();
  /** The next message may be missing in the channel: a later one has come. */
  #gap = false;
  /** Where the channel ended when it was seen without any messages. */
  #emptyAt = 0;
  /** The last of the numbers, from `next` on, that the channel is known not to have. 0: there are none. */
  #holeEnd = 0;
  #subscription: Subscription | undefined;
  /** Counts the subscriptions: messages of earlier ones are not taken. */
  #subscribed = 0;
  #maxInFlight = WINDOW;
  /** How many messages have come since `maxInFlight` was changed. */
  #taken = 0;
  /** Nothing more is taken until nothing is under way. */
  #blocked = false;
  #attention = deferred<Trouble>();
  #quietSince = elapsed();
  #isLooking = false;

  constructor(ends: Ends, client: Client, route: Route, limit: number, watch: boolean) {
    this.#ends = ends;
    this.#client = client;
    this.#route = route;
    this.#limit = limit;
    this.#watch = watch;
    this.sender = new Sender(route, ends.settings.from.clusterId, ends.target.inboxPrefix, {
      stored: (message) => this.#stored(message),
      trouble: (trouble) => {
        this.#figures.resyncs++;
        this.#raise(trouble);
      },
    });
  }

  get progress(): ChannelProgress {
    const { channel, stream } = this.#route;
    const { last, end } = this.#figures;
    const moving = last >= end ? "level" : this.#waiting === undefined ? "copying" : "waiting";
    const state = this.#ended ? "ended" : moving;
    const { code, message, remedy } = this.#error ?? {};
    return {
      ...{ channel, stream, phase: this.#phase, ...this.#figures, end: Math.max(end, last), state },
      ...(state === "waiting" && { waiting: this.#waiting! }),
      ...(code !== undefined && { error: { code, message: message!, remedy: remedy! } }),
    };
  }

  /** Resolves when the copy has ended: at the channel's end, by the caller, or by an error, which `progress` has. */
  async run(): Promise<void> {
    const { ending } = this.#ends;
    const release = onAbort(() => this.#raise(AGAIN), ending);
    try {
      this.#figures.end = await this.#endOfChannel();
      for (let attempt = 0; !ending.aborted; attempt++) {
        const { last } = this.#figures;
        const trouble = await this.#round();
        this.sender.stop();
        this.#attention = deferred();
        if (trouble.kind === "level") return;
        if (trouble.kind === "over") throw trouble.error;
        const isWait = trouble.kind === "wait";
        this.#waiting = isWait ? trouble.reason : undefined;
        if (this.#figures.last !== last) attempt = 0;
        const pause = attempt === 0 ? 0 : Math.min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE);
        await sleep(isWait ? Math.max(trouble.delay, pause) : pause, ending);
      }
    } catch (error) {
      if (!ending.aborted) this.#error = bridgeError(error, this.#route.channel);
    } finally {
      release();
      this.sender.stop();
      this.#leave();
      this.#ended = true;
    }
  }

  /** Is called about once a second. */
  tick(): void {
    this.sender.tick();
    if (this.sender.count > 0) this.#quietSince = elapsed();
    if (this.#ended || this.#isLooking || elapsed() - this.#quietSince < QUIET) return;
    this.#isLooking = true;
    void this.#lookAround().then((trouble) => {
      this.#isLooking = false;
      this.#quietSince = elapsed();
      if (trouble !== undefined) this.#raise(trouble);
    });
  }

  /** Looks what the stream has, goes on behind it, and resolves with what stops it. */
  async #round(): Promise<Trouble> {
    const { target, ending } = this.#ends;
    try {
      const connection = await target.connection();
      // What was sent before is processed.
      await connection.flush();
      const info = await this.#stream();
      await this.#synchronize(connection, info);
      if (this.#isLevel() || this.#phase === "done") return { kind: "level" };
      if (this.#gap || this.#emptyAt >= this.#next!) await this.#lookForNext();
      if (this.#holeEnd > 0) return await this.#fill(connection, info);
      if (this.#subscription === undefined) await this.#subscribe();
      this.sender.start(connection, this.#phase === "mirror" ? "door" : "mergeDoor");
      this.#unblock();
      return await this.#attention.promise;
    } catch (error) {
      if (ending.aborted) throw error;
      this.#figures.resyncs++;
      if (error instanceof NatsError) return AGAIN;
      if (error instanceof ApiError) return troubleOf(this.#route.channel, error);
      const { code, message } = bridgeError(error, this.#route.channel);
      const passes = code === "TARGET_UNREACHABLE" || code === "NO_JETSTREAM" || code === "NO_MONITOR";
      if (passes && this.#next !== undefined) return { kind: "wait", delay: 0, reason: message };
      throw error;
    }
  }

  /** The stream. Makes it if there is none. */
  async #stream(): Promise<StreamInfo> {
    const { target, settings } = this.#ends;
    const { stream, channel } = this.#route;
    const info = await target.stream(stream);
    if (info !== undefined) return info;
    try {
      return await target.createStream(configOf(this.#route, settings));
    } catch (error) {
      const { nameInUse, overlap } = API_ERRORS;
      if (!(error instanceof ApiError) || (error.errCode !== nameInUse && error.errCode !== overlap)) throw error;
      const remedy = `Give the channel another stream, or another subject, by map: { "${channel}": { … } }.`;
      throw new BridgeError("NAME_TAKEN", channel, `the stream ${stream} cannot be made: ${error.message}`, remedy);
    }
  }

  /** Takes what the stream has off the messages under way, or begins anew behind it. */
  async #synchronize(connection: Connection, info: StreamInfo): Promise<void> {
    const { target, settings, ending } = this.#ends;
    const { channel, stream } = this.#route;
    const figures = this.#figures;
    const phase = phaseOf(info.config, this.#route, settings);
    this.#phase = phase;
    if (phase === "done") {
      // `finish` has compared all while this copy ran.
      if (this.#next !== undefined) return;
      const remedy = "Nothing is left to do: producers and consumers of the channel use JetStream.";
      throw new BridgeError("WRONG_PHASE", channel, "its copy is finished", remedy);
    }
    const { last, from, copied, newest } = phase === "mirror"
      ? await mirrorPosition(target, this.#route, info)
      : await mergePosition(this.#ends, this.#client, connection, this.#route, info);
    if (this.#highest < 0) {
      this.#highest = last;
      figures.from = from;
    }
    const isOvertaken = last > this.#highest;
    if (newest !== undefined && (isOvertaken || this.#next === undefined)) {
      await checkChannelIsSame(this.#client, this.#route, newest, ending);
    }
    // Up to one window may be what an earlier bridge had under way.
    if (isOvertaken && last >= figures.from + WINDOW) {
      const what = `another bridge copies it: ${stream} has messages up to ${last} that this one did not send`;
      throw new BridgeError("BRIDGE_RUNS", channel, what, "End one of them.");
    }
    const goesOn = this.#next !== undefined && last < this.#next && last >= figures.last && this.#holeEnd === 0;
    figures.last = last;
    this.#copied = copied;
    if (last >= this.#holeEnd) this.#holeEnd = 0;
    if (goesOn) return this.sender.remove((sequence) => sequence < from || copied.has(sequence));
    this.sender.clear();
    this.#leave();
    this.#next = from;
  }

  /** Reads the channel from the next message on. */
  async #subscribe(): Promise<void> {
    const turn = ++this.#subscribed;
    this.#blocked = false;
    this.#taken = 0;
    const take = (message: Message): void => {
      if (turn === this.#subscribed) this.#take(message);
    };
    const startAt = { sequence: this.#next! };
    const options = { startAt, manualAck: true, maxInFlight: this.#maxInFlight, ackWait: ACK_WAIT };
    const subscription = await this.#client.subscribe(this.#route.channel, take, options);
    // It may be over already: messages can come before it is there.
    if (turn !== this.#subscribed) return void subscription.close();
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
    const { sequence } = message;
    if (sequence > this.#figures.end) this.#figures.end = sequence;
    if (sequence !== this.#next) return this.#takeOther(message);
    if (this.#copied.has(sequence)) {
      this.#next = sequence + 1;
      message.ack();
      return;
    }
    const { count, bytes } = this.sender;
    if (count === WINDOW || (count > 0 && bytes + weightOf(message) > this.#limit)) {
      this.#maxInFlight = Math.max(1, count >> 1);
      return this.#block();
    }
    this.#next = sequence + 1;
    if (sequence > this.#highest) this.#highest = sequence;
    this.sender.add(message);
    if (++this.#taken < GROW_AFTER || this.#maxInFlight === WINDOW) return;
    this.#maxInFlight = WINDOW;
    this.#block();
  }

  #takeOther({ sequence, timestamp }: Message): void {
    if (sequence > this.#next!) {
      this.#gap = true;
      this.#block();
    } else if (this.sender.find(sequence)?.timestamp !== timestamp) {
      // The stream has it, or another one with its number: the channel may have begun anew.
      this.#next = undefined;
      this.#block();
    }
  }

  #stored(message: Outgoing): void {
    const figures = this.#figures;
    message.ack();
    if (message.sequence > figures.last) figures.last = message.sequence;
    this.#waiting = undefined;
    if (this.#holeEnd === 0) {
      figures.copied++;
      figures.bytes += message.data.length;
    } else if (this.sender.count === 0) this.#raise(AGAIN);
    this.#unblock();
    if (this.#isLevel()) this.#raise({ kind: "level" });
  }

  #isLevel(): boolean {
    return !this.#watch && this.#figures.last >= this.#figures.end;
  }

  #block(): void {
    this.#leave();
    this.#blocked = true;
    this.#unblock();
  }

  #unblock(): void {
    if (this.#blocked && this.sender.count === 0) this.#raise(AGAIN);
  }

  #raise(trouble: Trouble): void {
    this.#attention.resolve(trouble);
  }

  /** Looks which is the first message that the channel has from the next number on. */
  async #lookForNext(): Promise<void> {
    const [next, emptyAt] = [this.#next!, this.#emptyAt];
    // One page does not tell all at one time: a message may have been stored between its figures. Two pages do.
    const isEmpty = emptyAt > 0 && (await this.#endOfChannel()) === emptyAt && this.#emptyAt === emptyAt;
    this.#gap = false;
    this.#emptyAt = 0;
    const found = isEmpty ? emptyAt + 1 : ((await this.#look({ sequence: next }))?.sequence ?? next);
    if (found <= next) return;
    this.#figures.holes++;
    this.#figures.missing += found - next;
    if (this.#phase === "mirror") this.#holeEnd = found - 1;
    else this.#next = found;
  }

  /**
   * Makes the next numbers deleted ones in the stream. An empty stream is told to begin behind them. Else fillers take
   * them, which the next round removes.
   */
  async #fill(connection: Connection, { state }: StreamInfo): Promise<Trouble> {
    const [from, to] = [this.#next!, this.#holeEnd];
    if (state.messages === 0) {
      await this.#ends.target.purge(this.#route.stream, { seq: to + 1 });
      return AGAIN;
    }
    for (let sequence = from; sequence <= Math.min(to, from + FILLERS - 1); sequence++) {
      this.sender.add({ sequence, timestamp: 0n, data: NO_BYTES, reply: "", ack: () => true });
    }
    this.#highest = Math.max(this.#highest, to);
    this.sender.start(connection, "hole");
    return await this.#attention.promise;
  }

  /** Nothing was under way for some time: looks whether the phase, or the channel's end, is another one now. */
  async #lookAround(): Promise<Trouble | undefined> {
    const { target, settings, monitor } = this.#ends;
    const figures = this.#figures;
    try {
      const info = await target.stream(this.#route.stream);
      if (info === undefined || phaseOf(info.config, this.#route, settings) !== this.#phase) return AGAIN;
      if (this.#watch && monitor === undefined) return undefined;
      const end = await this.#endOfChannel();
      figures.end = this.#watch ? Math.max(end, figures.last) : Math.min(end, figures.end);
      if (this.#emptyAt > figures.last) this.#leave();
      return this.#subscription === undefined || this.#isLevel() ? AGAIN : undefined;
    } catch {
      // The next round says what is wrong.
      return AGAIN;
    }
  }

  /** The number of the channel's last message. 0: there is none. */
  async #endOfChannel(): Promise<number> {
    const { monitor } = this.#ends;
    const { channel } = this.#route;
    if (monitor === undefined) return (await this.#look("lastReceived"))?.sequence ?? 0;
    const page = await monitor.channel(channel);
    if (page === undefined) {
      const remedy = "Check its name, and that from.monitor is the page of the server in charge.";
      throw new BridgeError("UNKNOWN_CHANNEL", channel, "the source has no such channel", remedy);
    }
    this.#emptyAt = page.msgs === 0 ? page.last_seq : 0;
    return page.last_seq;
  }

  #look(startAt: "lastReceived" | { sequence: number }): Promise<Message | undefined> {
    return look(this.#client, this.#route.channel, startAt, this.#ends.ending);
  }
}
