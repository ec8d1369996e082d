import { onAbort } from "../core-nats/async.ts";
import { Lifetime } from "../core-nats/lifetime.ts";
import { Link } from "../core-nats/link.ts";
import { connect, StreamingError } from "../index.ts";
import type { Client, Status } from "../index.ts";
import { Monitor } from "../monitoring/monitor.ts";
import { BridgeError } from "./errors.ts";
import type { Settings, Source, TargetServer } from "./options.ts";
import { aborted, Target } from "./target.ts";

/** In JetStream's answers, a message is in base64: a third more than the 64 MiB that a server takes at most. */
const LARGEST_ANSWER = 96 * 1024 * 1024;

/** @internal Both ends of the bridge, for one call: the target, and the source's clients and monitoring page. */
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
  const limits = { largestAnswer: LARGEST_ANSWER, waitOnFirstConnect: false };
  return new Link({ servers, auth, tls, inboxPrefix, name, ...times, ...limits });
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

/** @internal Does something with both ends, and closes them, whatever comes of it. */
export async function withEnds<T>(settings: Settings, use: (ends: Ends) => Promise<T>): Promise<T> {
  const ends = new Ends(settings);
  try {
    return await use(ends);
  } finally {
    await ends.close();
  }
}
