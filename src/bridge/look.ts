import { deferred, settled, settledWithin } from "../core-nats/async.ts";
import type { AbortSignalLike } from "../core-nats/lifetime.ts";
import type { Client, Message, StartAt } from "../index.ts";

/** How long a look waits for a message, in milliseconds. The server sends what it has at once. */
const LOOK_TIME = 3_000;

/**
 * @internal
 * The first message that the channel has from a position on, read by a subscription of its own, or undefined if none
 * comes in time. An answer is a fact; no answer is none.
 */
export async function look(
  client: Client,
  channel: string,
  startAt: StartAt,
  ending: AbortSignalLike,
): Promise<Message | undefined> {
  const found = deferred<Message>();
  const options = { startAt, manualAck: true, maxInFlight: 1 };
  const subscribing = client.subscribe(channel, (message) => found.resolve(message), options);
  // It waits while the source is away.
  if (!(await settled(subscribing, ending))) return undefined;
  const subscription = await subscribing;
  const isFound = await settledWithin(LOOK_TIME, found.promise, ending);
  void subscription.close();
  return isFound ? found.promise : undefined;
}
