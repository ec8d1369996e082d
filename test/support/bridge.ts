import { expect, onTestFinished } from "vitest";
import { copy } from "../../src/bridge/index.ts";
import type { BridgeOptions, ChannelProgress, CopyOptions, CopyReport } from "../../src/bridge/index.ts";
import type { Client } from "../../src/index.ts";
import { fresh } from "./clients.ts";
import { asCopies, copiesOf } from "./jetstream.ts";
import type { JetStream } from "./jetstream.ts";
import { until } from "./until.ts";

/** Where a streaming server is, and its monitoring page if the bridge is to know it. */
export interface SourcePlace {
  readonly url: string;
  readonly monitorPort?: number;
}

/** The options of a bridge between two servers, with a client ID of its own. */
export function between(
  source: SourcePlace,
  target: { readonly url: string | readonly string[] },
  channels: string | readonly string[],
  more: Partial<BridgeOptions> = {},
): BridgeOptions {
  const { url, monitorPort } = source;
  const monitor = monitorPort === undefined ? undefined : `http://127.0.0.1:${monitorPort}`;
  const from = { clusterId: "test-cluster", clientId: fresh("bridge"), servers: url, monitor };
  return { from, to: { servers: target.url }, channels, ...more };
}

/** A copy that follows its channels until it is stopped, or the test is over. */
export class Following {
  readonly #controller = new AbortController();
  readonly #ended: Promise<CopyReport>;
  #latest: readonly ChannelProgress[] = [];

  constructor(options: CopyOptions) {
    const { signal } = this.#controller;
    const onProgress = ({ channels }: { channels: readonly ChannelProgress[] }): void => void (this.#latest = channels);
    this.#ended = copy({ ...options, watch: true, signal, onProgress });
    this.#ended.catch(() => {});
    onTestFinished(() => this.stop().then(() => {}, () => {}));
  }

  /** Waits until the progress of its only channel is such, and returns that. */
  async until(what: string, check: (progress: ChannelProgress) => boolean): Promise<ChannelProgress> {
    return until(what, () => this.#latest.find(check), 60_000);
  }

  /** Waits until the stream has the message of a number. */
  reaches(last: number): Promise<ChannelProgress> {
    return this.until(`the copy has ${last}`, (progress) => progress.last >= last);
  }

  /** Resolves with the report, once all its channels have ended by themselves. */
  get ended(): Promise<CopyReport> {
    return this.#ended;
  }

  /** Ends it, and resolves with its report. */
  async stop(): Promise<CopyReport> {
    this.#controller.abort();
    return this.#ended;
  }
}

/** Reads both sides, and expects that each message of the channel is in the stream under its number, and no other. */
export async function expectEqual(
  client: Client,
  channel: string,
  last: number,
  js: JetStream,
  stream = channel,
): Promise<void> {
  const messages = asCopies(await js.messages(stream));
  const copies = await copiesOf(client, channel, last);
  expect(messages.map(({ sequence }) => sequence)).toEqual(copies.map(({ sequence }) => sequence));
  expect(messages).toEqual(copies);
}
