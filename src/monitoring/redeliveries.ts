import { sleep } from "../core-nats/async.ts";
import type { Connection } from "../core-nats/connection.ts";
import type { AbortSignalLike } from "../core-nats/lifetime.ts";
import { MsgProtoView } from "../pb/data.ts";

/** The most inboxes that are listened to. */
const MOST_INBOXES = 1_000;

/** @internal What is delivered to these inboxes and marked as redelivered: how many, and the highest count. */
export async function redeliveriesOf(
  connection: Connection,
  inboxes: readonly string[],
  milliseconds: number,
  signal: AbortSignalLike,
): Promise<Map<string, { count: number; most: number }>> {
  const found = new Map<string, { count: number; most: number }>();
  const view = new MsgProtoView();
  const sids = inboxes.slice(0, MOST_INBOXES).map((inbox) => {
    return connection.subscribe(inbox, {
      deliver: ({ bytes, start, end }) => {
        view.read(bytes, start, end);
        const { count, most } = found.get(inbox) ?? { count: 0, most: 0 };
        if (view.redelivered) found.set(inbox, { count: count + 1, most: Math.max(most, view.redeliveryCount) });
      },
      denied: () => {},
    });
  });
  if (inboxes.length > 0) await sleep(milliseconds, signal);
  for (const sid of sids) connection.unsubscribe(sid);
  return found;
}
