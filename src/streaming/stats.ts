/** What a client has done so far, counted from its start, and what is under way now. All are plain numbers. */
export interface ClientStats {
  /** Publishes that the server has stored. */
  readonly stored: number;
  /**
   * Publishes that were rejected with any code but `UNCONFIRMED`. They are certainly not stored. A `TypeError` is not
   * counted.
   */
  readonly rejected: number;
  /** Publishes that were rejected with `UNCONFIRMED`. It is unknown whether they are stored. */
  readonly unconfirmed: number;
  /** Publishes that are sent and not yet acknowledged, now. */
  readonly inFlight: number;
  /** The bytes on the wire of {@link ClientStats.inFlight}. */
  readonly inFlightBytes: number;
  /** Publishes that wait to be sent, now. */
  readonly queued: number;
  /** The bytes of {@link ClientStats.queued}, for each 256 more. `maxQueuedBytes` limits it. */
  readonly queuedBytes: number;
  /** Subscriptions that have not ended, now. */
  readonly subscriptions: number;
  /**
   * Bytes of received messages that wait for a handler, or for their next run or delivery after they failed, in all
   * subscriptions, now. Each message counts its size plus 256. `maxWaitingBytes` limits it.
   */
  readonly waitingBytes: number;
  /** Connections to a NATS server that were made. All but the first are reconnects. */
  readonly connections: number;
  /** Registrations with the streaming server. All but the first mean that a session was lost. */
  readonly registrations: number;
  /** How often the client verified its session, mostly after a lost link, and found it alive. */
  readonly resumptions: number;
  /**
   * When the client last became registered, or verified its session, in milliseconds since 1970. 0 before the first
   * time.
   */
  readonly registeredAt: number;
  /**
   * When the streaming server last said that it knows the client, in milliseconds since 1970. The client asks every
   * `pingInterval`. 0 before the first time.
   */
  readonly pongAt: number;
}

/**
 * What a subscription has done so far, counted from its start, and what is under way now. All are plain numbers but
 * `paused`.
 */
export interface SubscriptionStats {
  /** Deliveries, redeliveries included. */
  readonly received: number;
  /** Deliveries that the server marked as redelivered. */
  readonly redelivered: number;
  /** Handlers that ended without an error. */
  readonly handled: number;
  /** Handlers that threw or whose promise rejected. */
  readonly failed: number;
  /**
   * Acks that were sent, or are sent once that is possible. A redelivery of a finished message is acknowledged again,
   * and counts.
   */
  readonly acknowledged: number;
  /** Handlers that run, now. */
  readonly running: number;
  /** Messages that wait for a handler, now. */
  readonly waiting: number;
  /** The highest sequence that was received, or 0. Members of a queue group in one client share it. */
  readonly highest: number;
  /**
   * Messages that wait for their next run in this process, as `backoff` and `nak` say, or to be stored as a dead
   * letter, now.
   */
  readonly retrying: number;
  /** Whether the subscription is paused, now: true between `pause` and `resume`. */
  readonly paused: boolean;
}
