import { elapsed, setTimeout } from "../../core-nats/clock.ts";

/** A subscription as its share sees it. */
export interface GroupMember {
  /** How many messages it was given. */
  readonly received: number;
  /** In place, with nothing in hand. */
  readonly idle: boolean;
  /** Acknowledges a message that another member has finished. */
  acknowledgeMoved(sequence: number): void;
  /** Has the server look again whether it may send more. */
  requestMore(): void;
  /** Has the server be asked for it again. */
  renew(reason: string): void;
}

/** After an outage members are poked when the server has surely taken their acks, in milliseconds. */
const REQUEST_MORE_DELAY = 1_000;
/** Of so many new messages each member should have got some: the server gives them to the one that has the fewest. */
const ROUND = 256;
/** That takes so long at least: after an outage hundreds may come at once to one member. In milliseconds. */
const SHORTEST_ROUND = 1_000;

/** The members of a queue group in one client. */
export class GroupMembers {
  readonly #all = new Set<GroupMember>();
  #timer: Timer | undefined;
  #delivered = 0;
  #roundBegan = 0;
  /** What each member had received at the end of the last round, and whether it was poked then. */
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

  // Why: docs/decisions.md#a-group-member-that-is-given-nothing
  /** One was given a new message. A member that gets none of many, and has nothing in hand, is poked, and if that does not help, renewed. */
  delivered(): void {
    if (++this.#delivered % ROUND !== 0) return;
    const now = elapsed();
    if (now - this.#roundBegan < SHORTEST_ROUND) return;
    this.#roundBegan = now;
    for (const member of this.#all) {
      const { received } = member;
      const before = this.#seen.get(member);
      const neglected = before?.received === received && member.idle;
      if (neglected && before.requestedMore) member.renew(`it got none of the last ${2 * ROUND} messages of its group in this client`);
      else if (neglected) member.requestMore();
      this.#seen.set(member, { received, requestedMore: neglected && !before.requestedMore });
    }
  }

  /** After an outage: of what was acknowledged before it, too, the server may have given some to other members. */
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
   * The server may count a message for another member than the one that has acknowledged it. It takes the ack, but feeds a
   * member that is full again only after an ack of its own (seen on 0.17.0 and 0.25.6). So each member acknowledges it.
   */
  finished(sequence: number, by: GroupMember): void {
    for (const member of this.#all) if (member !== by) member.acknowledgeMoved(sequence);
  }
}
