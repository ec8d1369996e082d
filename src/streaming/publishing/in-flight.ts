import type { Connection } from "../../core-nats/connection.ts";
import type { PendingPublish } from "./pending-publish.ts";

// Why: docs/decisions.md#laps-of-256-reply-subjects
/**
 * Reply subjects come from a ring of so many tokens, with a PING after each lap: a 503 for a token that is received
 * before the lap's PONG can only be for that lap's publish. A new subject for each message would cost the server its
 * cache (measured: 402 000 publishes per second in place of 517 000).
 */
const LAP = 256;
const SMALLEST_RING = 64;

/**
 * Publishes that are sent and unanswered, each at its number modulo the length of a ring: an ack finds its publish
 * without a look-up. Numbers count up and are never used again, so an ack that comes late finds another number in its
 * place, or nothing, and settles nothing.
 */
export class InFlight {
  count = 0;
  /** Of the PubMsgs. */
  bytes = 0;
  /** The number that was given last. */
  last = 0;
  #ring: (PendingPublish | undefined)[] = [];
  #mask = 0;
  #lap = 0;
  #lapAnswered = 0;

  /** A new connection. What was in flight on another one must have been taken out. */
  begin(): void {
    // Laps go on with the numbers: those that were begun on another connection were answered for by its end.
    this.#lap = Math.floor(this.last / LAP);
    this.#lapAnswered = this.#lap;
  }

  /** Takes in a publish that is about to be sent, and gives it its number. Sends a PING where a lap begins. */
  add(publish: PendingPublish, size: number, connection: Connection): void {
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

  /** The publish of that number, if it is in flight. */
  find(number: number): PendingPublish | undefined {
    const publish = this.#ring[number & this.#mask];
    return publish?.number === number ? publish : undefined;
  }

  /** The token in the reply subject of the publish of that number: 0 to 255. */
  token(number: number): number {
    return number % LAP;
  }

  /** The publish that a 503 for the token is about. */
  ofToken(token: number): PendingPublish | undefined {
    return this.find(this.#lapAnswered * LAP + token);
  }

  /** The latest publish that `matches`, of the lap that a refusal received now is about. */
  latest(matches: (publish: PendingPublish) => boolean): PendingPublish | undefined {
    const first = this.#lapAnswered * LAP;
    for (let number = first + LAP - 1; number >= first; number--) {
      const publish = this.find(number);
      if (publish !== undefined && matches(publish)) return publish;
    }
    return undefined;
  }

  #beginLap(connection: Connection): void {
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
