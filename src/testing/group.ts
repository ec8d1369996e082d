import type { SubscriptionRequest } from "../pb/protocol.ts";
import type { Channel, Stored } from "./channel.ts";
import type { Alarm, Clock } from "./clock.ts";

/** What falls due within so many milliseconds is sent again together, as 0.25.6 does. */
const TOGETHER = 15;

/** Sends a message to a subscription. A message that was never sent has a redelivery count of 0. */
type Deliver = (member: Member, message: Stored, redeliveryCount: number) => void;

/** One subscription: what was asked for, and what was sent to it and is not acknowledged. */
export interface Member {
  readonly request: SubscriptionRequest;
  readonly ackInbox: string;
  /** Whose it is; with failures, it owes the answers to so many heartbeats. */
  readonly session: { readonly failures: number };
  /** Whether its position is kept when it closes. */
  durable: boolean;
  /** When each is to be sent again. */
  readonly pending: Map<number, number>;
  /** Rings for the first of them. */
  alarm: Alarm | undefined;
  online: boolean;
}

/** One position in a channel, and those who share it: one subscription, online or not, or the members of a queue. */
export class Group {
  /** Among the groups of its channel. */
  readonly name: string | symbol;
  readonly channel: Channel;
  readonly members: Member[] = [];
  /** The last one to leave, where the position is kept. */
  absent: Member | undefined;
  readonly #queued: boolean;
  /** All up to this sequence was sent. */
  #lastSent: number;
  /** How often each unacknowledged message was sent again. */
  readonly #counts = new Map<number, number>();
  readonly #clock: Clock;
  readonly #deliver: Deliver;

  constructor(name: string | symbol, channel: Channel, queued: boolean, start: number, clock: Clock, deliver: Deliver) {
    this.name = name;
    this.channel = channel;
    this.#queued = queued;
    this.#lastSent = start - 1;
    this.#clock = clock;
    this.#deliver = deliver;
  }

  /** Takes a member in, sends it what its predecessor left unacknowledged, then what is new. */
  join(member: Member): void {
    this.members.push(member);
    if (this.absent !== undefined) {
      // Whoever takes over a position keeps it from now on, whatever it asked for (seen in 0.25.6).
      member.durable = true;
      for (const sequence of [...this.absent.pending.keys()].sort((a, b) => a - b)) member.pending.set(sequence, 0);
      this.absent = undefined;
      this.#redeliver(member, () => member);
    }
    this.fill();
  }

  /** Lets a member go; the others get what it left. Returns true if nothing is left of the group. */
  leave(member: Member, forget: boolean): boolean {
    this.#clock.cancel(member.alarm);
    this.members.splice(this.members.indexOf(member), 1);
    const { length } = this.members;
    member.online = false;
    if (length === 0 && member.durable && !forget) this.absent = member;
    let turn = 0;
    if (length > 0) for (const sequence of member.pending.keys()) this.members[turn++ % length].pending.set(sequence, 0);
    for (const heir of this.members) this.#arm(heir);
    return length === 0 && this.absent === undefined;
  }

  /** An ack from one member is as good as from any other. */
  acknowledge(member: Member, sequence: number): void {
    const holder = member.pending.has(sequence) ? member : this.members.find(({ pending }) => pending.has(sequence));
    if (!holder?.pending.delete(sequence)) return;
    this.#counts.delete(sequence);
    this.fill();
  }

  /** Sends what is new, as far as the members may be sent more. */
  fill(): void {
    while (this.#lastSent < this.channel.last) {
      const member = this.#pick(false);
      if (member === undefined) return;
      // What is no longer stored is passed over.
      this.#lastSent = Math.max(this.#lastSent + 1, this.channel.first);
      this.#send(member, this.channel.messages.get(this.#lastSent)!, 0);
    }
  }

  /** The member with the fewest unacknowledged messages. For a redelivery, if need be one that may not be sent more. */
  #pick(redelivery: boolean): Member | undefined {
    const { members } = this;
    const open = members.filter(({ pending, request }) => pending.size < request.maxInFlight);
    const well = open.filter(({ session }) => !this.#queued || session.failures === 0);
    const fewest = Math.min(...well.map(({ pending }) => pending.size));
    const best = well.find(({ pending }) => pending.size === fewest) ?? (redelivery ? members[0] : open[0]);
    // Members that are equally good take turns.
    if (best !== undefined && best === members[0]) members.push(members.shift()!);
    return best;
  }

  #send(member: Member, message: Stored, redeliveryCount: number, since = this.#clock.now()): void {
    member.pending.set(message.sequence, since + member.request.ackWaitInSecs * 1000);
    if (member.alarm === undefined) this.#arm(member);
    this.#deliver(member, message, redeliveryCount);
  }

  /** Sets the alarm to the first that is due. */
  #arm(member: Member): void {
    this.#clock.cancel(member.alarm);
    let first = Infinity;
    for (const due of member.pending.values()) first = Math.min(first, due);
    member.alarm = first === Infinity ? undefined : this.#clock.at(first, () => this.#expire(member));
  }

  #expire(member: Member): void {
    if (!this.#queued && member.session.failures > 0) {
      const next = this.#clock.now() + member.request.ackWaitInSecs * 1000;
      member.alarm = this.#clock.at(next, () => this.#expire(member));
      return;
    }
    this.#redeliver(member, () => (this.#queued ? (this.#pick(true) ?? member) : member));
    this.fill();
  }

  /** Sends again what is due, whether or not the receivers may be sent more. What is no longer stored is dropped. */
  #redeliver(member: Member, pick: () => Member): void {
    const now = this.#clock.now();
    for (const [sequence, due] of [...member.pending]) {
      if (due > now + TOGETHER) continue;
      const message = this.channel.messages.get(sequence);
      const receiver = pick();
      if (message === undefined || receiver !== member) member.pending.delete(sequence);
      if (message === undefined) continue;
      const count = (this.#counts.get(sequence) ?? 0) + 1;
      this.#counts.set(sequence, count);
      // Whole steps of ackWait, unless the clock stood still.
      this.#send(receiver, message, count, due < now - TOGETHER ? now : due);
    }
    this.#arm(member);
  }
}
