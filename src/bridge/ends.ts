import { noop, onAbort } from "../core-nats/async.ts";
import { NatsError } from "../core-nats/errors.ts";
import { Lifetime } from "../core-nats/lifetime.ts";
import { Link } from "../core-nats/link.ts";
import { connect, StreamingError } from "../index.ts";
import type { Client, Status } from "../index.ts";
import { Monitor } from "../monitoring/monitor.ts";
import { BridgeError } from "./errors.ts";
import type { Settings, Source, TargetServer } from "./options.ts";
import { aborted, ApiError, Target } from "./target.ts";

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
    const abort = (): void => {
      this.ending.abort(signal!.reason);
      // Nothing waits for a target that is silent.
      this.#link.close();
    };
    this.#unlisten = signal === undefined ? noop : onAbort(abort, signal);
  }

  /** A client of the source, which is closed with the ends. `onStatus` gets what happens to it. */
  async client(clientId = this.settings.from.clientId, onStatus: (status: Status) => void = noop): Promise<Client> {
    const { monitor: _, ...from } = this.settings.from;
    try {
      const client = await connect({ ...from, clientId, onStatus, signal: this.settings.signal });
      this.#clients.push(client);
      return client;
    } catch (error) {
      if (!(error instanceof StreamingError) || error.code !== "CLIENT_ID_IN_USE") throw bridgeError(error);
      const remedy = "End the other bridge, or give this one another from.clientId for other channels.";
      throw new BridgeError("BRIDGE_RUNS", undefined, `another client holds the client ID ${clientId}`, remedy, error);
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
  const limits = { largestAnswer: LARGEST_ANSWER, waitOnFirstConnect: false };
  return new Link({ servers, auth, tls, inboxPrefix, name, ...times, ...limits });
}

/** @internal Does something with both ends, and closes them. Rejects with a `BridgeError`, about `channel` if given. */
export async function withEnds<T>(settings: Settings, use: (ends: Ends) => Promise<T>, channel?: string): Promise<T> {
  const ends = new Ends(settings);
  try {
    return await use(ends);
  } catch (error) {
    ends.check();
    throw bridgeError(error, channel);
  } finally {
    await ends.close();
  }
}

/** @internal What users get in place of an error of one of the ends, with the channel that it is about. */
export function bridgeError(error: unknown, channel?: string): BridgeError {
  if (error instanceof BridgeError) {
    if (error.channel !== undefined || channel === undefined) return error;
    return new BridgeError(error.code, channel, error.message, error.remedy, error.cause);
  }
  if (error instanceof StreamingError) {
    if (error.code === "ABORTED") return aborted(error.cause);
    const code = error.code === "NOT_PERMITTED" ? error.code : "SOURCE_UNREACHABLE";
    const remedy = "Check the source's address, cluster ID, credentials, TLS, and what the bridge's user may do there.";
    return new BridgeError(code, channel, `the source does not do it: ${error.message}`, remedy, error);
  }
  const remedy = "See what the target's log says; the same call goes on where this one ended.";
  if (error instanceof NatsError) {
    const code = error.code === "PERMISSIONS" ? "NOT_PERMITTED" : "TARGET_UNREACHABLE";
    return new BridgeError(code, channel, error.reason, remedy, error);
  }
  if (error instanceof ApiError) {
    return new BridgeError("REFUSED", channel, `the target refuses: ${error.message}`, remedy, error);
  }
  throw error;
}
