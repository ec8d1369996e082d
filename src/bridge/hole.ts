import { onAbort } from "../core-nats/async.ts";
import { clearTimeout, setTimeout } from "../core-nats/clock.ts";
import type { Connection } from "../core-nats/connection.ts";
import { NatsError } from "../core-nats/errors.ts";
import { headerBlock } from "../core-nats/headers.ts";
import { nuid } from "../core-nats/nuid.ts";
import { decodeText, NO_BYTES } from "../core-nats/text.ts";
import type { Route } from "./stream.ts";
import type { StreamInfo, Target } from "./target.ts";

/** How many fillers are sent before an ack is waited for. */
const BATCH = 1_000;
/** How long one batch may take, in milliseconds. */
const BATCH_TIMEOUT = 5_000;

/**
 * @internal
 * Makes the numbers from `from`, the stream's next one, to `to` deleted ones in the stream. An empty stream is told to
 * begin behind them. Else empty messages take them, each with its expected sequence, and are purged together.
 *
 * Rejects with a `NatsError` if the target does not confirm it. What was filled then is found by `removeFillers`.
 */
export async function fillHole(
  target: Target,
  connection: Connection,
  route: Route,
  inboxPrefix: string,
  from: number,
  to: number,
): Promise<void> {
  const info = await target.stream(route.stream);
  if (info?.state.messages === 0) {
    await target.purge(route.stream, { seq: to + 1 });
    return;
  }
  for (let first = from; first <= to; first += BATCH) {
    await fill(connection, route, `${inboxPrefix}.${nuid()}`, first, Math.min(first + BATCH - 1, to));
  }
  await target.purge(route.stream, { filter: route.hole });
}

/** @internal Purges the fillers of a bridge that ended between them and their purge. */
export async function removeFillers(target: Target, route: Route, info: StreamInfo): Promise<void> {
  if (info.state.last_seq === 0 || info.state.messages === 0) return;
  const last = await target.message(route.stream, { seq: info.state.last_seq });
  if (last?.subject === route.hole) await target.purge(route.stream, { filter: route.hole });
}

/** Resolves when the stream has stored the last one: it could not without those before. */
function fill(connection: Connection, route: Route, inbox: string, first: number, last: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (error?: unknown): void => {
      release();
      clearTimeout(timer);
      connection.unsubscribe(sid);
      if (error === undefined) resolve();
      else reject(error);
    };
    const failed = (reason: string): void => finish(new NatsError("SERVER", `${route.hole}: ${reason}`));
    const timer = setTimeout(() => failed("no ack in time"), BATCH_TIMEOUT);
    const release = onAbort(() => finish(connection.ended.reason), connection.ended);
    const sid = connection.subscribe(inbox, {
      deliver: ({ bytes, start, end, status }) => {
        const text = status === 0 ? decodeText(bytes, start, end) : `status ${status}`;
        if (status === 0 && text.includes(`"seq":${last}`) && !text.includes('"error"')) finish();
        else failed(text);
      },
      denied: finish,
    });
    for (let n = first; n <= last; n++) {
      const headers = headerBlock([["Nats-Expected-Last-Sequence", String(n - 1)]]);
      connection.publishWithHeaders(route.hole, headers, NO_BYTES, n === last ? inbox : undefined);
    }
  });
}
