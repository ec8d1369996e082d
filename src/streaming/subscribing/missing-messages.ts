import { noop, RETRY_DELAY, sleep } from "../../core-nats/async.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { Registration } from "../session/registration.ts";
import type { ClientContext } from "./client-context.ts";
import type { Deliveries } from "./deliveries.ts";
import { PEEK_TIMEOUT } from "./peek.ts";
import type { Peek } from "./peek.ts";
import { fromLast, fromSequence } from "./start-position.ts";
import type { SubscribeSettings } from "./subscribe-options.ts";

/** Sequences that the server may have forgotten although they are stored. */
interface Search {
  readonly from: number;
  readonly to: number;
  /** They were looked for: what is still missing is gone. */
  done: boolean;
}

/** So many messages are read at once that the server has forgotten. */
const READ_AT_ONCE = 100;

/** Messages of one subscription that should have come and did not: reads them from the channel, or finds that they are gone. */
export class MissingMessages {
  /** Why the server has to be asked for the subscription again. */
  renewalReason: string | undefined;
  readonly #context: ClientContext;
  readonly #settings: SubscribeSettings;
  readonly #deliveries: Deliveries;
  readonly #peek: Peek;
  /** The end of the subscription. */
  readonly #leaving: AbortSignalLike;
  #search: Search | undefined;
  /** Nothing has come for long. */
  #silent = false;
  /** How much had been received when the subscription was renewed last. */
  #receivedAtRenewal = -1;

  constructor(context: ClientContext, settings: SubscribeSettings, deliveries: Deliveries, peek: Peek, leaving: AbortSignalLike) {
    this.#context = context;
    this.#settings = settings;
    this.#deliveries = deliveries;
    this.#peek = peek;
    this.#leaving = leaving;
  }

  /** Nothing has come for long. */
  silent(): void {
    this.#silent = true;
  }

  /** The link was lost, or nobody was in charge: what was not found may come yet. */
  interrupted(): void {
    this.#search = undefined;
  }

  /** True if the channel was searched for these; else `lookFor` does that. */
  searched(from: number, to: number): boolean {
    const search = this.#search;
    if (search?.done === true && search.from <= from && to <= search.to) return true;
    if (search === undefined || search.done) this.#search = { from, to, done: false };
    return false;
  }

  /** Looks for what is missing. If the server has forgotten to feed the subscription, `renewal` says so then. */
  async find(registration: Registration): Promise<void> {
    if (this.#search?.done === false) await this.#readFromChannel(registration, this.#search);
    if (this.#silent) await this.#checkSilence(registration);
  }

  // Why: docs/decisions.md#missing-messages-are-read-from-the-channel
  /**
   * Reads messages that the server does not send, and hands them on like deliveries. What is neither received nor in hand
   * then is gone.
   */
  async #readFromChannel(registration: Registration, search: Search): Promise<void> {
    const { group, handlers } = this.#deliveries;
    const { progress } = group;
    const { over } = registration;
    const most = Math.min(this.#settings.maxInFlight, READ_AT_ONCE);
    for (let next = search.from; next <= search.to; ) {
      const { waiting } = handlers;
      const last = await this.#peek.read(registration, fromSequence(next), most, PEEK_TIMEOUT, (found, bytes) => {
        if (found.sequence > search.to || progress !== group.progress) return;
        found.redelivered = true;
        this.#deliveries.take(found, bytes);
      });
      // Nothing shown proves nothing, while the channel has something there.
      const unclear = last === 0 && (await this.#mayHaveAny(registration, next));
      if (last === undefined || unclear || this.#deliveries.isSuspect || handlers.stopped) {
        // It will be asked for again.
        this.#search = undefined;
        return;
      }
      next = last === 0 ? Infinity : last + 1;
      while (handlers.waiting > waiting && !over.aborted && !handlers.stopped) await sleep(RETRY_DELAY, over, this.#leaving);
    }
    search.done = true;
    progress.checkMissing();
  }

  /** Whether the channel has that message or a later one, or that is not known. */
  async #mayHaveAny(registration: Registration, from: number): Promise<boolean> {
    const last = await this.#peek.readOne(registration, fromLast, this.#context.settings.requestTimeout, noop);
    return last === undefined || last >= from;
  }

  /**
   * Nothing came for long, and nothing is in hand. If the channel has more than was received, the server has forgotten to
   * feed the subscription, or a new leader takes for done what it was to be sent: it is asked for again, once.
   */
  async #checkSilence(registration: Registration): Promise<void> {
    this.#silent = false;
    const { group, received, firstNew } = this.#deliveries;
    if (group.members !== undefined) this.#deliveries.requestMore();
    const { highest } = group.progress;
    const { queue, durable, startAt, maxInFlight } = this.#settings;
    // An earlier process may have had all that is there, and so may other members, or all may have been there before.
    const known = durable !== "" && queue === "" ? firstNew > 0 : highest > 0 || startAt === "first";
    if (!known) return;
    const last = await this.#peek.readOne(registration, fromLast, PEEK_TIMEOUT, noop);
    if (last === undefined) this.#context.watchdog.watch(this.#deliveries);
    if (last === undefined || last <= highest) return;
    // The last one may be on its way.
    await sleep(PEEK_TIMEOUT, registration.over, this.#leaving);
    if (registration.over.aborted || this.#leaving.aborted || this.#deliveries.received !== received) return;
    // The server does not send a durable again what it takes for done.
    const to = Math.min(last, highest + maxInFlight);
    if (durable !== "" && queue === "") await this.#readFromChannel(registration, { from: highest + 1, to, done: false });
    if (this.#receivedAtRenewal === received) return;
    this.#receivedAtRenewal = this.#deliveries.received;
    const seconds = Math.round(this.#deliveries.patience / 1000);
    this.renewalReason = `nothing came for ${seconds} s, and the channel has messages up to ${last}`;
  }
}
