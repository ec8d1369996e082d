import { anySignal, settledWithin, sleep } from "./async.ts";
import type { Credentials } from "./auth.ts";
import { elapsed } from "./clock.ts";
import { Connection } from "./connection.ts";
import type { ConnectionOptions } from "./connection.ts";
import { NatsError } from "./errors.ts";
import type { NatsErrorCode } from "./errors.ts";
import type { ServerInfo } from "./info.ts";
import { Lifetime } from "./lifetime.ts";
import type { AbortSignalLike } from "./lifetime.ts";
import type { Server, Servers } from "./servers.ts";
import type { TlsOptions } from "./socket.ts";

/** How a dialer connects. */
export interface DialerOptions
  extends Pick<ConnectionOptions, "name" | "pingInterval" | "pingMaxOut" | "inboxPrefix" | "largestAnswer"> {
  /** Takes in the servers that others tell of. */
  readonly servers: Servers;
  /** True: what servers tell of others is not taken in. */
  readonly ignoreClusterUpdates: boolean;
  /** Is called at every dial. */
  readonly auth: () => Promise<Credentials | undefined>;
  /** Is called at every dial. Undefined if TLS is not demanded. */
  readonly tls: (() => Promise<TlsOptions>) | undefined;
  /** How long one dial may take, in milliseconds. So long may `auth` and `tls` take as well. */
  readonly connectTimeout: number;
}

/** What a dialer reports about its connections. */
export interface DialerEvents {
  /** Something failed on a connection that stays open. */
  problem(error: NatsError): void;
  /** A server has sent an INFO. */
  informed(info: ServerInfo, from: Server): void;
}

/**
 * How long the dialer waits before it dials the next server beside the others, in milliseconds. It waits longer before
 * a server that did not answer before, twice as long each time. A cluster may list addresses that cannot be reached
 * from here (Docker, NAT): some of them accept a connection and stay silent.
 */
const ATTEMPT_DELAY = 500;
const MOST_DOUBLINGS = 5;

/** Concurrent dials. The first dial that succeeds ends the others. */
interface Race {
  readonly over: Lifetime;
  readonly pending: Set<Server>;
  readonly failures: Map<Server, NatsError>;
  winner: Connection | undefined;
  /** Ends when a dial has ended. */
  dialEnded: Lifetime;
}

/** Connects to one of the servers, with credentials and TLS options. */
export class Dialer {
  readonly #options: DialerOptions;
  readonly #events: DialerEvents;

  constructor(options: DialerOptions, events: DialerEvents) {
    this.#options = options;
    this.#events = events;
  }

  // Why: docs/decisions.md#servers-are-dialled-side-by-side
  /**
   * Dials the servers in their order, several at a time if they are silent, until one has proved its connection or all
   * have failed. It dials a failed server again while others stay silent. Resolves with the connection, or with the
   * failure of each server. If `closing` ends first, the dials that have not failed are left out.
   */
  async dial(servers: readonly Server[], closing: AbortSignalLike): Promise<Connection | readonly NatsError[]> {
    const race: Race = {
      over: new Lifetime(),
      pending: new Set(),
      failures: new Map(),
      winner: undefined,
      dialEnded: new Lifetime(),
    };
    const { lifetime, release } = anySignal(closing, race.over);
    const queue = [...servers];
    /** Milliseconds until the next dial. */
    let untilNext = 0;
    while (!lifetime.aborted && (queue.length > 0 || race.pending.size > 0)) {
      const server = untilNext <= 0 ? queue.shift() : undefined;
      if (server !== undefined) {
        void this.#try(server, race, lifetime);
        untilNext = ATTEMPT_DELAY * 2 ** Math.min(queue[0]?.silences ?? 0, MOST_DOUBLINGS);
      }
      race.dialEnded = new Lifetime();
      await sleep(ATTEMPT_DELAY, race.dialEnded, lifetime);
      if (race.pending.size === 0) untilNext = 0;
      if (race.dialEnded.aborted || lifetime.aborted) continue;
      untilNext -= ATTEMPT_DELAY;
      for (const failed of race.failures.keys()) void this.#try(failed, race, lifetime);
    }
    release();
    return race.winner ?? [...race.failures.values()];
  }

  /** Never rejects. */
  async #try(server: Server, race: Race, over: AbortSignalLike): Promise<void> {
    const began = elapsed();
    race.pending.add(server);
    race.failures.delete(server);
    try {
      const connection = await this.#open(server, over);
      // Two dials may succeed in the same turn, and one may succeed in the turn in which `closing` ends.
      if (over.aborted) return connection.close();
      race.winner = connection;
      server.silences = 0;
      race.over.abort();
    } catch (error) {
      if (elapsed() - began >= ATTEMPT_DELAY) server.silences++;
      const failure = new NatsError("CONNECT", `cannot connect to ${server.label}`, error);
      race.failures.set(server, error instanceof NatsError ? error : failure);
    } finally {
      race.pending.delete(server);
      race.dialEnded.abort();
    }
  }

  async #open(server: Server, over: AbortSignalLike): Promise<Connection> {
    const { name, auth, tls, connectTimeout, pingInterval, pingMaxOut, inboxPrefix, largestAnswer } = this.#options;
    const { servers, ignoreClusterUpdates } = this.#options;
    const credentials = await this.#call("auth", "credentials", "AUTHORIZATION", auth, over);
    return Connection.open(
      server,
      {
        name,
        credentials: credentials ?? server.credentials,
        tls: tls && (await this.#call("tls", "options", "TLS", tls, over)),
        timeout: connectTimeout,
        pingInterval,
        pingMaxOut,
        inboxPrefix,
        largestAnswer,
        problem: (error) => this.#events.problem(error),
        informed: (info) => {
          if (!ignoreClusterUpdates) servers.discovered(info.connectUrls, server);
          this.#events.informed(info, server);
        },
      },
      over,
    );
  }

  /** Calls a function of the caller, which may take as long as a dial. It is called at every dial. */
  async #call<T>(
    option: string,
    what: string,
    code: NatsErrorCode,
    getValue: () => Promise<T>,
    over: AbortSignalLike,
  ): Promise<T> {
    const { connectTimeout } = this.#options;
    const value = getValue();
    const inTime = await settledWithin(connectTimeout, value, over);
    if (!inTime) throw new NatsError("TIMEOUT", `${option}: no ${what} within ${connectTimeout} ms`);
    try {
      return await value;
    } catch (error) {
      throw new NatsError(code, `${option}: the function that gives the ${what} failed`, error);
    }
  }
}
