import { deferred, noop, onAbort } from "../../core-nats/async.ts";
import { isBytes } from "../../core-nats/text.ts";
import { checkChannel } from "../checks.ts";
import { PublishManyError, StreamingError } from "../errors.ts";
import type { PublishFailure } from "../errors.ts";
import { follow } from "../signal.ts";
import { checkPublishItem, checkPublishManyOptions } from "./publish-options.ts";
import type { PublishItem, PublishManyOptions, PublishOptions } from "./publish-options.ts";
import type { Publisher } from "./publisher.ts";

type Source = Iterable<PublishItem> | AsyncIterable<PublishItem>;

/** How many failures an error names. */
const MOST_FAILURES = 1_000;

/** See `Client.publishMany`. */
export async function publishMany(
  publisher: Publisher,
  subject: string,
  source: Source,
  options: PublishManyOptions = {},
): Promise<number> {
  checkChannel(subject);
  checkPublishManyOptions(options);
  checkSource(source);
  return new Batch(publisher, subject, options).publish(source);
}

/**
 * Publishes the items of one source. It takes an item only while no publish waits for its turn. So the source is ahead
 * of the acks by at most the publisher's window and one.
 */
class Batch {
  readonly #publisher: Publisher;
  readonly #subject: string;
  readonly #options: PublishManyOptions;
  /** The options of each item without a reply. No options cost less than an empty object, for each message. */
  readonly #publishOptions: PublishOptions | undefined;
  /** How many items were taken. */
  #taken = 0;
  #stored = 0;
  /** All items before this one are stored. */
  #unbroken = 0;
  /** The stored items behind `#unbroken`. */
  readonly #ahead = new Set<number>();
  #failed = 0;
  readonly #failures: PublishFailure[] = [];
  /** The reason why it takes no more items. */
  #end: { readonly error: unknown } | undefined;
  /** Ends the wait for an item. */
  #wake = noop;
  /** The loop over the source counts as one, so that the number reaches 0 only after the loop has ended. */
  #unsettled = 1;
  readonly #done = deferred();

  constructor(publisher: Publisher, subject: string, options: PublishManyOptions) {
    const { reply, signal } = options;
    this.#publisher = publisher;
    this.#subject = subject;
    this.#options = options;
    this.#publishOptions = reply === undefined && signal === undefined ? undefined : { reply, signal };
  }

  async publish(source: Source): Promise<number> {
    const { signal } = this.#options;
    const aborted = (): void => this.#stop(this.#error("ABORTED", "the caller's signal was aborted", signal?.reason));
    const closed = (): void => this.#stop(this.#error("CLOSED", "the client is closed"));
    const { lifetime, release } = follow(signal);
    const unlisten = [onAbort(aborted, lifetime), onAbort(closed, this.#publisher.closing), release];
    try {
      if (Symbol.asyncIterator in source) await this.#takeAsync(source);
      else await this.#take(source);
    } catch (error) {
      this.#stop(error);
    }
    this.#settled();
    await this.#done.promise;
    for (const end of unlisten) end();
    if (this.#end === undefined) return this.#stored;
    throw this.#failure(this.#end.error);
  }

  async #take(source: Iterable<PublishItem>): Promise<void> {
    if (this.#end !== undefined) return;
    for (const item of source) {
      this.#publish(item);
      if (this.#publisher.hasBacklog) await this.#publisher.backlogCleared();
      if (this.#end !== undefined) return;
    }
  }

  async #takeAsync(source: AsyncIterable<PublishItem>): Promise<void> {
    const iterator = source[Symbol.asyncIterator]();
    while (this.#end === undefined) {
      const result = await new Promise<IteratorResult<PublishItem> | undefined>((resolve, reject) => {
        this.#wake = () => resolve(undefined);
        // As `for await` does: a source may answer without a promise, and must answer with an object.
        Promise.resolve(iterator.next()).then(resolve, reject);
      });
      if (result?.done === true) return;
      if (this.#end !== undefined) break;
      if (typeof result !== "object" || result === null) {
        throw new TypeError("next() of the source must resolve with an object");
      }
      this.#publish(result.value);
      if (this.#publisher.hasBacklog) await this.#publisher.backlogCleared();
    }
    // Nobody awaits it: a source that has nothing to yield answers only when it has something.
    void Promise.resolve(iterator.return?.()).catch(noop);
  }

  #publish(item: PublishItem): void {
    const index = this.#taken++;
    let data = item as string | Uint8Array;
    let options = this.#publishOptions;
    this.#unsettled++;
    const stored = (): void => this.#itemStored(index);
    const failed = (error: unknown): void => this.#itemFailed(index, error);
    try {
      if (isMessage(item)) {
        data = item.data;
        if (item.reply !== undefined) options = { ...options, reply: item.reply };
      }
    } catch (error) {
      return failed(error);
    }
    this.#publisher.accept(this.#subject, data, options, stored, failed);
  }

  #itemStored(index: number): void {
    this.#stored++;
    if (index === this.#unbroken) {
      do this.#unbroken++; while (this.#ahead.delete(this.#unbroken));
    } else {
      this.#ahead.add(index);
    }
    try {
      const returned: unknown = this.#options.onStored?.(this.#stored, this.#unbroken);
      if (returned !== undefined) Promise.resolve(returned).catch(noop);
    } catch {
      // A failure of the caller's function changes nothing: the messages are stored.
    }
    this.#settled();
  }

  #itemFailed(index: number, error: unknown): void {
    this.#failed++;
    const code = error instanceof StreamingError ? error.code : "ABORTED";
    if (this.#failures.length < MOST_FAILURES) this.#failures.push({ index, code });
    this.#stop(error);
    this.#settled();
  }

  #settled(): void {
    if (--this.#unsettled === 0) this.#done.resolve();
  }

  /** Takes no more items. */
  #stop(error: unknown): void {
    this.#end ??= { error };
    this.#wake();
  }

  #error(code: StreamingError["code"], reason: string, cause?: unknown): StreamingError {
    return new StreamingError(code, `publish ${this.#subject}: ${reason}`, cause);
  }

  #failure(error: unknown): PublishManyError {
    const ofSource = "the source failed, or yielded what is no data";
    const { code, message, cause } = error instanceof StreamingError ? error : this.#error("ABORTED", ofSource, error);
    const known = `${this.#stored} items are stored, among them all before item ${this.#unbroken} of the source`;
    const failures = this.#failures.sort((a, b) => a.index - b.index);
    const text = `${message}; ${known}`;
    return new PublishManyError(code, text, cause, this.#stored, this.#unbroken, this.#failed, failures);
  }
}

function isMessage(item: PublishItem): item is Exclude<PublishItem, string | Uint8Array> {
  if (typeof item !== "object" || item === null || ArrayBuffer.isView(item) || !("data" in item)) return false;
  checkPublishItem(item);
  return true;
}

/** @throws TypeError for no iterable, and for a string or a Uint8Array: as a source these are a mistake. */
function checkSource(source: unknown): void {
  const usable = typeof source === "object" && source !== null && !isBytes(source);
  if (usable && (Symbol.asyncIterator in source || Symbol.iterator in source)) return;
  throw new TypeError("source must be an iterable, or an async iterable, of strings, Uint8Arrays and { data, reply }");
}
