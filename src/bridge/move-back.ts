import { sleep } from "../core-nats/async.ts";
import { consumerName, title } from "./durable.ts";
import type { Place } from "./durable.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import type { MoveReport } from "./move-report.ts";
import { durableOn, PACE, pageOf, pageOfDurable, Patience, subscribeNames } from "./durable-position.ts";
import { pull } from "./pull.ts";
import type { ConsumerConfig, ConsumerInfo } from "./target.ts";

/** Messages behind the position that the streaming server sends meanwhile. They stay unacknowledged. */
const ROOM = 64;

/** What says in a consumer's metadata that it goes back, and what its limits were. */
const RETURNING = "stan.returning";

/** @internal The configuration that a consumer had before its way back began, which may not have come to its end. */
export function beforeReturn(config: ConsumerConfig): ConsumerConfig {
  const { [RETURNING]: limits, ...metadata } = config.metadata ?? {};
  if (limits === undefined) return config;
  const [ack_wait, max_ack_pending] = limits.split(" ").map(Number);
  return { ...config, ack_wait: ack_wait!, max_ack_pending: max_ack_pending!, metadata };
}

/** @internal Acknowledges in the streaming server what is acknowledged in JetStream, and deletes the consumer there. */
export async function moveBack(
  ends: Ends,
  place: Place,
  found: ConsumerInfo | undefined,
  dryRun: boolean,
): Promise<MoveReport> {
  const { route, who } = place;
  const { channel, stream } = route;
  const { lastSent, pending, maxInFlight, ackWait } = await pageOfDurable(ends, channel, who);
  const common = { ok: true, channel, stream, ...who, back: true, dryRun, by: "page", ackWait, maxInFlight } as const;
  // It was moved back before, or never moved.
  if (found === undefined) return { ...common, consumer: consumerName(who, []), changed: false, lastSent, pending };
  if (found.num_waiting > 0) {
    const what = `the consumer ${found.name} of ${stream} is still asked for messages`;
    const remedy = "End its programs. What they have asked for is over after 30 seconds at most.";
    throw new BridgeError("CONSUMER_CONNECTED", channel, what, remedy);
  }
  const last = Math.max(found.delivered.stream_seq, found.ack_floor.stream_seq);
  const report = { ...common, consumer: found.name, changed: true, lastSent: last, pending: found.num_ack_pending };
  if (dryRun) return report;

  const unacknowledged = await handedOut(ends, place, found);
  const open = new Set(unacknowledged);
  const client = await ends.client(who.client ?? `${ends.settings.from.clientId}-move`);
  const held = new Set<number>();
  const options = { manualAck: true, ackWait, maxInFlight: pending + open.size + ROOM };
  const subscription = await client.subscribe(
    channel,
    (message) => {
      if (message.sequence <= last && !open.has(message.sequence)) message.ack();
      else held.add(message.sequence);
    },
    { ...subscribeNames(who), ...options },
  );
  const patience = new Patience();
  for (;;) {
    const now = await durableOn(ends, channel, who);
    const end = Math.min(last, (await pageOf(ends, channel)).last_seq);
    if (now.lastSent >= end && now.pending === held.size) break;
    if (!patience.lasts(now.lastSent + now.pending + held.size)) {
      const what = `the streaming server does not hand out all that ${title(who)} has acknowledged in JetStream`;
      throw new BridgeError("SOURCE_UNREACHABLE", channel, what, "Look into its log. The same call tries again.");
    }
    await sleep(PACE, ends.ending);
    ends.check();
  }
  await subscription.close();
  await ends.target.deleteConsumer(stream, found.name);
  return { ...report, unacknowledged };
}

/** What JetStream has handed out and nobody has acknowledged. It comes again when its time is over. */
async function handedOut(
  ends: Ends,
  { route }: Place,
  { name, config, num_ack_pending }: ConsumerInfo,
): Promise<number[]> {
  if (num_ack_pending === 0) return [];
  const { target } = ends;
  const { stream } = route;
  const whole = beforeReturn(config);
  const { ack_wait = 0, max_ack_pending = 0 } = whole;
  const metadata = { ...whole.metadata, [RETURNING]: `${ack_wait} ${max_ack_pending}` };
  // As many as are open: none is handed out that was not yet. They come again at once.
  const limits = { max_ack_pending: num_ack_pending, ack_wait: 1_000_000_000 };
  await target.putConsumer("update", stream, { ...whole, ...limits, metadata });
  const connection = await target.connection();
  const seen = new Set<number>();
  const what = { stream, consumer: name, expires: 1_000 };
  const patience = new Patience(ack_wait / 1_000_000 + 5_000);
  while (seen.size < num_ack_pending) {
    const batch = num_ack_pending - seen.size;
    await pull(connection, target, { ...what, batch }, ({ sequence, deliveries }) => {
      if (deliveries > 1) seen.add(sequence);
    });
    ends.check();
    if (patience.lasts(seen.size)) continue;
    const text = `JetStream does not hand out again what ${name} has not acknowledged`;
    throw new BridgeError("CONSUMER_CONNECTED", route.channel, text, "End the programs that use it, and try again.");
  }
  return [...seen].sort((a, b) => a - b);
}
