import { sleep } from "../core-nats/async.ts";
import { elapsed } from "../core-nats/clock.ts";
import type { Client, Message } from "../index.ts";
import type { MonitoredChannel } from "../monitoring/monitor.ts";
import { durablesOf, isSame, stillConnected, title } from "./durable.ts";
import type { Durable, MonitoredDurable } from "./durable.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import { look } from "./look.ts";

/** How often something that is awaited is looked at, in milliseconds. */
export const PACE = 25;
/** Without the monitoring page: how long nothing must come before nothing is believed to come, in milliseconds. */
const NOTHING_NEW = 2_000;
/** Without the monitoring page: in a channel with fewer messages an unknown durable cannot be told from a known one. */
const FEWEST = 100;

/** @internal Where a durable is in its channel. */
export interface Position {
  /** All up to here was sent to the durable. */
  readonly lastSent: number;
  /** Which of these nobody has acknowledged, in order. */
  readonly unacknowledged: readonly number[];
}

/** @internal The channel's page. @throws BridgeError `NO_MONITOR`, or `UNKNOWN_CHANNEL` */
export async function pageOf({ monitor }: Ends, channel: string): Promise<MonitoredChannel> {
  if (monitor === undefined) {
    const remedy = "Start the streaming server with -m 8222, and give that port's URL as from.monitor.";
    throw new BridgeError("NO_MONITOR", channel, "this needs the monitoring page of the streaming server", remedy);
  }
  const page = await monitor.channel(channel);
  if (page !== undefined) return page;
  const remedy = "Check the channel's name, and that this is the monitoring port of the right server.";
  throw new BridgeError("UNKNOWN_CHANNEL", channel, "the streaming server has no such channel", remedy);
}

/**
 * @internal What the page says of a durable that nobody uses.
 * @throws BridgeError `UNKNOWN_DURABLE`, `CONSUMER_CONNECTED`
 */
export async function pageOfDurable(ends: Ends, channel: string, who: Durable): Promise<MonitoredDurable> {
  const found = await durableOn(ends, channel, who);
  if (found.connected) throw stillConnected(channel, who);
  return found;
}

/** @internal What the page says of a durable. @throws BridgeError `UNKNOWN_DURABLE` */
export async function durableOn(ends: Ends, channel: string, who: Durable): Promise<MonitoredDurable> {
  const all = durablesOf(await pageOf(ends, channel));
  const found = all.find((one) => isSame(one, who));
  if (found !== undefined) return found;
  const names = all.map(title).join(", ");
  const remedy = names === "" ? "The channel has no durable at all." : `The channel has ${names}.`;
  throw new BridgeError("UNKNOWN_DURABLE", channel, `the streaming server has not ${title(who)}`, remedy);
}

/**
 * @internal
 * The messages that nobody has acknowledged, of a durable that the page shows so. The durable is resumed, and nothing
 * is acknowledged: the server sends all that is pending at once, whatever `maxInFlight` says, and nothing new while as
 * much is pending. So the position stays. The page shows another `maxInFlight` afterwards.
 */
export async function unacknowledgedOf(
  ends: Ends,
  client: Client,
  channel: string,
  { pending, maxInFlight, ackWait, ...who }: MonitoredDurable,
): Promise<number[]> {
  const seen = new Set<number>();
  const options = { ...subscribeNames(who), manualAck: true, ackWait, maxInFlight: Math.min(maxInFlight, pending) };
  const subscription = await client.subscribe(channel, ({ sequence }) => void seen.add(sequence), options);
  const patience = new Patience();
  // What expires in the channel meanwhile is pending no more.
  for (let left = pending; seen.size < left; left = (await durableOn(ends, channel, who)).pending) {
    if (!patience.lasts(seen.size)) {
      const what = `the streaming server sends ${seen.size} of ${left} messages that ${title(who)} did not acknowledge`;
      throw new BridgeError("SOURCE_UNREACHABLE", channel, what, "Look into its log. The same call tries again.");
    }
    await sleep(PACE, ends.ending);
    ends.check();
  }
  await subscription.close();
  return inOrder(seen);
}

/**
 * @internal
 * The position of a durable without the page. What is pending comes again; then one new message is taken, and left
 * unacknowledged, to see where the new ones begin. If none comes, twice, the position is the channel's end.
 *
 * A durable that does not exist would be made by this. So it asks to begin amid the channel: where a durable is known,
 * the server goes on from where that was; if just that message comes, it was not known, and is taken away again.
 * @throws BridgeError `UNKNOWN_DURABLE`, or `NO_MONITOR` if the channel has too few messages to tell
 */
export async function positionByLook(
  ends: Ends,
  client: Client,
  channel: string,
  who: Durable,
  ackWait: number,
): Promise<Position> {
  const first = (await look(client, channel, "first", ends.ending))?.sequence ?? 0;
  const endOf = async (): Promise<number> => (await look(client, channel, "lastReceived", ends.ending))?.sequence ?? 0;
  let end = await endOf();
  if (first === 0 || end - first + 1 < FEWEST) {
    const what = `with fewer than ${FEWEST} messages only the monitoring page tells whether there is ${title(who)}`;
    throw new BridgeError("NO_MONITOR", channel, what, "Give the streaming server's monitoring port as from.monitor.");
  }
  // Not where a durable often is: at one of the ends.
  const probe = first + Math.floor((end - first + 1) * (0.25 + 0.5 * Math.random()));
  const pending = new Set<number>();
  for (let silent = 0; silent < 2;) {
    let next: Message | undefined;
    let [latest, before] = [elapsed(), pending.size];
    const take = (message: Message): void => {
      latest = elapsed();
      if (message.redelivered) pending.add(message.sequence);
      else next ??= message;
    };
    const options = { manualAck: true, ackWait, maxInFlight: pending.size + 1 };
    const names = { ...subscribeNames(who), startAt: { sequence: probe } };
    const subscription = await client.subscribe(channel, take, { ...names, ...options });
    while (next === undefined && elapsed() - latest < NOTHING_NEW) {
      await sleep(PACE, ends.ending);
      ends.check();
    }
    if (next?.sequence === probe && pending.size === 0) {
      await subscription.unsubscribe();
      const what = `the streaming server had not ${title(who)}, or it stood exactly before message ${probe}`;
      const remedy = "Check the name. If it is right, begin its consumer anew from that message, or give from.monitor.";
      throw new BridgeError("UNKNOWN_DURABLE", channel, what, remedy);
    }
    await subscription.close();
    if (next !== undefined) return { lastSent: next.sequence - 1, unacknowledged: inOrder(pending) };
    silent = pending.size > before ? 0 : silent + 1;
    if (silent < 2) end = await endOf();
  }
  return { lastSent: end, unacknowledged: inOrder(pending) };
}

function inOrder(numbers: Iterable<number>): number[] {
  return [...numbers].sort((a, b) => a - b);
}

/** @internal The names of a durable, as `subscribe` takes them. */
export function subscribeNames({ durable, queue }: Durable): { durable: string; queue: string | undefined } {
  return { durable, queue };
}

/** @internal Ends a wait when nothing has changed for some time: by default five seconds. */
export class Patience {
  readonly #milliseconds: number;
  #seen: number | undefined;
  #since = elapsed();

  constructor(milliseconds = 5_000) {
    this.#milliseconds = milliseconds;
  }

  /** False once `progress` has been the same for too long. */
  lasts(progress: number): boolean {
    if (progress !== this.#seen) [this.#seen, this.#since] = [progress, elapsed()];
    return elapsed() - this.#since < this.#milliseconds;
  }
}
