import type { Session } from "../session/session.ts";
import { GroupMembers } from "./group-members.ts";
import type { GroupMember } from "./group-members.ts";
import type { Message } from "./message.ts";
import type { Progress } from "./progress.ts";

/** The progress of one subscription, or of all members of a queue group in one client, who work off a channel together. */
export class SubscriptionGroup {
  progress: Progress<Message>;
  /** The session in which the channel was found to have begun anew: in it, everything is read from the first message. */
  resetIn: Session | undefined;
  /** Of a queue group. */
  readonly members: GroupMembers | undefined;

  constructor(progress: Progress<Message>, members: GroupMembers | undefined) {
    this.progress = progress;
    this.members = members;
  }

  /** True where messages can be moved from one member to another. */
  get isShared(): boolean {
    return this.members !== undefined && this.members.count > 1;
  }

  /** The link was lost, or nobody was in charge. */
  interrupted(): void {
    if (this.progress.interrupted() && this.isShared) this.progress.moveAll();
  }
}

/** The shares of a client's queue groups. */
export class QueueGroups {
  readonly #groups = new Map<string, SubscriptionGroup>();

  /** The share of a queue group (by channel, queue and durable), or one of its own if `queue` is "". */
  join(member: GroupMember, subject: string, queue: string, durable: string, createProgress: () => Progress<Message>): SubscriptionGroup {
    if (queue === "") return new SubscriptionGroup(createProgress(), undefined);
    const key = JSON.stringify([subject, queue, durable]);
    const group = this.#groups.get(key) ?? new SubscriptionGroup(createProgress(), new GroupMembers());
    this.#groups.set(key, group);
    group.members!.add(member);
    return group;
  }

  leave(member: GroupMember, group: SubscriptionGroup): void {
    group.members?.delete(member);
    if (group.members !== undefined && group.members.count > 0) return;
    group.progress.stop();
    for (const [key, other] of this.#groups) if (other === group) this.#groups.delete(key);
  }
}
