import { deferred, nothing } from "../core-nats/async.ts";
import { checkChannel, checkPublishManyOptions } from "./options.ts";
import type { PublishManyOptions } from "./options.ts";
import type { Publisher } from "./publisher.ts";

type Data = string | Uint8Array;

/**
 * See `Client.publishMany`. Draws as long as nothing has to wait for its turn, so that the source is ahead of the acks
 * by the publisher's window and one.
 */
export async function publishMany(
  publisher: Publisher,
  subject: string,
  source: Iterable<Data> | AsyncIterable<Data>,
  options: PublishManyOptions = {},
): Promise<number> {
  checkChannel(subject);
  checkPublishManyOptions(options);
  checkSource(source);
  const { onStored, reply, signal } = options;
  // None at all is cheaper than an object of nothing, for each message.
  const publishOptions = reply === undefined && signal === undefined ? undefined : { reply, signal };
  let stored = 0;
  let failure: { error: unknown } | undefined;
  let failed = nothing;
  // The drawing itself counts as one, so that all is settled only after the last was drawn.
  let unsettled = 1;
  const done = deferred();
  const settle = (): void => {
    if (--unsettled === 0) done.resolve();
  };
  const fail = (error: unknown): void => {
    failure ??= { error };
    failed();
  };
  const resolve = (): void => {
    stored++;
    try {
      const told: unknown = onStored?.(stored);
      if (told !== undefined) Promise.resolve(told).catch(nothing);
    } catch {
      // Its own affair: the messages are stored all the same.
    }
    settle();
  };
  const reject = (error: unknown): void => {
    fail(error);
    settle();
  };
  const publish = (data: Data): void => {
    unsettled++;
    publisher.accept(subject, data, publishOptions, resolve, reject);
  };

  try {
    if (Symbol.asyncIterator in source) {
      const iterator = source[Symbol.asyncIterator]();
      for (;;) {
        const result = await new Promise<IteratorResult<Data> | undefined>((drawn, broken) => {
          failed = () => drawn(undefined);
          iterator.next().then(drawn, broken);
        });
        if (result?.done === true) break;
        if (result !== undefined && failure === undefined) publish(result.value);
        if (publisher.crowded) await publisher.roomy();
        if (failure !== undefined) {
          // Not waited for: a source that has nothing to yield would not answer before it has.
          iterator.return?.().catch(nothing);
          break;
        }
      }
    } else {
      for (const data of source) {
        publish(data);
        if (publisher.crowded) await publisher.roomy();
        if (failure !== undefined) break;
      }
    }
  } catch (error) {
    fail(error);
  }
  settle();
  await done.promise;
  if (failure !== undefined) throw failure.error;
  return stored;
}

/** A string and a Uint8Array are iterable too, but as a source they are a mistake. */
function checkSource(source: unknown): void {
  const usable = typeof source === "object" && source !== null && !(source instanceof Uint8Array);
  if (usable && (Symbol.asyncIterator in source || Symbol.iterator in source)) return;
  throw new TypeError("source must be an iterable, or an async iterable, of strings and Uint8Arrays");
}
