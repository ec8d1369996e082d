import type { Connection } from "../../core-nats/connection.ts";
import { invariant } from "../invariant.ts";
import type { PendingPublish } from "./pending-publish.ts";

// Why: docs/decisions.md#laps-of-256-reply-subjects
/**
 * How many tokens reply subjects have. Publishes use them in turn, and a PING follows each lap: a 503 that comes before
 * the PONG of a lap is for a publish of that lap. With a new subject for each message, the server could not use its
 * cache (measured: 402 000 publishes per second in place of 517 000).
 */
const LAP = 256;
const SMALLEST_RING = 64;

/**
 * Publishes that are sent and unanswered. Each one is in a ring, at its number modulo the length of the ring, so an ack
 * finds its publish without a look-up. Numbers count up, and no number is used twice. So a late ack finds another
 * number in the place of its own, or nothing, and settles nothing.
 */
export class InFlight {
  count = 0;
  /** The bytes of the encoded PubMsgs. */
  bytes = 0;
  /** The number of the last publish. */
  last = 0;
  #ring: (PendingPublish | undefined)[] = [];
  #mask = 0;
  #lap = 0;
  #lapAnswered = 0;

  /** Begins a new connection. The publishes that were sent on another one must have been removed. */
  begin(): void {
    invariant(this.count === 0, "publish: a lost connection has publishes in flight");
    // Laps continue with the numbers. The end of a connection answers the laps that began on it.
    this.#lap = Math.floor(this.last / LAP);
    this.#lapAnswered = this.#lap;
  }

  /** Adds a publish before it is sent, and gives it the next number. Sends a PING where a lap begins. */
  add(publish: PendingPublish, size: number, connection: Pick<Connection, "ping">): void {
    if (this.count * 2 >= this.#ring.length) this.#grow();
    let number = this.last;
    do {
      number++;
      if (number % LAP === 0) this.#beginLap(connection);
    } while (this.#ring[number & this.#mask] !== undefined);
    this.last = number;
    this.#ring[number & this.#mask] = publish;
    publish.number = number;
    publish.size = size;
    this.count++;
    this.bytes += size;
  }

  remove(publish: PendingPublish): void {
    this.#ring[publish.number & this.#mask] = undefined;
    this.count--;
    this.bytes -= publish.size;
  }

  /** The publish of the number, if it is in flight. */
  find(number: number): PendingPublish | undefined {
    const publish = this.#ring[number & this.#mask];
    return publish?.number === number ? publish : undefined;
  }

  /** The token in the reply subject of the publish of the number: 0 to 255. */
  token(number: number): number {
    return number % LAP;
  }

  /** The publish that a 503 for the token answers. */
  ofToken(token: number): PendingPublish | undefined {
    return this.find(this.#lapAnswered * LAP + token);
  }

  /** The latest publish that `matches`, of the lap that a denial belongs to if it is received now. */
  latest(matches: (publish: PendingPublish) => boolean): PendingPublish | undefined {
    const first = this.#lapAnswered * LAP;
    for (let number = first + LAP - 1; number >= first; number--) {
      const publish = this.find(number);
      if (publish !== undefined && matches(publish)) return publish;
    }
    return undefined;
  }

  #beginLap(connection: Pick<Connection, "ping">): void {
    const lap = ++this.#lap;
    connection.ping((error) => {
      if (error === undefined) this.#lapAnswered = lap;
    });
  }

  #grow(): void {
    const old = this.#ring;
    const length = Math.max(SMALLEST_RING, old.length * 2);
    this.#ring = new Array<PendingPublish | undefined>(length).fill(undefined);
    this.#mask = length - 1;
    for (const publish of old) if (publish !== undefined) this.#ring[publish.number & this.#mask] = publish;
  }
}
