import { BridgeError } from "./errors.ts";
import type { Settings } from "./options.ts";

/** How long one answer may take, in milliseconds. */
const TIMEOUT = 10_000;
/** The most channels that a page lists. */
const PAGE = 1_024;

/** @internal A subscription as the monitoring page shows it (seen on 0.25.6). */
export interface MonitoredSubscription {
  readonly client_id: string;
  /** "durable:group" for a durable queue group. */
  readonly queue_name?: string;
  readonly durable_name?: string;
  readonly is_durable?: boolean;
  readonly is_offline?: boolean;
  readonly max_inflight: number;
  /** In seconds. */
  readonly ack_wait: number;
  readonly last_sent: number;
  readonly pending_count: number;
  readonly is_stalled?: boolean;
}

/** @internal */
export interface MonitoredChannel {
  readonly name: string;
  readonly msgs: number;
  readonly bytes: number;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly subscriptions?: readonly MonitoredSubscription[];
}

/** @internal */
export interface MonitoredServer {
  readonly cluster_id: string;
  readonly version: string;
  readonly state: string;
  readonly role?: string;
}

/** @internal Reads the monitoring pages of a streaming server. */
export class Monitor {
  readonly #url: string;
  readonly #signal: AbortSignal | undefined;

  constructor(url: string, signal: Settings["signal"]) {
    this.#url = url.replace(/\/+$/, "");
    this.#signal = signal;
  }

  async server(): Promise<MonitoredServer> {
    const page = await this.#page<MonitoredServer>("serverz");
    return page ?? failed(new Error("this is not the monitoring port of a streaming server"));
  }

  /** The names of all channels. */
  async channels(): Promise<string[]> {
    const names: string[] = [];
    for (;;) {
      const page = await this.#page<{ names?: string[] }>(`channelsz?limit=${PAGE}&offset=${names.length}`);
      const more = page?.names ?? [];
      names.push(...more);
      if (more.length < PAGE) return names.sort();
    }
  }

  /** A channel with its subscriptions, or undefined if there is no such channel. */
  channel(name: string): Promise<MonitoredChannel | undefined> {
    return this.#page(`channelsz?channel=${encodeURIComponent(name)}&subs=1`);
  }

  /** Undefined for a 404. */
  async #page<T>(path: string): Promise<T | undefined> {
    const where = `${this.#url}/streaming/${path}`;
    const timeout = AbortSignal.timeout(TIMEOUT);
    const signal = this.#signal === undefined ? timeout : AbortSignal.any([timeout, this.#signal]);
    try {
      const response = await fetch(where, { signal, redirect: "error" });
      if (response.status === 404) return undefined;
      if (!response.ok) throw new Error(`status ${response.status}`);
      return JSON.parse(await response.text()) as T;
    } catch (error) {
      return failed(error);
    }
  }
}

function failed(error: unknown): never {
  throw new BridgeError(
    "NO_MONITOR",
    undefined,
    `the monitoring page of the streaming server does not answer: ${String(error)}`,
    "Start the streaming server with -m 8222, and give that port's URL as from.monitor.",
    error,
  );
}
