import { clearTimeout, setTimeout } from "../core-nats/clock.ts";
import type { Connection } from "../core-nats/connection.ts";
import type { Client } from "../index.ts";
import { bad, boolean } from "../streaming/checks.ts";
import { ChannelCopy } from "./channel-copy.ts";
import type { ChannelProgress } from "./channel-figures.ts";
import { channelsOf } from "./channels.ts";
import { withEnds } from "./ends.ts";
import type { Ends } from "./ends.ts";
import { BridgeError } from "./errors.ts";
import { checkBridgeOptions } from "./options.ts";
import type { BridgeOptions } from "./options.ts";
import { routeOf } from "./stream.ts";
import { aborted } from "./target.ts";

/** The most bytes under way, of one channel and of all together. */
const MOST_OF_CHANNEL = 16 * 1024 * 1024;
const MOST_OF_ALL = 128 * 1024 * 1024;
/** The time between two reports of progress, in milliseconds. */
const PROGRESS = 1_000;

/** Options of {@link copy}. */
export interface CopyOptions extends BridgeOptions {
  /**
   * True: the copy follows the channels until {@link BridgeOptions.signal} is aborted. Default false: it ends when it
   * has reached the ends that the channels had at its start.
   */
  watch?: boolean | undefined;
  /** Is told about once a second how far the copy is, and at its end. Must not throw. */
  onProgress?: ((progress: CopyProgress) => void) | undefined;
}

/** How far a copy is. */
export interface CopyProgress {
  readonly channels: readonly ChannelProgress[];
}

/** What a copy has done. It is plain data. */
export interface CopyReport extends CopyProgress {
  /** False if a channel has ended with an error. */
  readonly ok: boolean;
}

/**
 * Copies channels into JetStream streams, one stream for each channel. Message n of the channel becomes message n of
 * the stream, or n is deleted there, if the channel has no such message. A copied message has its number, its time and
 * its reply in the headers `Nats-Streaming-Sequence`, `Nats-Streaming-Timestamp` and `Nats-Streaming-Reply`.
 *
 * What is copied is in the stream, and nowhere else is a state: after whatever has ended a copy, the same call goes on.
 * Outages of both sides are waited for. The source is only read: no subscription is left behind there.
 *
 * A channel that cannot be copied ends with its error in the report, whose `ok` is then false; the others go on. Resolves
 * with the report when all channels have ended. With {@link CopyOptions.watch} an aborted signal is the regular end:
 * the call resolves then, too.
 *
 * Rejects with a `TypeError` if an option is wrong, before anything is sent. Otherwise rejects with a
 * {@link BridgeError} if nothing can begin: `SOURCE_UNREACHABLE`, `TARGET_UNREACHABLE`, `NO_MONITOR`, `BRIDGE_RUNS`, or
 * `ABORTED` without {@link CopyOptions.watch}.
 *
 * @example
 * ```ts
 * const { ok, channels } = await copy({
 *   from: { clusterId: "test-cluster", servers: "nats://127.0.0.1:4222", monitor: "http://127.0.0.1:8222" },
 *   to: { servers: "nats://127.0.0.1:4333" },
 * });
 * for (const { channel, copied, error } of channels) console.log(channel, copied, error?.message ?? "");
 * ```
 */
export async function copy(options: CopyOptions): Promise<CopyReport> {
  const settings = checkBridgeOptions("copy", options, ["watch", "onProgress"]);
  const watch = boolean("watch", options.watch);
  const { onProgress } = options;
  if (onProgress !== undefined && typeof onProgress !== "function") bad("onProgress", "must be a function", onProgress);
  return await withEnds(settings, async (ends) => {
    const client = await ends.client();
    await ends.target.connection();
    const copying = new Copying(ends, client, watch, onProgress);
    return await copying.run(await channelsOf(ends));
  });
}

/** The copies of several channels, side by side. */
class Copying {
  readonly #ends: Ends;
  readonly #client: Client;
  readonly #watch: boolean;
  readonly #onProgress: ((progress: CopyProgress) => void) | undefined;
  #copies: ChannelCopy[] = [];
  #connection: Connection | undefined;

  constructor(ends: Ends, client: Client, watch: boolean, onProgress: CopyOptions["onProgress"]) {
    this.#ends = ends;
    this.#client = client;
    this.#watch = watch;
    this.#onProgress = onProgress;
  }

  async run(channels: readonly string[]): Promise<CopyReport> {
    const { settings, ending, target } = this.#ends;
    const limit = Math.min(MOST_OF_CHANNEL, Math.floor(MOST_OF_ALL / Math.max(1, channels.length)));
    const copies = channels.map((channel) => {
      return new ChannelCopy(this.#ends, this.#client, routeOf(channel, settings), limit, this.#watch);
    });
    this.#copies = copies;
    target.opened = (connection) => this.#attach(connection);
    this.#attach(await target.connection());
    let timer: Timer;
    const tick = (): void => {
      for (const copy of copies) copy.tick();
      this.#onProgress?.(this.#progress());
      timer = setTimeout(tick, PROGRESS);
    };
    timer = setTimeout(tick, PROGRESS);
    await Promise.all(copies.map((copy) => this.#run(copy)));
    clearTimeout(timer);
    if (ending.aborted && !this.#watch) throw aborted(ending.reason);
    const progress = this.#progress();
    this.#onProgress?.(progress);
    return { ...progress, ok: progress.channels.every(({ error }) => error === undefined) };
  }

  async #run(copy: ChannelCopy): Promise<void> {
    try {
      await copy.run();
      copy.figures.ended();
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      copy.figures.ended(error.code === "ABORTED" ? undefined : error);
    }
  }

  /** All channels share the connection. */
  #attach(connection: Connection): void {
    if (connection === this.#connection) return;
    this.#connection = connection;
    connection.writable = () => {
      for (const { sender } of this.#copies) sender.pump();
    };
    connection.publishDenied = (subject, error) => {
      return this.#copies.some(({ sender }) => sender.publishDenied(subject, error));
    };
  }

  #progress(): CopyProgress {
    return { channels: this.#copies.map(({ figures }) => figures.progress()) };
  }
}
