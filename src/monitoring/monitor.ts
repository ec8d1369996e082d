/** How long one answer may take, in milliseconds. */
const TIMEOUT = 10_000;
/** The most channels, or clients, that one page lists. */
const PAGE = 1_024;

/** @internal A subscription as the monitoring page shows it (seen on 0.25.6). */
export interface MonitoredSubscription {
  /** Of an offline one: the last owner. */
  readonly client_id: string;
  readonly inbox: string;
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
export interface MonitoredClient {
  readonly id: string;
  readonly hb_inbox: string;
  readonly subs_count: number;
  /** By channel. */
  readonly subscriptions?: Readonly<Record<string, readonly MonitoredSubscription[]>>;
}

/** @internal */
export interface MonitoredServer {
  readonly cluster_id: string;
  readonly version: string;
  readonly state: string;
  readonly role?: string;
  readonly clients: number;
  readonly subscriptions: number;
  readonly channels: number;
  readonly total_msgs: number;
  readonly total_bytes: number;
}

/** @internal A limit of 0 is none. */
export interface MonitoredStore {
  readonly type: string;
  readonly limits: {
    readonly max_channels: number;
    /** In each channel. */
    readonly max_msgs: number;
    readonly max_bytes: number;
    readonly max_subscriptions: number;
  };
}

/** @internal A connection of the NATS server, on whose port the pages are if it is the streaming server's own. */
export interface MonitoredConnection {
  readonly ip: string;
  readonly port: number;
  readonly name?: string;
  readonly lang?: string;
  readonly version?: string;
  readonly subscriptions_list?: readonly string[];
}

/** @internal The monitoring page did not answer, or not with what is expected. */
export class MonitorError extends Error {
  override get name(): string {
    return "MonitorError";
  }
}

/** @internal Makes the error of a page that did not answer. */
export type MonitorFailed = (reason: string, cause: unknown) => Error;

/** @internal Reads the monitoring pages of a streaming server. */
export class Monitor {
  readonly url: string;
  readonly #signal: AbortSignal | undefined;
  readonly #failed: MonitorFailed;

  /** What fails is a `MonitorError`, or what `failed` makes. */
  constructor(url: string, signal: AbortSignal | undefined, failed: MonitorFailed = monitorError) {
    this.url = url.replace(/\/+$/, "");
    this.#signal = signal;
    this.#failed = failed;
  }

  async server(): Promise<MonitoredServer> {
    return (await this.#page<MonitoredServer>("streaming/serverz"))!;
  }

  async store(): Promise<MonitoredStore> {
    return (await this.#page<MonitoredStore>("streaming/storez"))!;
  }

  /** The names of all channels. */
  async channelNames(): Promise<string[]> {
    return (await this.#all<string>("streaming/channelsz?", "names")).sort();
  }

  /** All channels with their subscriptions, by name. */
  async channels(): Promise<MonitoredChannel[]> {
    const channels = await this.#all<MonitoredChannel>("streaming/channelsz?subs=1&", "channels");
    return channels.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** A channel with its subscriptions, or undefined if there is no such channel. */
  channel(name: string): Promise<MonitoredChannel | undefined> {
    return this.#page(`streaming/channelsz?channel=${encodeURIComponent(name)}&subs=1`);
  }

  /** All registered clients with their subscriptions, by ID. */
  async clients(): Promise<MonitoredClient[]> {
    const clients = await this.#all<MonitoredClient>("streaming/clientsz?subs=1&", "clients");
    return clients.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** A client with its subscriptions, or undefined if none is registered with this ID. */
  client(id: string): Promise<MonitoredClient | undefined> {
    return this.#page(`streaming/clientsz?client=${encodeURIComponent(id)}&subs=1`);
  }

  /** The connection that listens to a subject, if the NATS server of these pages has it. */
  async connectionOf(subject: string): Promise<MonitoredConnection | undefined> {
    const found = await this.#all<MonitoredConnection>("connz?subs=1&", "connections");
    return found.find((connection) => connection.subscriptions_list?.includes(subject));
  }

  async #all<T>(path: string, field: string): Promise<T[]> {
    const all: T[] = [];
    for (;;) {
      const page = await this.#page<Record<string, T[] | undefined>>(`${path}limit=${PAGE}&offset=${all.length}`);
      const more = page?.[field] ?? [];
      all.push(...more);
      if (more.length < PAGE) return all;
    }
  }

  /** Undefined if the server has no channel or client of the name that is asked for. */
  async #page<T>(path: string): Promise<T | undefined> {
    const timeout = AbortSignal.timeout(TIMEOUT);
    const signal = this.#signal === undefined ? timeout : AbortSignal.any([timeout, this.#signal]);
    try {
      const response = await fetch(`${this.url}/${path}`, { signal, redirect: "error" });
      const text = await response.text();
      // A server that is starting has no such page at all yet.
      if (response.status === 404 && /^(Channel|Client) /.test(text)) return undefined;
      if (!response.ok) throw new Error(`status ${response.status}`);
      return JSON.parse(text) as T;
    } catch (error) {
      const { message, cause } = error as Error;
      const reason = cause instanceof Error && cause.message !== "" ? cause.message : message;
      throw this.#failed(`the monitoring page of the streaming server does not answer: ${reason}`, error);
    }
  }
}

function monitorError(reason: string, cause: unknown): MonitorError {
  return new MonitorError(reason, { cause });
}
