import { onAbort } from "../core-nats/async.ts";
import { NatsError } from "../core-nats/errors.ts";
import { Lifetime } from "../core-nats/lifetime.ts";
import { Link } from "../core-nats/link.ts";
import { connect, StreamingError } from "../index.ts";
import type { Client, Status } from "../index.ts";
import { Monitor } from "../monitoring/monitor.ts";
import { BridgeError } from "./errors.ts";
import type { Settings, Source, TargetServer } from "./options.ts";
import { aborted, Target } from "./target.ts";

/** @internal Both ends of the bridge, for one call: the target, the source's monitoring page, its clients of the source. */
export class Ends {
  readonly settings: Settings;
  readonly target: Target;
  /** Undefined if it was not given. */
  readonly monitor: Monitor | undefined;
  /** Ends when the caller aborts, or when the call is over. */
  readonly ending = new Lifetime();
  readonly #link: Link;
  readonly #clients: Client[] = [];
  readonly #unlisten: () => void;

  /** @throws TypeError for options that only a dial checks */
  constructor(settings: Settings) {
    const { to, from, signal } = settings;
    this.settings = settings;
    this.#link = linkTo(to, from.clientId);
    this.target = new Target(this.#link, to, this.ending);
    this.monitor = from.monitor === undefined ? undefined : new Monitor(from.monitor, signal, noMonitor);
    this.#unlisten = signal === undefined ? () => {} : onAbort(() => this.ending.abort(signal.reason), signal);
  }

  /**
   * A client of the source, under the bridge's client ID or another one. It is closed with the ends. `onStatus` gets
   * what happens to it.
   */
  async client(clientId = this.settings.from.clientId, onStatus: (status: Status) => void = () => {}): Promise<Client> {
    const { monitor: _, ...from } = this.settings.from;
    const { signal } = this.settings;
    try {
      const client = await connect({ ...from, clientId, onStatus, signal });
      this.#clients.push(client);
      return client;
    } catch (error) {
      throw error instanceof StreamingError ? sourceError(error, clientId) : error;
    }
  }

  /** @throws BridgeError `ABORTED` */
  check(): void {
    if (this.ending.aborted) throw aborted(this.ending.reason);
  }

  async close(): Promise<void> {
    this.#unlisten();
    this.ending.abort();
    this.#link.close();
    await Promise.all(this.#clients.map((client) => client.close()));
  }
}

function noMonitor(reason: string, cause: unknown): BridgeError {
  const remedy = "Start the streaming server with -m 8222, and give that port's URL as from.monitor.";
  return new BridgeError("NO_MONITOR", undefined, reason, remedy, cause);
}

/** @internal A link to the NATS servers of one end. It rejects if none of them is there at its first dial. */
export function linkTo({ servers, auth, tls, inboxPrefix = "_INBOX" }: Source | TargetServer, name: string): Link {
  const times = { connectTimeout: 5_000, pingInterval: 5_000, pingMaxOut: 3 };
  return new Link({ servers, auth, tls, inboxPrefix, name, ...times, waitOnFirstConnect: false });
}

function sourceError(error: StreamingError, clientId: string): BridgeError {
  switch (error.code) {
    case "ABORTED":
      return aborted(error.cause);
    case "CLIENT_ID_IN_USE": {
      const remedy = "End the other bridge, or give this one another from.clientId for other channels.";
      return new BridgeError("BRIDGE_RUNS", undefined, `another client holds the client ID ${clientId}`, remedy, error);
    }
    case "NOT_PERMITTED": {
      const remedy = "Let the bridge's user do there what any client of the streaming server may.";
      return new BridgeError("NOT_PERMITTED", undefined, error.message, remedy, error);
    }
    default: {
      const remedy = "Check the source's address, cluster ID, credentials and TLS.";
      const what = `the source does not answer: ${error.message}`;
      return new BridgeError("SOURCE_UNREACHABLE", undefined, what, remedy, error);
    }
  }
}

/**
 * @internal Does something with both ends, and closes them, whatever comes of it. What it rejects with is a
 * `BridgeError` or a `TypeError`, about `channel` if there is one.
 */
export async function withEnds<T>(settings: Settings, use: (ends: Ends) => Promise<T>, channel?: string): Promise<T> {
  const ends = new Ends(settings);
  try {
    return await use(ends);
  } catch (error) {
    ends.check();
    throw error instanceof TypeError ? error : bridgeError(error, channel);
  } finally {
    await ends.close();
  }
}

/** @internal The error that users get, with the channel that it is about. */
export function bridgeError(error: unknown, channel: string | undefined): BridgeError {
  if (error instanceof BridgeError) {
    if (error.channel !== undefined || channel === undefined) return error;
    return new BridgeError(error.code, channel, error.message, error.remedy, error.cause);
  }
  if (error instanceof StreamingError) {
    const code = error.code === "NOT_PERMITTED" ? "NOT_PERMITTED" : "SOURCE_UNREACHABLE";
    const remedy = "Let the bridge's user do in the source what any client of the streaming server may.";
    return new BridgeError(code, channel, error.message, remedy, error);
  }
  const reason = error instanceof Error ? error.message : String(error);
  const remedy = "See what the target's log says; the same call goes on where this one ended.";
  if (error instanceof NatsError) {
    const code = error.code === "PERMISSIONS" ? "NOT_PERMITTED" : "TARGET_UNREACHABLE";
    return new BridgeError(code, channel, error.reason, remedy, error);
  }
  return new BridgeError("REFUSED", channel, `the target refuses: ${reason}`, remedy, error);
}
