import type { Session } from "../session/session.ts";
import { GroupMembers } from "./group-members.ts";
import type { GroupMember } from "./group-members.ts";
import type { Message } from "./message.ts";
import type { Progress } from "./progress.ts";

/** One subscription, or all members of a queue group in one client. The members share their progress in the channel. */
export class SubscriptionGroup {
  progress: Progress<Message>;
  /** The session in which the channel was found to be reset. In it, subscriptions start at the first message. */
  resetIn: Session | undefined;
  /** Undefined for a subscription without a queue group. */
  readonly members: GroupMembers | undefined;

  constructor(progress: Progress<Message>, members: GroupMembers | undefined) {
    this.progress = progress;
    this.members = members;
  }

  /** The channel was reset. Its sequences now name other messages, so the progress starts from nothing. */
  reset(progress: Progress<Message>, session: Session): void {
    this.progress.stop();
    this.progress = progress;
    this.resetIn = session;
  }

  /** True while there are several members. The server may then move messages from one to another. */
  get isShared(): boolean {
    return this.members !== undefined && this.members.count > 1;
  }

  /** The link or the streaming server was lost. */
  interrupted(): void {
    if (this.progress.interrupted() && this.isShared) this.progress.moveAll();
  }
}

/** The queue groups of a client. */
export class QueueGroups {
  readonly #groups = new Map<string, SubscriptionGroup>();

  /** Joins the queue group of a channel, queue and durable. If `queue` is "", the member gets a group of its own. */
  join(
    member: GroupMember,
    subject: string,
    queue: string,
    durable: string,
    createProgress: () => Progress<Message>,
  ): SubscriptionGroup {
    if (queue === "") return new SubscriptionGroup(createProgress(), undefined);
    const key = JSON.stringify([subject, queue, durable]);
    const group = this.#groups.get(key) ?? new SubscriptionGroup(createProgress(), new GroupMembers());
    this.#groups.set(key, group);
    group.members?.add(member);
    return group;
  }

  /** Leaves a group. The last member ends its progress. */
  leave(member: GroupMember, group: SubscriptionGroup): void {
    group.members?.delete(member);
    if (group.members !== undefined && group.members.count > 0) return;
    group.progress.stop();
    for (const [key, other] of this.#groups) if (other === group) this.#groups.delete(key);
  }
}
