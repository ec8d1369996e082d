import type { SubscriptionRequest } from "../pb/control.ts";
import type { Alarm, Clock } from "./clock.ts";
import type { Log, Stored } from "./log.ts";
import type { Interest } from "./subjects.ts";

/** Messages that expire within this many milliseconds are sent again together, as 0.25.6 does. */
const TOGETHER = 15;
/** How long after a member has left its messages are sent to others, in milliseconds. */
const HANDOVER = 100;

/** Sends a message to a subscription. The redelivery count of a new message is 0. */
type Deliver = (member: Member, message: Stored, redeliveryCount: number) => void;

/** One subscription: its request, and the messages that were sent to it and are not acknowledged. */
export interface Member {
  readonly request: SubscriptionRequest;
  readonly ackInbox: string;
  readonly group: Group;
  /** The interest in its acks. */
  readonly acks: Interest;
  /** Whether its position is kept when it closes. */
  durable: boolean;
  /** The unacknowledged messages, by sequence, and when each expires. */
  readonly pending: Map<number, number>;
  /** Rings when the first of them expires, or earlier. */
  alarm: Alarm | undefined;
  online: boolean;
  /** True once it has `maxInFlight` messages. It gets no new ones until it is released. */
  stalled: boolean;
  /** Whether its client has missed the last heartbeat. */
  failing: boolean;
}

// Why: docs/decisions.md#the-server-for-tests-shares-no-idea-with-the-client
/**
 * One position in a channel and the subscriptions that share it: one, online or not, or the members of a queue
 * group.
 */
export class Group {
  /** No other group of its channel has it. */
  readonly name: string | symbol;
  readonly members: Member[] = [];
  /** The last member to leave, if the position is kept. */
  absent: Member | undefined;
  readonly #log: Log;
  readonly #queued: boolean;
  /** Every message up to this sequence was sent. */
  #lastSent: number;
  /** How often each unacknowledged message was sent again. */
  readonly #counts = new Map<number, number>();
  readonly #clock: Clock;
  readonly #deliver: Deliver;

  constructor(name: string | symbol, log: Log, queued: boolean, start: number, clock: Clock, deliver: Deliver) {
    this.name = name;
    this.#log = log;
    this.#queued = queued;
    this.#lastSent = start - 1;
    this.#clock = clock;
    this.#deliver = deliver;
  }

  /** Adds a member. Sends it the messages that its predecessor left unacknowledged, then new ones. */
  join(member: Member): void {
    this.members.push(member);
    if (this.absent !== undefined) {
      // A member that takes over a position is durable from now on, whatever it asked for (seen in 0.25.6).
      member.durable = true;
      for (const [sequence, expiry] of this.absent.pending) member.pending.set(sequence, expiry);
      this.absent = undefined;
      if (member.pending.size > 0) this.#arm(member, this.#clock.now() + member.request.ackWaitInSecs * 1000);
      for (const sequence of [...member.pending.keys()].sort((a, b) => a - b)) {
        this.#again(member, sequence, this.#clock.now());
      }
    }
    this.fill();
  }

  /** Removes a member. The others get its messages. Returns true if nothing is left of the group. */
  leave(member: Member, forget: boolean): boolean {
    const { members } = this;
    this.#clock.cancel(member.alarm);
    takeOut(members, member);
    member.online = false;
    if (members.length === 0 && member.durable && !forget) this.absent = member;
    const now = this.#clock.now();
    let turn = 0;
    if (members.length > 0) {
      for (const [sequence] of inOrder(member)) {
        const heir = members[turn++ % members.length];
        heir.pending.set(sequence, now - 1000);
        this.#arm(heir, now + HANDOVER);
      }
    }
    return members.length === 0 && this.absent === undefined;
  }

  /**
   * Takes an ack. Any member may acknowledge the message of another. But the ack releases the member that it came
   * from, even if another one or none had the message. So a full member whose messages others acknowledge gets no
   * new ones any more (seen in 0.25.6).
   */
  acknowledge(member: Member, sequence: number): void {
    const holder = [member, ...this.members].find(({ pending }) => pending.has(sequence));
    if (holder?.pending.delete(sequence)) this.#counts.delete(sequence);
    this.#release(member);
  }

  /** Sends new messages while there are members that may get more. */
  fill(): void {
    while (this.#lastSent < this.#log.last && this.members.some(({ stalled }) => !stalled)) {
      // Messages that are not stored any more are skipped.
      const message = this.#log.messages.get(Math.max(this.#lastSent + 1, this.#log.first));
      if (message === undefined) throw new Error("a log has every message from its first to its last");
      if (!this.#send(this.#best(), message, 0)) return;
    }
  }

  /** The member with the fewest unacknowledged messages, or any member if none may get more. */
  #best(): Member {
    const { members } = this;
    const open = members.filter(({ stalled, failing }) => !stalled && !failing);
    const fewest = Math.min(...open.map(({ pending }) => pending.size));
    const best = open.find(({ pending }) => pending.size === fewest) ?? members[0];
    // Equal members take turns.
    if (best === members[0]) members.push(members.shift()!);
    return best;
  }

  #release(member: Member): void {
    if (!member.stalled || member.pending.size >= member.request.maxInFlight) return;
    member.stalled = false;
    this.fill();
  }

  /** Returns false if it did not send: the member is full or has no inbox. */
  #send(member: Member, message: Stored, redeliveryCount = 0, now = this.#clock.now()): boolean {
    const { pending, request } = member;
    const isNew = redeliveryCount === 0;
    if (isNew && pending.size >= request.maxInFlight) {
      member.stalled = true;
      return false;
    }
    if (request.inbox === "") return false;
    const ackWait = request.ackWaitInSecs * 1000;
    if (member.alarm === undefined) this.#arm(member, now + ackWait);
    pending.set(message.sequence, (pending.get(message.sequence) ?? now) + ackWait);
    if (isNew) this.#lastSent = message.sequence;
    if (isNew && pending.size === request.maxInFlight) member.stalled = true;
    this.#deliver(member, message, redeliveryCount);
    return true;
  }

  /** Sends a pending message again, to the best member, full or not. Drops a message that is not stored any more. */
  #again(member: Member, sequence: number, now: number): void {
    const message = this.#log.messages.get(sequence);
    if (message !== undefined) {
      const receiver = this.#best();
      const count = (this.#counts.get(sequence) ?? 0) + 1;
      this.#counts.set(sequence, count);
      if (!this.#send(receiver, message, count, now) || receiver === member) return;
    }
    member.pending.delete(sequence);
    this.#release(member);
  }

  #arm(member: Member, due: number): void {
    this.#clock.cancel(member.alarm);
    member.alarm = this.#clock.at(due, () => this.#expire(member, due));
  }

  #expire(member: Member, due: number): void {
    // Steps of exactly ackWait, unless the clock stood still.
    const late = this.#clock.now() - due;
    let now = late < TOGETHER ? due : due + late;
    let next = now + member.request.ackWaitInSecs * 1000;
    const limit = now + TOGETHER;
    for (const [sequence, expiry] of this.#queued || !member.failing ? inOrder(member) : []) {
      if (expiry > limit && this.#log.messages.has(sequence)) {
        next = expiry;
        break;
      }
      // Another member's messages expire in this order.
      this.#again(member, sequence, (now += 0.001));
    }
    if (member.pending.size > 0) this.#arm(member, next);
    else member.alarm = undefined;
  }
}

/** The pending messages, in the order in which they expire; those of one time by sequence. */
function inOrder({ pending }: Member): [number, number][] {
  return [...pending].sort(([a, x], [b, y]) => x - y || a - b);
}

/** Takes an item out of a list. The last item takes its place. */
export function takeOut<T>(list: T[], item: T): void {
  const at = list.indexOf(item);
  if (at < 0) throw new Error("only what is in a list can be taken out of it");
  list[at] = list[list.length - 1];
  list.length--;
}
