import { noop, RETRY_DELAY, sleep } from "../../core-nats/async.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import type { Registration } from "../session/registration.ts";
import type { ClientContext } from "./client-context.ts";
import type { Deliveries } from "./deliveries.ts";
import { PEEK_TIMEOUT } from "./peek.ts";
import type { Peek } from "./peek.ts";
import { fromLast, fromSequence } from "./start-position.ts";
import type { SubscribeSettings } from "./subscribe-options.ts";

/** A range of sequences that the server may have forgotten although it stores them. */
interface Search {
  readonly from: number;
  readonly to: number;
  /** True once the channel was searched. The channel does not have the messages that are still missing. */
  done: boolean;
}

/** The most messages that one peek reads. */
const READ_AT_ONCE = 100;

/** Finds the messages that a subscription misses: reads them from the channel, or learns that the channel lost them. */
export class MissingMessages {
  /** Why the client must request the subscription again. Undefined if it need not. */
  renewalReason: string | undefined;
  readonly #context: ClientContext;
  readonly #settings: SubscribeSettings;
  readonly #deliveries: Deliveries;
  readonly #peek: Peek;
  /** Aborts when the user ends the subscription. */
  readonly #closing: AbortSignalLike;
  #search: Search | undefined;
  /** No message came for long, and `find` has yet to check why. */
  #silent = false;
  /** The number of messages that had been received when the subscription was last renewed. */
  #receivedAtRenewal = -1;

  constructor(
    context: ClientContext,
    settings: SubscribeSettings,
    deliveries: Deliveries,
    peek: Peek,
    closing: AbortSignalLike,
  ) {
    this.#context = context;
    this.#settings = settings;
    this.#deliveries = deliveries;
    this.#peek = peek;
    this.#closing = closing;
  }

  /** True if `find` has something to do. */
  get isPending(): boolean {
    return this.#silent || this.#search?.done === false;
  }

  /** No message came for long. `find` checks why. */
  silent(): void {
    this.#silent = true;
  }

  /** The link or the streaming server was lost. Messages that were not found may still come. */
  interrupted(): void {
    const search = this.#search;
    this.#search = undefined;
    if (search?.done === false) this.#deliveries.wasSearched(search.from, search.to, false);
  }

  /** Returns true if the channel was searched for these. Otherwise `find` searches it. */
  searched(from: number, to: number): boolean {
    const search = this.#search;
    if (search?.done === true && search.from <= from && to <= search.to) return true;
    if (search === undefined || search.done) this.#search = { from, to, done: false };
    return false;
  }

  /**
   * Searches for missing messages. If the server has forgotten the subscription, `renewalReason` says so afterwards.
   */
  async find(registration: Registration): Promise<void> {
    if (this.#search?.done === false) await this.#readFromChannel(registration, this.#search);
    if (this.#silent) await this.#checkSilence(registration);
  }

  // Why: docs/decisions.md#missing-messages-are-read-from-the-channel
  /**
   * Reads messages that the server does not send, and takes them like deliveries. Afterwards the channel does not have
   * the messages that are still missing.
   */
  async #readFromChannel(registration: Registration, search: Search): Promise<void> {
    const { group, handlers } = this.#deliveries;
    const { progress } = group;
    const { over } = registration;
    const most = Math.min(this.#settings.maxInFlight, READ_AT_ONCE);
    const end = progress.offset + search.to;
    for (let next = search.from; next <= search.to; ) {
      const waiting = handlers.waitingUpTo(end);
      const last = await this.#peek.read(registration, fromSequence(next), most, PEEK_TIMEOUT, (found, bytes) => {
        if (found.sequence > search.to || progress !== group.progress) return;
        found.redelivered = true;
        this.#deliveries.take(found, bytes);
      });
      // A peek without a message proves nothing while the channel has a later message.
      const unclear = last === 0 && (await this.#mayHaveAny(registration, next));
      if (last === undefined || unclear || this.#deliveries.isSuspect || handlers.stopped) {
        // The next check of the progress, or of the gaps, starts another search.
        this.#search = undefined;
        this.#deliveries.wasSearched(search.from, search.to, false);
        return;
      }
      next = last === 0 ? Infinity : last + 1;
      // Messages behind the missing ones may wait for the end of this search: it waits for none of them.
      const isFull = (): boolean => next <= search.to && handlers.waitingUpTo(end) > waiting;
      while (isFull() && !over.aborted && !handlers.stopped) await sleep(RETRY_DELAY, over, this.#closing);
    }
    search.done = true;
    if (progress === group.progress) this.#deliveries.wasSearched(search.from, search.to, true);
    progress.checkMissing();
  }

  /** Resolves with false if the channel certainly has neither this message nor a later one. */
  async #mayHaveAny(registration: Registration, from: number): Promise<boolean> {
    const last = await this.#peek.readOne(registration, fromLast, this.#context.settings.requestTimeout, noop);
    return last === undefined || last >= from;
  }

  /**
   * Checks why no message came for long, though no handler has one. If the channel has more messages than were
   * received, the server has forgotten the subscription, or a new leader counts messages as acknowledged. The client
   * then requests the subscription again, once.
   */
  async #checkSilence(registration: Registration): Promise<void> {
    this.#silent = false;
    const { group, received, firstNew } = this.#deliveries;
    if (group.members !== undefined) this.#deliveries.requestMore();
    const { highest } = group.progress;
    const { queue, durable, startAt, maxInFlight } = this.#settings;
    // Otherwise an earlier process, or another member, may have had all messages, or the subscription starts later.
    const known = durable !== "" && queue === "" ? firstNew > 0 : highest > 0 || startAt === "first";
    if (!known) return;
    const last = await this.#peek.readOne(registration, fromLast, PEEK_TIMEOUT, noop);
    if (last === undefined) this.#context.watchdog.watch(this.#deliveries);
    if (last === undefined || last <= highest) return;
    // The last message may be on its way.
    await sleep(PEEK_TIMEOUT, registration.over, this.#closing);
    if (registration.over.aborted || this.#closing.aborted || this.#deliveries.received !== received) return;
    // The server does not send a durable the messages that it counts as acknowledged.
    const search = { from: highest + 1, to: Math.min(last, highest + maxInFlight), done: false };
    if (durable !== "" && queue === "") await this.#readFromChannel(registration, search);
    if (this.#receivedAtRenewal === received) return;
    this.#receivedAtRenewal = this.#deliveries.received;
    const seconds = Math.round(this.#deliveries.patience / 1000);
    this.renewalReason = `nothing came for ${seconds} s, and the channel has messages up to ${last}`;
  }
}
