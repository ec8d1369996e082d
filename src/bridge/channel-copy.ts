import { deferred, onAbort, settled, sleep } from "../core-nats/async.ts";
import { elapsed } from "../core-nats/clock.ts";
import type { Connection } from "../core-nats/connection.ts";
import { NatsError } from "../core-nats/errors.ts";
import { NO_BYTES } from "../core-nats/text.ts";
import type { Client, Message, Subscription } from "../index.ts";
import type { ChannelProgress } from "./copy-report.ts";
import { bridgeError } from "./ends.ts";
import type { Ends } from "./ends.ts";
import { BridgeError, failureOf } from "./errors.ts";
import { look } from "./look.ts";
import { checkChannelIsSame, mergePosition, mirrorPosition } from "./position.ts";
import type { Position } from "./position.ts";
import { AGAIN, OVERHEAD, Sender, troubleOf, weightOf, WINDOW } from "./sender.ts";
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

/**
 * @internal
 * Copies one channel into its stream, in rounds. What the stream has is the only state: whatever goes wrong, the next
 * round looks what is there, and reads the channel from behind it.
 */
export class ChannelCopy {
  readonly #ends: Ends;
  readonly #client: Client;
  readonly #route: Route;
  readonly #watch: boolean;
  /** The copy ends with this number. */
  #goal = Infinity;
  /** The most bytes under way. */
  readonly #limit: number;
  readonly #figures = { last: 0, end: 0, copied: 0, bytes: 0, from: 0, holes: 0, missing: 0, resyncs: 0 };
  #phase: Phase = "mirror";
  #waiting: string | undefined;
  #error: BridgeError | undefined;
  #ended = false;
  /** The highest number that was taken, or was there at the start. */
  #highest = -1;
  /** Up to here the stream may get messages from an earlier bridge, which had at most one window under way. */
  #othersEnd = 0;
  /** In the merge phase: all up to here is stored, or missing in the channel. */
  #done = 0;
  /** The last number that the stream has confirmed. */
  #confirmed = 0;
  /** The next message may be missing in the channel: a later one has come. */
  #gap = false;
  /** Where the channel ended when it was seen without any messages. */
  #emptyAt = 0;
  /** The first and the last of the numbers that the channel is known not to have. */
  #hole: readonly [from: number, to: number] = [0, 0];
  #maxInFlight = WINDOW;
  /** What is under way, if something may be. */
  sender: Sender | undefined;
  /** What ends the round, and whether it has come: nothing more is taken then. */
  #stopping = deferred<Trouble>();
  #isStopping = false;
  #quietSince = elapsed();
  #isLooking = false;

  constructor(ends: Ends, client: Client, route: Route, limit: number, watch: boolean) {
    this.#ends = ends;
    this.#client = client;
    this.#route = route;
    this.#limit = limit;
    this.#watch = watch;
  }

  get progress(): ChannelProgress {
    const { channel, stream } = this.#route;
    const { last, end } = this.#figures;
    const isAway = this.#client.state !== "registered";
    const waiting = isAway ? "the source is away" : this.#waiting;
    const state = this.#ended ? "ended" : waiting !== undefined ? "waiting" : last >= end ? "level" : "copying";
    return {
      ...{ channel, stream, phase: this.#phase, ...this.#figures, end: Math.max(end, last), state },
      ...(state === "waiting" && { waiting: waiting! }),
      ...(this.#error && { error: failureOf(this.#error) }),
    };
  }

  /** Resolves when the copy has ended: at the channel's end, by the caller, or by an error, which `progress` has. */
  async run(): Promise<void> {
    const { ending } = this.#ends;
    const release = onAbort(() => this.stop(), ending);
    try {
      this.#figures.end = await this.#endOfChannel();
      if (!this.#watch) this.#goal = this.#figures.end;
      for (let attempt = 0; !ending.aborted; attempt++) {
        const { last } = this.#figures;
        this.#stopping = deferred();
        this.#isStopping = false;
        const trouble = await this.#round();
        if (trouble === undefined) return;
        if (trouble instanceof BridgeError) throw trouble;
        this.#waiting = trouble.reason;
        if (this.#figures.last !== last) attempt = 0;
        const pause = attempt === 0 ? 0 : Math.min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE);
        await sleep(Math.max(trouble.delay, pause), ending);
      }
    } catch (error) {
      if (!ending.aborted) this.#error = bridgeError(error, this.#route.channel);
    } finally {
      release();
      this.#ended = true;
    }
  }

  /** Ends the round, after which another one begins, unless the trouble is an error. */
  stop(trouble = AGAIN): void {
    this.#isStopping = true;
    this.#stopping.resolve(trouble);
  }

  /** Is called about once a second. */
  tick(): void {
    this.sender?.tick();
    if ((this.sender?.count ?? 0) > 0) this.#quietSince = elapsed();
    if (this.#ended || this.#isLooking || elapsed() - this.#quietSince < QUIET) return;
    this.#isLooking = true;
    void this.#lookAround().then((goesOn) => {
      this.#isLooking = false;
      this.#quietSince = elapsed();
      if (!goesOn) this.stop();
    });
  }

  /** Looks what the stream has, goes on behind it, and resolves with what stops it. Undefined: the copy is done. */
  async #round(): Promise<Trouble | undefined> {
    const { target, ending } = this.#ends;
    try {
      const connection = await target.connection();
      // What was sent before is processed.
      await connection.flush();
      const info = await this.#stream();
      const position = await this.#position(info);
      if (position === undefined || this.#isLevel()) return undefined;
      const { from } = position;
      const isInHole = (): boolean => from >= this.#hole[0] && from <= this.#hole[1];
      if (!isInHole() && (this.#gap || this.#emptyAt >= from)) await this.#lookFor(from);
      return isInHole() ? await this.#pass(connection, info, from) : await this.#transfer(connection, position);
    } catch (error) {
      if (ending.aborted) throw error;
      this.#figures.resyncs++;
      if (error instanceof NatsError) return { delay: 0, reason: error.reason };
      if (error instanceof ApiError) return troubleOf(this.#route.channel, error);
      const { code, message } = bridgeError(error, this.#route.channel);
      const passes = code === "TARGET_UNREACHABLE" || code === "NO_JETSTREAM" || code === "NO_MONITOR";
      if (passes && this.#highest >= 0) return { delay: 0, reason: message };
      throw error;
    } finally {
      this.sender?.close();
      this.sender = undefined;
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

  /** Where to go on. Undefined: the copy is finished. */
  async #position(info: StreamInfo): Promise<Position | undefined> {
    const { channel, stream } = this.#route;
    const figures = this.#figures;
    this.#phase = phaseOf(info.config, this.#route, this.#ends.settings);
    if (this.#phase === "done") {
      // `finish` has compared all while this copy ran.
      if (this.#highest >= 0) return undefined;
      const remedy = "Nothing is left to do: producers and consumers of the channel use JetStream.";
      throw new BridgeError("WRONG_PHASE", channel, "its copy is finished", remedy);
    }
    const isMirror = this.#phase === "mirror";
    const position = isMirror
      ? await mirrorPosition(this.#ends, this.#route, info)
      : await mergePosition(this.#ends, this.#client, this.#route, info);
    const { last, copied, newest } = position;
    // A look at an empty channel takes seconds, and a hole many rounds: this one is known, or is looked for next.
    const isHole = (last >= this.#hole[0] && last <= this.#hole[1]) || last < this.#emptyAt;
    if (newest !== undefined && !isHole) await checkChannelIsSame(this.#ends, this.#client, this.#route, newest);
    if (this.#highest >= 0 && last > Math.max(this.#highest, this.#othersEnd)) {
      const what = `another bridge copies it: ${stream} has messages up to ${last} that this one did not send`;
      throw new BridgeError("BRIDGE_RUNS", channel, what, "End one of them.");
    }
    // The stream may have gone back, after a power cut.
    if (isMirror || last < this.#confirmed) this.#done = this.#confirmed = 0;
    let from = Math.max(position.from, this.#done + 1);
    while (copied?.has(from)) from++;
    if (this.#highest < 0) {
      figures.from = from;
      this.#othersEnd = last + WINDOW;
    } else if (isMirror && last > this.#hole[1]) {
      // What was sent, and is stored, but its ack was lost.
      figures.copied += Math.max(0, last - figures.last);
    }
    this.#highest = Math.max(this.#highest, last);
    figures.last = from - 1;
    if (figures.last >= figures.end) this.#waiting = undefined;
    return { ...position, from };
  }

  /** Copies messages until something stops it. */
  async #transfer(connection: Connection, { from, copied }: Position): Promise<Trouble> {
    const figures = this.#figures;
    // What stops it may have come while the position was looked for.
    let [next, taken, isBlocked] = [from, 0, this.#isStopping];
    let subscription: Subscription | undefined;
    /** Takes nothing more, and ends the round when all that was taken is stored. */
    const block = (): void => {
      isBlocked = true;
      void subscription?.close();
      if (sender.count > 0) return;
      this.#done = next - 1;
      this.stop();
    };
    const take = (message: Message): void => {
      if (isBlocked || this.#isStopping) return;
      const { sequence } = message;
      if (sequence > figures.end) figures.end = sequence;
      if (sequence !== next) {
        // Earlier ones are there already, or the channel is another one.
        this.#gap = sequence > next;
        return block();
      }
      if (copied?.has(sequence)) {
        next++;
        return void message.ack();
      }
      const { count, bytes } = sender;
      if (count === WINDOW || (count > 0 && bytes + weightOf(message) > this.#limit)) {
        this.#maxInFlight = Math.max(1, count >> 1);
        return block();
      }
      next++;
      if (sequence > this.#highest) this.#highest = sequence;
      sender.add(message);
      if (++taken < GROW_AFTER || this.#maxInFlight === WINDOW) return;
      this.#maxInFlight = WINDOW;
      block();
    };
    const sender = this.#start(connection, this.#phase === "mirror" ? "door" : "mergeDoor", (message) => {
      message.ack();
      figures.last = this.#confirmed = message.sequence;
      while (copied?.has(figures.last + 1)) figures.last++;
      figures.copied++;
      figures.bytes += message.data.length;
      this.#waiting = undefined;
      if (isBlocked) block();
      if (this.#isLevel()) this.stop();
    });
    const startAt = { sequence: from };
    const options = { startAt, manualAck: true, maxInFlight: this.#maxInFlight, ackWait: ACK_WAIT };
    const subscribing = this.#client.subscribe(this.#route.channel, take, options);
    // It waits while the source is away.
    if (!(await settled(subscribing, this.#ends.ending))) return AGAIN;
    subscription = await subscribing;
    void subscription.closed.then((error) => {
      if (error !== undefined) this.stop(bridgeError(error, this.#route.channel));
    });
    const trouble = await this.#stopping.promise;
    isBlocked = true;
    void subscription.close();
    return trouble;
  }

  #start(connection: Connection, to: "door" | "hole" | "mergeDoor", stored: (message: Outgoing) => void): Sender {
    const { settings, target } = this.#ends;
    const stopped = (trouble: Trouble): void => {
      this.#figures.resyncs++;
      this.stop(trouble);
    };
    const { clusterId } = settings.from;
    this.sender = new Sender(connection, this.#route, to, clusterId, target.inboxPrefix, { stored, stopped });
    return this.sender;
  }

  #isLevel(): boolean {
    return this.#figures.last >= this.#goal;
  }

  /** Looks which is the first message that the channel has from a number on. */
  async #lookFor(from: number): Promise<void> {
    const emptyAt = this.#emptyAt;
    // One page does not tell all at one time: a message may have been stored between its figures. Two pages do.
    const isEmpty = emptyAt > 0 && (await this.#endOfChannel()) === emptyAt && this.#emptyAt === emptyAt;
    this.#gap = false;
    this.#emptyAt = 0;
    const found = isEmpty ? emptyAt + 1 : ((await this.#look({ sequence: from }))?.sequence ?? from);
    if (found <= from) return;
    this.#figures.holes++;
    this.#figures.missing += found - from;
    this.#hole = [from, found - 1];
  }

  /**
   * Passes numbers that the channel does not have: in the mirror they become deleted ones. An empty stream is told to
   * begin behind them. Else fillers take them, which the next round removes.
   */
  async #pass(connection: Connection, { state }: StreamInfo, from: number): Promise<Trouble> {
    const to = this.#hole[1];
    this.#highest = Math.max(this.#highest, to);
    if (this.#phase === "merge") {
      this.#done = to;
      return AGAIN;
    }
    if (state.messages === 0) {
      await this.#ends.target.purge(this.#route.stream, { seq: to + 1 });
      return AGAIN;
    }
    const sender = this.#start(connection, "hole", () => sender.count > 0 || this.stop());
    for (let sequence = from; sequence <= Math.min(to, from + FILLERS - 1); sequence++) {
      sender.add({ sequence, timestamp: 0n, data: NO_BYTES, reply: "", ack: () => true });
    }
    return await this.#stopping.promise;
  }

  /** Nothing was under way for some time. Resolves with whether phase and end of the channel are as known. */
  async #lookAround(): Promise<boolean> {
    const { target, settings, monitor } = this.#ends;
    const figures = this.#figures;
    try {
      const info = await target.stream(this.#route.stream);
      if (info === undefined || phaseOf(info.config, this.#route, settings) !== this.#phase) return false;
      if (this.#watch && monitor === undefined) return true;
      const end = await this.#endOfChannel();
      figures.end = Math.max(end, figures.last);
      // The last messages may be gone.
      if (end < this.#goal && !this.#watch) this.#goal = end;
      return this.#emptyAt <= figures.last && !this.#isLevel();
    } catch {
      // The next round says what is wrong.
      return false;
    }
  }

  /** The number of the channel's last message. 0: there is none. */
  async #endOfChannel(): Promise<number> {
    const { monitor, ending } = this.#ends;
    const { channel } = this.#route;
    if (monitor === undefined) return (await this.#look("lastReceived"))?.sequence ?? 0;
    let page = await monitor.channel(channel);
    while (page === undefined) {
      // A server that starts knows no channel yet. It has started once it knows the client.
      const { ready } = this.#client;
      await sleep(FIRST_PAUSE, ending);
      page = await monitor.channel(channel);
      if (page !== undefined || !ready || !this.#client.ready) continue;
      const remedy = "Check its name, and that from.monitor is the page of the server in charge.";
      throw new BridgeError("UNKNOWN_CHANNEL", channel, "the source has no such channel", remedy);
    }
    const { msgs, bytes, last_seq } = page;
    this.#emptyAt = msgs === 0 ? last_seq : 0;
    // More bytes than may be under way are not even asked for.
    const fitting = Math.floor(this.#limit / (bytes / msgs + OVERHEAD));
    if (msgs > 0) this.#maxInFlight = Math.max(1, Math.min(WINDOW, fitting));
    return last_seq;
  }

  #look(startAt: "lastReceived" | { sequence: number }): Promise<Message | undefined> {
    return look(this.#client, this.#route.channel, startAt, this.#ends.ending);
  }
}
