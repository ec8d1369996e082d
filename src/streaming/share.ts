import type { Progress } from "./progress.ts";
import type { Session } from "./session.ts";

/** The progress of one subscription, or of all members of a queue group in one client, who work off a channel together. */
export interface Share {
  progress: Progress;
  members: number;
  /** The session in which the channel was found to have begun anew: in it, everything is read from the first message. */
  anewIn: Session | undefined;
}

/** The shares of a client's queue groups. */
export class Shares {
  readonly #groups = new Map<string, Share>();

  /** The share of a queue group (by channel, queue and durable), or one of its own if `queue` is "". */
  join(subject: string, queue: string, durable: string, begin: () => Progress): Share {
    const key = JSON.stringify([subject, queue, durable]);
    let share = queue === "" ? undefined : this.#groups.get(key);
    if (share === undefined) {
      share = { progress: begin(), members: 0, anewIn: undefined };
      if (queue !== "") this.#groups.set(key, share);
    }
    share.members++;
    return share;
  }

  leave(share: Share): void {
    share.members--;
    if (share.members > 0) return;
    share.progress.stop();
    for (const [key, other] of this.#groups) if (other === share) this.#groups.delete(key);
  }
}
