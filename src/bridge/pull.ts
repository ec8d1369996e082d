import { onAbort } from "../core-nats/async.ts";
import type { Connection } from "../core-nats/connection.ts";
import type { Delivery } from "../core-nats/delivery.ts";
import { NatsError } from "../core-nats/errors.ts";
import { clearTimeout, setTimeout } from "../core-nats/clock.ts";
import { nuid } from "../core-nats/nuid.ts";
import { encoder } from "../core-nats/text.ts";
import type { StoredMessage, Target } from "./target.ts";

/** @internal A message that a consumer delivered. */
export interface Pulled extends StoredMessage {
  /** Where its ack goes. */
  readonly reply: string;
  /** How often it was delivered, with this time. */
  readonly deliveries: number;
  /** How many more the consumer has behind it. */
  readonly pending: number;
}

/** @internal What to pull: up to `batch` messages, for at most `expires` milliseconds; 0: only what is there now. */
export interface Pull {
  readonly stream: string;
  readonly consumer: string;
  readonly batch: number;
  readonly expires: number;
  /** At least the largest message. Default no limit. */
  readonly maxBytes?: number;
}

/**
 * @internal
 * Gives `take` the messages of one pull, in the order of the consumer. Resolves with how many came when the server has
 * ended the pull, or all came. Rejects with the reason for which the connection ended, with `TIMEOUT` if the server
 * says nothing for long, and with what `take` throws.
 */
export async function pull(
  connection: Connection,
  target: Pick<Target, "inboxPrefix" | "subject">,
  { stream, consumer, batch, expires, maxBytes }: Pull,
  take: (message: Pulled) => void,
): Promise<number> {
  if (connection.ended.aborted) throw connection.ended.reason;
  const inbox = `${target.inboxPrefix}.${nuid()}`;
  let count = 0;
  return new Promise<number>((resolve, reject) => {
    let timer: Timer | undefined;
    const finish = (settle: () => void): void => {
      release();
      clearTimeout(timer);
      connection.unsubscribe(sid);
      settle();
    };
    const release = onAbort(() => finish(() => reject(connection.ended.reason)), connection.ended);
    const deliver = (delivery: Delivery): void => {
      // 404: none is there. 408: the time is over. 409: the consumer is gone, among others.
      if (delivery.status !== 0 && delivery.reply() === "") return finish(() => resolve(count));
      try {
        take(read(delivery));
      } catch (error) {
        return finish(() => reject(error));
      }
      if (++count === batch) finish(() => resolve(count));
    };
    const sid = connection.subscribe(inbox, { deliver, denied: (error) => finish(() => reject(error)) });
    const silence = new NatsError("TIMEOUT", `${stream}: the consumer ${consumer} does not answer`);
    const watch = (seen: number): void => {
      timer = setTimeout(() => (count > seen ? watch(count) : finish(() => reject(silence))), expires + 5_000);
    };
    watch(0);
    const time = expires === 0 ? { no_wait: true } : { expires: expires * 1_000_000 };
    const ask = encoder.encode(JSON.stringify({ batch, max_bytes: maxBytes, ...time }));
    connection.publish(target.subject(`CONSUMER.MSG.NEXT.${stream}.${consumer}`), ask, inbox);
  });
}

function read(delivery: Delivery): Pulled {
  const { bytes, headerStart, start, end } = delivery;
  const reply = delivery.reply();
  // $JS.ACK.[domain.account.]stream.consumer.deliveries.sequence.consumer sequence.time.pending[.token]
  const tokens = reply.split(".");
  const at = tokens.length > 9 ? 6 : 4;
  return {
    subject: delivery.subject(),
    sequence: Number(tokens[at + 1]),
    headers: headerStart === start ? undefined : bytes.slice(headerStart, start),
    data: bytes.slice(start, end),
    reply,
    deliveries: Number(tokens[at]),
    pending: Number(tokens[at + 4]),
  };
}
