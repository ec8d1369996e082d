import { elapsed, setTimeout } from "../../core-nats/clock.ts";
import type { History } from "./failure-policy.ts";

/** A subscription, as its queue group sees it. */
export interface GroupMember {
  /** The number of messages that it received. */
  readonly received: number;
  /** True while it is in place and no handler runs or waits. */
  readonly idle: boolean;
  /** Acknowledges a message that another member has finished. */
  acknowledgeMoved(sequence: number): void;
  /** Makes the server check whether it may send more messages. */
  requestMore(): void;
  /** Requests the subscription again. */
  renew(reason: string): void;
  /** Another member found that the channel was reset. */
  forgetChannel(): void;
}

/** The time from an outage's end until the server has surely taken all acks, in milliseconds. */
const REQUEST_MORE_DELAY = 1_000;
/** Of this many new messages each member should get some: the server sends them to the member with the fewest. */
const ROUND = 256;
/**
 * The least time between two checks, in milliseconds. After an outage one member may get hundreds of messages at once.
 */
const SHORTEST_ROUND = 1_000;

/** The members of a queue group in one client. */
export class GroupMembers {
  readonly #all = new Set<GroupMember>();
  /** How often messages that failed were run, by sequence: the members count together. */
  readonly histories = new Map<number, History>();
  #timer: Timer | undefined;
  #delivered = 0;
  #roundBegan = 0;
  /** What each member had received at the end of the last round, and whether it then requested more. */
  readonly #seen = new Map<GroupMember, { readonly received: number; readonly requestedMore: boolean }>();

  get count(): number {
    return this.#all.size;
  }

  add(member: GroupMember): void {
    this.#all.add(member);
  }

  delete(member: GroupMember): void {
    this.#all.delete(member);
    this.#seen.delete(member);
  }

  /** A member found that the channel was reset. */
  wasReset(by: GroupMember): void {
    this.histories.clear();
    for (const member of this.#all) if (member !== by) member.forgetChannel();
  }

  // Why: docs/decisions.md#a-group-member-that-is-given-nothing
  /**
   * A member received a new message. At the end of a round each idle member that received none requests more messages.
   * If it receives none in the next round either, it is renewed.
   */
  delivered(): void {
    if (++this.#delivered % ROUND !== 0) return;
    const now = elapsed();
    if (now - this.#roundBegan < SHORTEST_ROUND) return;
    this.#roundBegan = now;
    for (const member of this.#all) {
      const { received } = member;
      const before = this.#seen.get(member);
      const neglected = before?.received === received && member.idle;
      const reason = `it got none of the last ${2 * ROUND} messages of its group in this client`;
      if (neglected && before.requestedMore) member.renew(reason);
      else if (neglected) member.requestMore();
      this.#seen.set(member, { received, requestedMore: neglected && !before.requestedMore });
    }
  }

  /** An outage is over. During it the server may have moved messages to other members, acknowledged ones too. */
  resumed(): void {
    if (this.count < 2 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      for (const member of this.#all) member.requestMore();
    }, REQUEST_MORE_DELAY);
    this.#timer.unref?.();
  }

  // Why: docs/decisions.md#all-members-acknowledge-a-moved-message
  /**
   * A member finished a message that the server may count for another member. The server takes the ack, but sends more
   * to a full member only after an ack by that member (seen on 0.17.0 and 0.25.6). So each member acknowledges the
   * message.
   */
  finished(sequence: number, by: GroupMember): void {
    for (const member of this.#all) if (member !== by) member.acknowledgeMoved(sequence);
  }
}
