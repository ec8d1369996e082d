import { sleep } from "../core-nats/async.ts";
import { encoder } from "../core-nats/text.ts";
import type { Client } from "../index.ts";
import { bad, boolean, checkChannel, integer, name, seconds } from "../streaming/checks.ts";
import {
  consumerName,
  durablesOf,
  findConsumer,
  isMoved,
  longName,
  metadataOf,
  MOVED,
  stillConnected,
  title,
} from "./durable.ts";
import type { Durable, Place } from "./durable.ts";
import { withEnds } from "./ends.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import { look } from "./look.ts";
import { beforeReturn, moveBack } from "./move-back.ts";
import { checkBridgeOptions } from "./options.ts";
import type { BridgeOptions } from "./options.ts";
import { PACE, pageOf, pageOfDurable, Patience, positionByLook, unacknowledgedOf } from "./durable-position.ts";
import type { MoveReport } from "./move-report.ts";
import type { Position } from "./durable-position.ts";
import { pull } from "./pull.ts";
import { copyIn, NANOSECONDS_PER_MILLISECOND, routeOf } from "./stream.ts";
import type { Route } from "./stream.ts";
import { API_ERRORS, ApiError } from "./target.ts";
import type { ConsumerInfo } from "./target.ts";

/** How long a copy that makes no progress is waited for, in milliseconds. */
const COPY_PATIENCE = 8_000;
const ACK = encoder.encode("+ACK");
const NAK = encoder.encode("-NAK");

/** Options of {@link move}. */
export interface MoveOptions extends Omit<BridgeOptions, "channels"> {
  channel: string;
  durable: string;
  /** The client ID that the durable belongs to. A durable queue group has {@link queue} in its place. */
  client?: string | undefined;
  /** The queue group. */
  queue?: string | undefined;
  /**
   * How long JetStream waits for an ack, in milliseconds: whole seconds. Default: as the monitoring page shows it, or
   * 30,000.
   */
  ackWait?: number | undefined;
  /**
   * The most messages that are handed out and not acknowledged, to all members of a group together. Default: as the
   * monitoring page shows it, or 1,024.
   */
  maxInFlight?: number | undefined;
  /** True: nothing is changed. The report says what would be done. Default false. */
  dryRun?: boolean | undefined;
  /** True: from JetStream back to the streaming server. Default false. */
  back?: boolean | undefined;
}

/**
 * Moves a durable, or a durable queue group, to a consumer of the channel's copy: what was acknowledged stays so, and
 * all else comes once, in the order of the numbers. Its consumers must have left, best by `drain()`, and start in
 * JetStream when this has resolved. The position in the streaming server stays as it is: there is a way back.
 *
 * After an error, or an end at any moment, the same call begins anew: a consumer counts only when it is complete. If
 * the durable is moved already, nothing is done. With {@link MoveOptions.back} all that was acknowledged in JetStream
 * is acknowledged in the streaming server, and the consumer is deleted; this needs {@link Source.monitor}.
 *
 * Rejects with a `TypeError` if an option is wrong, before anything is sent, or with a {@link BridgeError}, among
 * others `CONSUMER_CONNECTED` while a consumer is connected, `NOT_LEVEL` if the copy lacks messages that the durable
 * was sent, `UNKNOWN_DURABLE`, `WRONG_PHASE` unless the copy is in the phase "mirror", and `NAME_TAKEN`.
 */
export async function move(options: MoveOptions): Promise<MoveReport> {
  const names = ["channel", "durable", "client", "queue", "ackWait", "maxInFlight", "dryRun", "back"];
  const settings = checkBridgeOptions("move", options, names);
  const { channel, durable, client, queue } = options;
  checkChannel(channel, "channel");
  name("durable", durable);
  if ((client === undefined) === (queue === undefined)) {
    bad("client", "must be given for a durable, or else queue for a durable queue group, but not both", client);
  }
  name(client === undefined ? "queue" : "client", (client ?? queue)!);
  const back = boolean("back", options.back);
  const wishes = {
    dryRun: boolean("dryRun", options.dryRun),
    ackWait: options.ackWait === undefined ? undefined : seconds("ackWait", options.ackWait, 30_000),
    maxInFlight: options.maxInFlight && integer("maxInFlight", options.maxInFlight, 1, 1, 65_536),
  };
  return await withEnds(
    settings,
    async (ends) => {
      const route = routeOf(channel, settings);
      const place = {
        route,
        cluster: settings.from.clusterId,
        who: client === undefined ? { durable, queue } : { durable, client },
      };
      await copyIn(ends, route, ["mirror"]);
      const found = await findConsumer(ends.target, place);
      if (back) return await moveBack(ends, place, found, wishes.dryRun);
      return await new Move(ends, place, wishes).run(found);
    },
    channel,
  );
}

interface Wishes {
  readonly dryRun: boolean;
  readonly ackWait: number | undefined;
  readonly maxInFlight: number | undefined;
}

class Move {
  readonly #ends: Ends;
  readonly #place: Place;
  readonly #route: Route;
  readonly #who: Durable;
  readonly #wishes: Wishes;
  #looking: Client | undefined;

  constructor(ends: Ends, place: Place, wishes: Wishes) {
    this.#ends = ends;
    this.#place = place;
    this.#route = place.route;
    this.#who = place.who;
    this.#wishes = wishes;
  }

  async run(found: ConsumerInfo | undefined): Promise<MoveReport> {
    const { dryRun } = this.#wishes;
    if (found !== undefined && isMoved(found)) return await this.#movedBefore(found);
    const { position, ...facts } = await this.#position();
    const { lastSent, unacknowledged } = position;
    if (found !== undefined && found.delivered.stream_seq > lastSent) throw this.#inUse(found.name);
    const consumer = await this.#freeName(found);
    const report = this.#report({ ...facts, changed: true, consumer, lastSent, unacknowledged });
    if (dryRun) return report;
    await this.#waitUntilCopied(lastSent);
    if (found !== undefined) await this.#ends.target.deleteConsumer(this.#route.stream, found.name);
    await this.#make(report, position);
    return report;
  }

  async #movedBefore({ name, config, delivered, num_ack_pending }: ConsumerInfo): Promise<MoveReport> {
    const whole = beforeReturn(config);
    // A way back has not come to its end.
    if (whole !== config && !this.#wishes.dryRun) {
      await this.#ends.target.putConsumer("update", this.#route.stream, whole);
    }
    const { ack_wait = 0, max_ack_pending: maxInFlight = 0 } = whole;
    const facts = { lastSent: delivered.stream_seq, pending: num_ack_pending, maxInFlight, by: "page" as const };
    const ackWait = ack_wait / NANOSECONDS_PER_MILLISECOND;
    return this.#report({ ...facts, ackWait, changed: false, consumer: name });
  }

  async #position(): Promise<Pick<MoveReport, "by" | "ackWait" | "maxInFlight" | "pending"> & { position: Position }> {
    const ends = this.#ends;
    const { dryRun, ...wishes } = this.#wishes;
    const { channel } = this.#route;
    if (ends.monitor === undefined && !dryRun) {
      const { ackWait = 30_000, maxInFlight = 1_024 } = wishes;
      const position = await positionByLook(ends, await this.#client(), channel, this.#who, ackWait);
      return { by: "look", ackWait, maxInFlight, pending: position.unacknowledged.length, position };
    }
    const page = await pageOfDurable(ends, channel, this.#who);
    const { lastSent, pending, ackWait, maxInFlight } = page;
    const ask = pending > 0 && !dryRun;
    const unacknowledged = ask ? await unacknowledgedOf(ends, await this.#client(), channel, page) : [];
    const facts = {
      by: "page" as const,
      pending,
      ackWait: wishes.ackWait ?? ackWait,
      maxInFlight: wishes.maxInFlight ?? maxInFlight,
    };
    return { ...facts, position: { lastSent, unacknowledged } };
  }

  /** A client that holds the durable's client ID: nobody resumes the durable meanwhile. */
  async #client(): Promise<Client> {
    const { client } = this.#who;
    try {
      return await this.#ends.client(client ?? `${this.#ends.settings.from.clientId}-move`);
    } catch (error) {
      const taken = error instanceof BridgeError && error.code === "BRIDGE_RUNS" && client !== undefined;
      throw taken ? stillConnected(this.#route.channel, this.#who) : error;
    }
  }

  /** The consumer's name: the longer one if another durable of the channel has the short one, too. */
  async #freeName(found: ConsumerInfo | undefined): Promise<string> {
    if (found !== undefined) return found.name;
    const { stream, channel } = this.#route;
    const others = this.#ends.monitor === undefined ? [] : durablesOf(await pageOf(this.#ends, channel));
    const consumer = consumerName(this.#who, others);
    const taken = await this.#ends.target.consumer(stream, consumer);
    if (taken === undefined) return consumer;
    const long = longName(this.#who);
    const isAnotherDurables = taken.config.metadata?.["stan.durable"] !== undefined;
    if (isAnotherDurables && (await this.#ends.target.consumer(stream, long)) === undefined) return long;
    const remedy = "Delete that consumer if nobody uses it, or give the channel another stream by map.";
    const what = `the stream ${stream} has a consumer ${consumer} that is not ${title(this.#who)}`;
    throw new BridgeError("NAME_TAKEN", channel, what, remedy);
  }

  /**
   * JetStream makes a consumer that begins behind the stream's end begin at its end, without a word. That would hand
   * out again what is copied later.
   */
  async #waitUntilCopied(lastSent: number): Promise<void> {
    const { target, ending } = this.#ends;
    const { stream, channel } = this.#route;
    const patience = new Patience(COPY_PATIENCE);
    for (;;) {
      const last = (await target.stream(stream))?.state.last_seq ?? 0;
      if (last >= lastSent || (await this.#firstBehind(last)) > lastSent) return;
      this.#ends.check();
      if (!patience.lasts(last)) {
        const what = `${stream} has the messages up to ${last}, and ${title(this.#who)} was sent ${lastSent}`;
        throw new BridgeError("NOT_LEVEL", channel, what, "Start copy, and the same call again.");
      }
      await sleep(PACE, ending);
    }
  }

  /** The number of the first message that the channel has behind `last`: what it has no more cannot come again. */
  async #firstBehind(last: number): Promise<number> {
    const { monitor, settings, ending } = this.#ends;
    const { channel } = this.#route;
    if (monitor !== undefined) {
      const { msgs, first_seq } = await pageOf(this.#ends, channel);
      return msgs === 0 ? Infinity : Math.max(first_seq, last + 1);
    }
    this.#looking ??= await this.#ends.client(`${settings.from.clientId}-look`);
    // Silence is no fact: there may be some.
    return (await look(this.#looking, channel, { sequence: last + 1 }, ending))?.sequence ?? last + 1;
  }

  async #make(report: MoveReport, { lastSent, unacknowledged }: Position): Promise<void> {
    const { target } = this.#ends;
    const { stream, subject, channel } = this.#route;
    const { consumer, ackWait, maxInFlight } = report;
    const start = unacknowledged[0] ?? lastSent + 1;
    const config = {
      name: consumer,
      durable_name: consumer,
      ack_policy: "explicit",
      ack_wait: ackWait * NANOSECONDS_PER_MILLISECOND,
      max_deliver: -1,
      max_ack_pending: Math.max(maxInFlight, lastSent - start + 2),
      deliver_policy: "by_start_sequence",
      opt_start_seq: start,
      filter_subject: subject,
      metadata: metadataOf(this.#place),
    } as const;
    try {
      await target.putConsumer("create", stream, config);
    } catch (error) {
      if (!(error instanceof ApiError) || error.errCode !== API_ERRORS.consumerExists) throw error;
      throw this.#inUse(consumer);
    }
    if (unacknowledged.length > 0) await this.#settle(consumer, { lastSent, unacknowledged });
    if (this.#ends.monitor !== undefined) {
      // Whoever has resumed it meanwhile handles the same messages.
      const now = await pageOfDurable(this.#ends, channel, this.#who);
      if (now.lastSent !== lastSent || now.pending !== unacknowledged.length) throw stillConnected(channel, this.#who);
    }
    const metadata = { ...config.metadata, [MOVED]: "true" };
    await target.putConsumer("update", stream, { ...config, max_ack_pending: maxInFlight, metadata });
  }

  /** Acknowledges what the durable has acknowledged, and gives the rest back: it comes again, in order. */
  async #settle(consumer: string, { lastSent, unacknowledged }: Position): Promise<void> {
    const { target, ending } = this.#ends;
    const { stream } = this.#route;
    const connection = await target.connection();
    const left = new Set(unacknowledged);
    const kept: string[] = [];
    const what = { stream, consumer, expires: 1_000 };
    const patience = new Patience();
    let last = 0;
    while (last < lastSent) {
      // As many as are kept, at least: there are no fewer up to `lastSent`. A message behind that is kept, too.
      const count = await pull(connection, target, { ...what, batch: Math.max(1, left.size) }, (message) => {
        const { sequence, reply } = message;
        last = sequence;
        if (left.delete(sequence) || sequence > lastSent) kept.push(reply);
        else connection.publish(reply, ACK);
      });
      const info = count > 0 ? undefined : await target.consumer(stream, consumer);
      if (info?.num_pending === 0) break;
      if (!patience.lasts(last)) throw this.#inUse(consumer);
    }
    await connection.flush();
    while ((await target.consumer(stream, consumer))?.num_ack_pending !== kept.length) {
      if (!patience.lasts(-1)) throw this.#inUse(consumer);
      await sleep(PACE, ending);
      this.#ends.check();
    }
    for (const reply of kept) connection.publish(reply, NAK);
    await connection.flush();
  }

  #inUse(consumer: string): BridgeError {
    const what = `somebody uses the consumer ${consumer} although the move has not ended`;
    const remedy = "End that program, and start the same call again.";
    return new BridgeError("CONSUMER_CONNECTED", this.#route.channel, what, remedy);
  }

  #report(facts: Omit<MoveReport, "ok" | "channel" | "stream" | "back" | "dryRun" | keyof Durable>): MoveReport {
    const { channel, stream } = this.#route;
    const { dryRun } = this.#wishes;
    return { ok: true, channel, stream, ...this.#who, ...facts, back: false, dryRun };
  }
}
