/** What a client has done so far, and what is under way: plain numbers, counted from the start of the client. */
export interface ClientStats {
  /** Publishes that the server has stored. */
  readonly stored: number;
  /** Publishes that were rejected with any code but `UNCONFIRMED`: certainly not stored. A `TypeError` is not counted. */
  readonly rejected: number;
  /** Publishes that were rejected with `UNCONFIRMED`. */
  readonly unconfirmed: number;
  /** Publishes that are sent and not yet acknowledged, and their bytes on the wire. */
  readonly inFlight: number;
  readonly inFlightBytes: number;
  /** Publishes that wait for their turn, and their bytes. */
  readonly queued: number;
  readonly queuedBytes: number;
  /** Subscriptions that have not ended. */
  readonly subscriptions: number;
  /** Bytes of messages that wait for a handler, or for their next delivery, in all subscriptions. */
  readonly waitingBytes: number;
  /** Connections to a NATS server that were made; all but the first are reconnects. */
  readonly connections: number;
  /** Registrations with the streaming server; all but the first mean that a session was lost. */
  readonly registrations: number;
  /** How often the session was found alive after it had been in question. */
  readonly resumptions: number;
  /** When the client last became registered, in milliseconds since 1970; 0 before the first time. */
  readonly registeredAt: number;
  /** When the streaming server last said that it knows the client (it is asked every `pingInterval`), likewise. */
  readonly pongAt: number;
}

/** What a subscription has done so far, and what is under way: plain numbers, counted from its start. */
export interface SubscriptionStats {
  /** Deliveries, redeliveries included. */
  readonly received: number;
  /** Deliveries that the server marked as redelivered. */
  readonly redelivered: number;
  /** Handlers that ended well. */
  readonly handled: number;
  /** Handlers that threw or whose promise rejected. */
  readonly failed: number;
  /** Acks that were sent, or are to be sent once that is possible; those for redeliveries of finished messages included. */
  readonly acknowledged: number;
  /** Handlers that run now. */
  readonly running: number;
  /** Messages that wait for a handler. */
  readonly waiting: number;
  /** The highest sequence received, or 0. */
  readonly highest: number;
}
