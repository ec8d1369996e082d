import { noop, settled, sleep } from "./async.ts";
import { checkCredentials } from "./auth.ts";
import type { Credentials } from "./auth.ts";
import { backoff } from "./backoff.ts";
import { elapsed } from "./clock.ts";
import { Connection } from "./connection.ts";
import { Dialer } from "./dialer.ts";
import type { DialerOptions } from "./dialer.ts";
import { NatsError } from "./errors.ts";
import { Lifetime } from "./lifetime.ts";
import type { AbortSignalLike } from "./lifetime.ts";
import { Servers } from "./servers.ts";
import type { TlsOptions } from "./socket.ts";

/** How a link is dialled, and who hears of it. All times are in milliseconds. */
export interface LinkOptions
  extends Omit<DialerOptions, "servers" | "auth" | "tls" | "ignoreClusterUpdates"> {
  /** See `Servers`. */
  readonly servers: string | readonly string[] | undefined;
  /** True: only `servers` are dialled. Default false: those that a server tells of as well. */
  readonly ignoreClusterUpdates?: boolean | undefined;
  /** A function is called at every dial. Undefined: those of the URL, or none. */
  readonly auth: Credentials | (() => Credentials | Promise<Credentials>) | undefined;
  /** If given, even empty, every server must speak TLS. A function is called at every dial. */
  readonly tls: TlsOptions | (() => TlsOptions | Promise<TlsOptions>) | undefined;
  /** False: `connection` rejects if no server of the first round can be reached. Default true: it goes on dialling. */
  readonly waitOnFirstConnect?: boolean | undefined;
  /** Gets the failure of each server for each round of dials that failed. Must not throw. */
  readonly failed?: ((errors: readonly NatsError[]) => void) | undefined;
  /** Gets each error after which the connection goes on. Must not throw. */
  readonly problem?: ((error: NatsError) => void) | undefined;
}

/** When the last connection was opened this long ago, the next dial does not wait. In milliseconds. */
const STABLE_TIME = 1_000;

/** A way to a cluster: one connection at a time, and another one when it has ended and somebody asks for it. */
export class Link {
  readonly #options: LinkOptions;
  readonly #servers: Servers;
  readonly #dialer: Dialer;
  readonly #closing = new Lifetime();
  /** The latest connection, which may have ended. */
  #latest: Connection | undefined;
  #openedAt = Infinity;
  #dialling: Promise<Connection> | undefined;
  /** Counts the dials in a row, so that a server that drops its clients at once is dialled with pauses. */
  #attempt = 0;

  /** @throws TypeError for bad servers or credentials. No text has a part of a secret. */
  constructor(options: LinkOptions) {
    const { auth, tls, ignoreClusterUpdates = false, problem = noop } = options;
    if (auth !== undefined && typeof auth !== "function") checkCredentials(auth);
    this.#options = options;
    this.#servers = new Servers(options.servers, tls !== undefined);
    this.#dialer = new Dialer(
      {
        ...options,
        servers: this.#servers,
        ignoreClusterUpdates,
        auth: async () => (typeof auth === "function" ? await auth() : auth),
        tls: tls && (async () => (typeof tls === "function" ? await tls() : tls)),
      },
      { problem, informed: noop },
    );
  }

  /**
   * Resolves with the open connection. If there is none, the servers are dialled until one is open: again and again,
   * with pauses. All who wait share the dials.
   *
   * Rejects with the signal's reason if that aborts, while the dials go on for the others. Rejects with the
   * `NatsError` `CLOSED` once the link is closed. If there never was a connection, and each server of a round has
   * failed with `AUTHORIZATION` or `TLS`, it rejects with the first of these errors: no time makes a wrong password
   * right. Without `waitOnFirstConnect` so it does whatever they failed with. The next call dials again.
   */
  async connection(signal?: AbortSignalLike): Promise<Connection> {
    if (signal?.aborted) throw signal.reason;
    if (this.#closing.aborted) throw this.#closing.reason;
    if (this.#latest?.ended.aborted === false) return this.#latest;
    this.#dialling ??= this.#dial();
    const dialling = this.#dialling;
    if (signal !== undefined && !(await settled(dialling, signal))) throw signal.reason;
    return dialling;
  }

  /** Closes the connection, when what was sent before has left, and rejects all that wait for one. */
  close(): void {
    this.#closing.abort(new NatsError("CLOSED", "the link was closed"));
    this.#latest?.close();
  }

  async #dial(): Promise<Connection> {
    try {
      if (elapsed() - this.#openedAt >= STABLE_TIME) this.#attempt = 0;
      for (;;) {
        await sleep(backoff(this.#attempt++), this.#closing);
        const connection = await this.#round();
        if (connection !== undefined) return connection;
      }
    } finally {
      this.#dialling = undefined;
    }
  }

  /** Dials each server once. Returns undefined if all have failed, and there is a point in dialling them again. */
  async #round(): Promise<Connection | undefined> {
    const closing = this.#closing;
    const ended = this.#latest?.ended.reason;
    const wasWell = ended instanceof NatsError && ended.code === "CONNECTION_LOST";
    const dialled = await this.#dialer.dial(this.#servers.round(this.#latest?.server, wasWell), closing);
    if (dialled instanceof Connection) {
      this.#latest = dialled;
      this.#openedAt = elapsed();
      if (closing.aborted) dialled.close();
    }
    if (closing.aborted) throw closing.reason;
    if (dialled instanceof Connection) return dialled;
    this.#options.failed?.(dialled);
    const wait = this.#options.waitOnFirstConnect !== false && !dialled.every(isRefusal);
    if (this.#latest === undefined && !wait) throw dialled[0];
    return undefined;
  }
}

function isRefusal({ code }: NatsError): boolean {
  return code === "AUTHORIZATION" || code === "TLS";
}
