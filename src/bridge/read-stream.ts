import { settled, sleep } from "../core-nats/async.ts";
import { NatsError } from "../core-nats/errors.ts";
import type { Ends } from "./ends.ts";
import { pull } from "./pull.ts";
import type { Pulled } from "./pull.ts";

/** How many messages are read at once, and how many bytes. */
const BATCH = 2_000;
const BATCH_BYTES = 8 * 1024 * 1024;
/** How long the server keeps a consumer that nobody uses, in nanoseconds. */
const UNUSED = 60_000_000_000;
const PAUSE = 100;

/** @internal What to read: the messages with a subject, from a number of the stream to another one. */
export interface Range {
  readonly stream: string;
  readonly subject: string;
  readonly from: number;
  readonly to: number;
  /** True: only the headers. Default false. */
  readonly headersOnly?: boolean;
}

/** @internal Reads messages of a stream in order, in batches that are never empty, and goes on after outages. */
export async function* readStream(
  ends: Ends,
  { stream, subject, from, to, headersOnly = false }: Range,
): AsyncGenerator<readonly Pulled[], void> {
  const { target, ending } = ends;
  const what = { filter_subject: subject, headers_only: headersOnly, mem_storage: true, inactive_threshold: UNUSED };
  const start = { ack_policy: "none", deliver_policy: "by_start_sequence" } as const;
  let consumer: string | undefined;
  for (let next = from, last: number | undefined; ; ) {
    const batch: Pulled[] = [];
    let isOver = false;
    try {
      last ??= Math.min(to, (await target.message(stream, { last_by_subj: subject }))?.sequence ?? 0);
      if (next > last) break;
      consumer ??= (await target.putConsumer("create", stream, { ...what, ...start, opt_start_seq: next })).name;
      const batchOf = { stream, consumer, batch: BATCH, maxBytes: BATCH_BYTES, expires: 0 };
      const pulling = pull(await target.connection(), target, batchOf, (message) => {
        if (message.sequence <= to) batch.push(message);
        else isOver = true;
      });
      if (await settled(pulling, ending)) await pulling;
      // A replica is late, or the consumer is gone; or the last message is, by its age.
      if (batch.length === 0 && !isOver) throw new NatsError("TIMEOUT", `${stream}: nothing comes`);
    } catch (error) {
      if (!(error instanceof NatsError)) throw error;
      await sleep(PAUSE, ending);
      ends.check();
      consumer = last = undefined;
      continue;
    }
    if (batch.length > 0) yield batch;
    if (isOver) break;
    next = batch.at(-1)!.sequence + 1;
  }
  if (consumer !== undefined) await target.deleteConsumer(stream, consumer);
}
