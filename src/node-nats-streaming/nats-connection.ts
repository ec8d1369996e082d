import { CLOSED, NatsError } from "./errors.ts";
import { EventEmitter } from "./event-emitter.ts";

/** What programs have in `stan.nc`: state and events of the link, `flush` and `close`. Every other call throws. */
export class NatsConnection extends EventEmitter {
  connected = false;
  closed = false;
  reconnecting = false;
  /** Closes the client, as `stan.close()`. */
  readonly close: () => void;
  readonly #flush: (callback: () => void) => void;

  constructor(flush: (callback: () => void) => void, close: () => void) {
    super();
    this.#flush = flush;
    this.close = close;
  }

  /** Calls back when all that was published before is stored, or has failed. If the client is closed, with an error. */
  flush(callback?: (error?: Error) => void): void {
    if (!this.closed) return this.#flush(callback ?? ((): void => undefined));
    if (callback === undefined) throw new NatsError(CLOSED, "CONN_CLOSED");
    callback(new NatsError(CLOSED, "CONN_CLOSED"));
  }
}

const NOT_OFFERED =
  "publish subscribe unsubscribe request requestOne timeout drain drainSubscription numSubscriptions createInbox";
for (const name of `${NOT_OFFERED} addServer reconnect`.split(" ")) {
  const value = (): never => {
    throw new Error(`stan.nc.${name} is not offered: connect with the package nats as well, and call its ${name}`);
  };
  Object.defineProperty(NatsConnection.prototype, name, { value, configurable: true, writable: true });
}
