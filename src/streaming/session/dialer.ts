import { settledWithin, sleep, anySignal } from "../../core-nats/async.ts";
import { elapsed } from "../../core-nats/clock.ts";
import { Connection } from "../../core-nats/connection.ts";
import { NatsError } from "../../core-nats/errors.ts";
import type { NatsErrorCode } from "../../core-nats/errors.ts";
import type { ServerInfo } from "../../core-nats/info.ts";
import { Lifetime } from "../../core-nats/lifetime.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { Server } from "../../core-nats/servers.ts";
import { StreamingError } from "../errors.ts";
import type { Settings } from "../settings.ts";

/** What a dialer tells of its connections. */
export interface DialerEvents {
  /** Something went wrong while the link stays. */
  problem(error: NatsError): void;
  informed(info: ServerInfo, from: Server): void;
}

/**
 * How long one server is dialled before the next one is dialled as well, in milliseconds; longer for one that did not answer
 * before, twice as long each time. A cluster may tell of addresses that cannot be reached from here (Docker, NAT): some accept
 * and stay silent.
 */
const AHEAD = 500;
const MOST_DOUBLINGS = 5;

/** Dials side by side, of which the first to succeed ends the others. */
interface Race {
  readonly over: Lifetime;
  readonly pending: Set<Server>;
  readonly failures: Map<Server, NatsError>;
  won: Connection | undefined;
  /** Ends when a dial has ended. */
  step: Lifetime;
}

/** Finds a server: which one, when, and with what. */
export class Dialer {
  readonly #settings: Settings;
  readonly #events: DialerEvents;

  constructor(settings: Settings, events: DialerEvents) {
    this.#settings = settings;
    this.#events = events;
  }

  // Why: docs/decisions.md#servers-are-dialled-side-by-side
  /**
   * Dials the servers in their order, side by side if need be, until one has proved its connection, or all have failed; one that
   * has failed is dialled again while others keep silent. Resolves with the connection, or with why there is none: of each server,
   * and nothing of those that `closing` came before.
   */
  async dial(servers: readonly Server[], closing: AbortSignalLike): Promise<Connection | readonly NatsError[]> {
    const race: Race = { over: new Lifetime(), pending: new Set(), failures: new Map(), won: undefined, step: new Lifetime() };
    const { lifetime, release } = anySignal(closing, race.over);
    const queue = [...servers];
    /** So many milliseconds are left until the next one is dialled. */
    let lead = 0;
    while (!lifetime.aborted && (queue.length > 0 || race.pending.size > 0)) {
      const server = lead <= 0 ? queue.shift() : undefined;
      if (server !== undefined) {
        void this.#try(server, race, lifetime);
        lead = AHEAD * 2 ** Math.min(queue[0]?.silences ?? 0, MOST_DOUBLINGS);
      }
      race.step = new Lifetime();
      await sleep(AHEAD, race.step, lifetime);
      if (race.pending.size === 0) lead = 0;
      if (race.step.aborted || lifetime.aborted) continue;
      lead -= AHEAD;
      for (const failed of race.failures.keys()) void this.#try(failed, race, lifetime);
    }
    release();
    return race.won ?? [...race.failures.values()];
  }

  /** Never rejects. */
  async #try(server: Server, race: Race, over: AbortSignalLike): Promise<void> {
    const began = elapsed();
    race.pending.add(server);
    race.failures.delete(server);
    try {
      const connection = await this.#open(server, over);
      // Two may succeed in the same turn.
      if (race.won !== undefined) return connection.close();
      race.won = connection;
      server.silences = 0;
      race.over.abort();
    } catch (error) {
      if (elapsed() - began >= AHEAD) server.silences++;
      race.failures.set(server, error instanceof NatsError ? error : new NatsError("CONNECT", `cannot connect to ${server.label}`, error));
    } finally {
      race.pending.delete(server);
      race.step.abort();
    }
  }

  async #open(server: Server, over: AbortSignalLike): Promise<Connection> {
    const { clientId, auth, tls, connectTimeout, pingInterval, pingMaxOut, inboxPrefix, servers, ignoreClusterUpdates } = this.#settings;
    const credentials = await this.#asked("auth", "credentials", "AUTHORIZATION", auth, over);
    return Connection.open(
      server,
      {
        name: clientId,
        credentials: credentials ?? server.credentials,
        tls: tls && (await this.#asked("tls", "options", "TLS", tls, over)),
        timeout: connectTimeout,
        pingInterval,
        pingMaxOut,
        inboxPrefix,
        problem: (error) => this.#events.problem(error),
        informed: (info) => {
          if (!ignoreClusterUpdates) servers.discovered(info.connectUrls, server);
          this.#events.informed(info, server);
        },
      },
      over,
    );
  }

  /** What the caller's function gives: asked at every dial, and not waited for longer than a dial may take. */
  async #asked<T>(option: string, what: string, code: NatsErrorCode, ask: () => Promise<T>, over: AbortSignalLike): Promise<T> {
    const { connectTimeout } = this.#settings;
    const asked = ask();
    const answered = await settledWithin(connectTimeout, asked, over);
    if (!answered) throw new NatsError("TIMEOUT", `${option}: no ${what} within ${connectTimeout} ms`);
    try {
      return await asked;
    } catch (error) {
      throw new NatsError(code, `${option}: the function that gives the ${what} failed`, error);
    }
  }
}

/** Why no server could be used. */
export function notConnected(failures: readonly NatsError[]): StreamingError {
  const refused = failures.find((failure) => failure.code === "AUTHORIZATION" || failure.code === "TLS");
  // Sorted, since servers are tried in any order, and the same failure is to be told in the same words.
  const reasons = failures.map(({ reason }) => reason).sort().join("; ");
  const cause = failures.length === 1 ? failures[0] : new AggregateError(failures, "no server could be used");
  return new StreamingError(refused === undefined ? "CONNECT_FAILED" : "AUTH_FAILED", `connect: ${reasons}`, cause);
}

/** What went wrong on a connection that stays. */
export function problem(error: NatsError): StreamingError {
  return new StreamingError(error.code === "PERMISSIONS" ? "NOT_PERMITTED" : "REFUSED", `connection: ${error.reason}`, error);
}
