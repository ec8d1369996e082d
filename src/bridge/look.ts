import { deferred, onAbort } from "../core-nats/async.ts";
import { clearTimeout, setTimeout } from "../core-nats/clock.ts";
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
  const found = deferred<Message | undefined>();
  const release = onAbort(() => found.resolve(undefined), ending);
  const options = { startAt, manualAck: true, maxInFlight: 1 };
  const subscription = await client.subscribe(channel, (message) => found.resolve(message), options);
  const timer = setTimeout(() => found.resolve(undefined), LOOK_TIME);
  const message = await found.promise;
  clearTimeout(timer);
  release();
  await subscription.close();
  return message;
}
