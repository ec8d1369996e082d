import { clearTimeout, setTimeout } from "../core-nats/clock.ts";
import { bad, boolean } from "../streaming/checks.ts";
import { ChannelCopy } from "./channel-copy.ts";
import { channelsOf } from "./channels.ts";
import type { CopyProgress, CopyReport } from "./copy-report.ts";
import { withEnds } from "./ends.ts";
import { checkBridgeOptions } from "./options.ts";
import type { BridgeOptions } from "./options.ts";
import { routeOf } from "./stream.ts";
import { aborted } from "./target.ts";

/** The most bytes under way, of one channel and of all together. */
const MOST_OF_CHANNEL = 16 * 1024 * 1024;
const MOST_OF_ALL = 128 * 1024 * 1024;
/** How long JetStream may take for its first answer, in milliseconds. */
const FIRST_ANSWER = 10_000;
/** The time between two reports of progress, in milliseconds. */
const PROGRESS = 1_000;

/** Options of {@link copy}. */
export interface CopyOptions extends BridgeOptions {
  /**
   * True: the copy follows the channels until {@link BridgeOptions.signal} is aborted, or `finish` has ended all of
   * them. Default false: it ends when it has reached the ends that the channels had at its start. Either way channels
   * that appear later are not copied.
   */
  watch?: boolean | undefined;
  /** Is told about once a second how far the copy is, and at its end. Must not throw. */
  onProgress?: ((progress: CopyProgress) => void) | undefined;
}

/**
 * Copies channels into JetStream streams, one stream for each channel. Message n of the channel becomes message n of
 * the stream, or n is deleted there, if the channel has no such message. A copied message has its number, its time and
 * its reply in the headers `Nats-Streaming-Sequence`, `Nats-Streaming-Timestamp` and `Nats-Streaming-Reply`.
 *
 * What is copied is in the stream, and nowhere else is a state: after whatever has ended a copy, the same call goes on.
 * Outages of both sides are waited for. The source is only read: no subscription is left behind there.
 *
 * A channel that cannot be copied ends with its error in the report, whose `ok` is then false; the others go on.
 * Resolves with the report when all channels have ended. With {@link CopyOptions.watch} an aborted signal is the
 * regular end: the call resolves then, too.
 *
 * Rejects with a `TypeError` if an option is wrong, before anything is sent. Otherwise rejects with a
 * `BridgeError` if nothing can begin: `SOURCE_UNREACHABLE`, `TARGET_UNREACHABLE`, `NO_JETSTREAM`, `NOT_PERMITTED`,
 * `NO_MONITOR`, `BRIDGE_RUNS`, or `ABORTED` without {@link CopyOptions.watch}.
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
    const { target, ending } = ends;
    let copies: readonly ChannelCopy[] = [];
    // A source that does not know the client any more may have begun anew.
    const client = await ends.client(undefined, (status) => {
      if (status.type === "registered" && !status.resumed) for (const copy of copies) copy.stop();
    });
    await target.account(FIRST_ANSWER);
    const channels = await channelsOf(ends);
    const limit = Math.min(MOST_OF_CHANNEL, Math.floor(MOST_OF_ALL / Math.max(1, channels.length)));
    copies = channels.map((name) => new ChannelCopy(ends, client, routeOf(name, settings), limit, watch));
    const progress = (): CopyProgress => ({ channels: copies.map((copy) => copy.progress) });
    // All channels share the connection.
    target.opened = (connection) => {
      connection.writable = () => copies.forEach(({ sender }) => sender?.pump());
      connection.publishDenied = (...denied) => copies.some(({ sender }) => sender?.publishDenied(...denied));
    };
    const tick = (): void => {
      for (const copy of copies) copy.tick();
      onProgress?.(progress());
      timer = setTimeout(tick, PROGRESS);
    };
    let timer = setTimeout(tick, PROGRESS);
    await Promise.all(copies.map((copy) => copy.run())).finally(() => clearTimeout(timer));
    if (ending.aborted && !watch) throw aborted(ending.reason);
    const last = progress();
    onProgress?.(last);
    return { ...last, ok: last.channels.every(({ error }) => error === undefined) };
  });
}
