import { nuid } from "../core-nats/nuid.ts";
import { bad, integer } from "../streaming/checks.ts";
import { channelsOf } from "./channels.ts";
import { Comparison } from "./comparison.ts";
import type { Compared } from "./comparison.ts";
import { bridgeError, withEnds } from "./ends.ts";
import { failureOf } from "./errors.ts";
import type { BridgeFailure } from "./errors.ts";
import { checkBridgeOptions } from "./options.ts";
import type { BridgeOptions } from "./options.ts";
import { routeOf } from "./stream.ts";

/** Options of {@link verify}. */
export interface VerifyOptions extends BridgeOptions {
  /** Compares the messages from this number on. Default 1. */
  fromSequence?: number | undefined;
  /** Is told about once a second how far the comparison of a channel is. Must not throw. */
  onProgress?: ((progress: Compared) => void) | undefined;
}

/** What the comparison of a channel has found. */
export interface VerifiedChannel extends Compared {
  /** Why the comparison could not come to its end. */
  readonly error?: BridgeFailure;
}

/** What a comparison has found. It is plain data. */
export interface VerifyReport {
  /** False if something differs, or a channel could not be compared. What is not copied yet is no difference. */
  readonly ok: boolean;
  readonly channels: readonly VerifiedChannel[];
}

/**
 * Reads channels and their streams, both from the first message to the last one of now, and compares them: number,
 * bytes, time and reply of each message. It changes nothing, and may be called while a copy runs. Outages of both sides
 * are waited for.
 *
 * Resolves with the report, also if something differs, or a channel could not be compared: {@link VerifyReport.ok} is
 * false then. Rejects with a `TypeError` if an option is wrong, before anything is sent. Otherwise rejects with a
 * `BridgeError` if nothing can begin: `SOURCE_UNREACHABLE`, `TARGET_UNREACHABLE`, `NO_MONITOR`, or `ABORTED`.
 *
 * @example
 * ```ts
 * const { ok, channels } = await verify({
 *   from: { clusterId: "test-cluster", servers: "nats://127.0.0.1:4222", monitor: "http://127.0.0.1:8222" },
 *   to: { servers: "nats://127.0.0.1:4333" },
 * });
 * for (const { channel, compared, differences } of channels) console.log(channel, compared, differences);
 * console.log(ok);
 * ```
 */
export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  const settings = checkBridgeOptions("verify", options, ["fromSequence", "onProgress"]);
  const from = integer("fromSequence", options.fromSequence, 1, 1, Number.MAX_SAFE_INTEGER);
  const { onProgress } = options;
  if (onProgress !== undefined && typeof onProgress !== "function") bad("onProgress", "must be a function", onProgress);
  return await withEnds(settings, async (ends) => {
    await ends.target.connection();
    const client = await ends.client(`bridge-verify-${nuid()}`);
    const channels: VerifiedChannel[] = [];
    for (const channel of await channelsOf(ends)) {
      const comparison = new Comparison(ends, client, routeOf(channel, settings), from);
      try {
        await comparison.run(onProgress);
        channels.push(comparison.found);
      } catch (error) {
        ends.check();
        channels.push({ ...comparison.found, error: failureOf(bridgeError(error, channel)) });
      }
    }
    return { ok: channels.every(({ error, differences }) => error === undefined && differences === 0), channels };
  });
}
