import type { MsgProtoView } from "../../pb/data.ts";
import type { Registration } from "../session/registration.ts";
import type { Deliveries } from "./deliveries.ts";
import type { Message } from "./message.ts";
import { PEEK_TIMEOUT } from "./peek.ts";
import type { Peek } from "./peek.ts";
import { timeOf } from "./progress.ts";
import type { Progress } from "./progress.ts";
import { fromLast, fromSequence } from "./start-position.ts";

// Why: docs/decisions.md#detection-of-a-channel-reset
/**
 * Looks whether a channel was reset: it counts from 1 again, since a memory store was restarted or the channel was
 * deleted. Its last message tells; or where that is beyond the highest sequence that was received, the message that has
 * this sequence. If that was removed, all before it were too, and none of them can be taken for another.
 *
 * An empty channel is as good as a new one. That matters to a queue group, which is wherever its first member began, for
 * good; and in doubt. For the rest (`matters` false) it is not worth to wait for: the next message tells.
 */
export async function detectReset(
  registration: Registration,
  peek: Peek,
  progress: Progress<Message>,
  matters: boolean,
): Promise<"same" | "reset" | "unknown"> {
  const { highest, timeOfHighest } = progress;
  let other = false;
  const compare = (message: MsgProtoView): void => {
    const { sequence } = message;
    // Why: docs/decisions.md#equal-times-not-later-times
    other = sequence < highest || (sequence === highest && timeOf(message) !== timeOfHighest);
  };
  // Why: docs/decisions.md#an-empty-channel-and-a-queue-group
  const last = await peek.readOne(registration, fromLast, matters ? PEEK_TIMEOUT : 0, compare);
  if (last === undefined) return "unknown";
  if (last === 0) {
    // A message had an old number, so there is one: the server is busy.
    if (matters && progress.unverified) return "unknown";
    // For the first message that could be of both, should the clock of a new one be behind.
    progress.unverified = !matters;
    return matters ? "reset" : "same";
  }
  // Nothing shown proves nothing here: the channel has a later message.
  if (last > highest && !(await peek.readOne(registration, fromSequence(highest), PEEK_TIMEOUT, compare))) return "unknown";
  return other ? "reset" : "same";
}

/**
 * Looks whether the channel was reset, and if so resets the deliveries. "known" if it was not, or if another member of the group has
 * found the reset meanwhile.
 */
export async function followReset(registration: Registration, peek: Peek, deliveries: Deliveries): Promise<"reset" | "known" | "unknown"> {
  const { group, isSuspect } = deliveries;
  const { progress } = group;
  const finding = await detectReset(registration, peek, progress, group.members !== undefined || isSuspect);
  if (finding === "unknown") return "unknown";
  // The other member may have finished messages of the new channel already.
  if (finding === "same" || group.progress !== progress) return "known";
  deliveries.reset(registration.session);
  return "reset";
}

// Why: docs/decisions.md#doubt-about-the-channel
/**
 * Verifies a channel after a message that contradicts what was received: the message is of another channel, or was stored by a leader
 * whose clock is behind. "stale": the channel is the same, and had shown nothing before. Then the server has sent messages that were not
 * taken, which would come again only after `ackWait`.
 */
export async function verifyChannel(
  registration: Registration,
  peek: Peek,
  deliveries: Deliveries,
): Promise<"same" | "stale" | "reset" | "unknown"> {
  const { group } = deliveries;
  const { progress } = group;
  const finding = await followReset(registration, peek, deliveries);
  if (progress !== group.progress) return "reset";
  if (finding === "unknown") return "unknown";
  const { unverified } = progress;
  progress.confirm();
  if (unverified) return "stale";
  deliveries.isSuspect = false;
  // The messages that came meanwhile were not taken, and nobody noted to which member they came.
  if (group.isShared) progress.moveAll();
  return "same";
}
