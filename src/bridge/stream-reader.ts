import { settled, sleep } from "../core-nats/async.ts";
import { NatsError } from "../core-nats/errors.ts";
import type { AbortSignalLike } from "../core-nats/lifetime.ts";
import { pull } from "./pull.ts";
import type { Pulled } from "./pull.ts";
import { aborted } from "./target.ts";
import type { Target } from "./target.ts";

/** How many messages are read at once, and how many bytes. */
const BATCH = 1_000;
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
  readonly headersOnly?: boolean;
}

/** @internal Reads messages of a stream in order, in batches, and goes on after outages. */
export class StreamReader {
  readonly #target: Target;
  readonly #range: Range;
  readonly #ending: AbortSignalLike;
  #consumer: string | undefined;
  /** The number of the next message that is to be read, and of the last one. */
  #next: number;
  #last: number | undefined;
  #batch: Pulled[] = [];
  #at = 0;

  constructor(target: Target, range: Range, ending: AbortSignalLike) {
    this.#target = target;
    this.#range = range;
    this.#ending = ending;
    this.#next = range.from;
  }

  /** The next message, or undefined: ask `read`. */
  get head(): Pulled | undefined {
    return this.#batch[this.#at];
  }

  /** Goes to the next one. */
  shift(): void {
    this.#at++;
  }

  /** Reads the next messages. Resolves with the first of them, or undefined at the end. */
  async read(): Promise<Pulled | undefined> {
    while (this.head === undefined) {
      try {
        this.#last ??= await this.#lastNumber();
        if (this.#next > this.#last) break;
        await this.#pull();
      } catch (error) {
        if (!(error instanceof NatsError)) throw error;
        this.#consumer = undefined;
        await sleep(PAUSE, this.#ending);
      }
      if (this.#ending.aborted) throw aborted(this.#ending.reason);
    }
    return this.head;
  }

  /** The number of the last message with the subject, not behind the end of the range. */
  async #lastNumber(): Promise<number> {
    const { stream, subject, to } = this.#range;
    return Math.min(to, (await this.#target.message(stream, { last_by_subj: subject }))?.sequence ?? 0);
  }

  async #pull(): Promise<void> {
    const { stream, subject, headersOnly = false } = this.#range;
    const target = this.#target;
    this.#consumer ??= (
      await target.createConsumer(stream, {
        ack_policy: "none",
        deliver_policy: "by_start_sequence",
        opt_start_seq: this.#next,
        filter_subject: subject,
        headers_only: headersOnly,
        mem_storage: true,
        inactive_threshold: UNUSED,
      })
    ).name;
    const consumer = this.#consumer;
    const what = { stream, consumer, batch: BATCH, maxBytes: BATCH_BYTES, expires: 0 };
    const batch: Pulled[] = [];
    const pulling = pull(await target.connection(), target, what, (message) => void batch.push(message));
    if (!(await settled(pulling, this.#ending))) return;
    await pulling;
    this.#batch = batch;
    this.#at = 0;
    const last = batch.at(-1);
    if (last !== undefined) this.#next = last.sequence + 1;
    if (this.#next > this.#last!) await target.deleteConsumer(stream, consumer);
    if (last !== undefined) return;
    // A replica is late, or the consumer is gone; or the last message is, by its age.
    this.#last = undefined;
    if ((await target.consumer(stream, consumer)) === undefined) this.#consumer = undefined;
    await sleep(PAUSE, this.#ending);
  }
}
