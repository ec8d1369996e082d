import type { MsgProtoView } from "../../pb/data.ts";
import type { Registration } from "../session/registration.ts";
import type { Deliveries } from "./deliveries.ts";
import { PEEK_TIMEOUT } from "./peek.ts";
import type { Peek } from "./peek.ts";
import { timeOf } from "./progress.ts";
import { fromLast, fromSequence } from "./start-position.ts";

// Why: docs/decisions.md#detection-of-a-channel-reset
/**
 * Detects whether a channel was reset, and then resets the deliveries. A reset channel counts from 1 again, because a
 * memory store restarted or the channel was deleted. The channel's last message tells. If its sequence is above the
 * highest received one, the message with the highest received sequence tells. If that was removed, all earlier ones
 * were removed too, and no message can be mistaken.
 *
 * For a queue group, whose position stays where its first member started, and for a suspect channel, an empty channel
 * counts as reset. Otherwise the peek does not wait for a message: the next delivery tells.
 */
export async function detectReset(
  registration: Registration,
  peek: Peek,
  deliveries: Deliveries,
): Promise<"same" | "reset" | "unknown"> {
  const { group, isSuspect, endpoint } = deliveries;
  const { progress } = group;
  const { highest, timeOfHighest } = progress;
  // What made the channel suspect came to the endpoint. Without one, the channel may be empty by now.
  const matters = group.members !== undefined || (isSuspect && endpoint !== undefined);
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
    // A message with an old sequence came, so the channel is not empty: the server is busy.
    if (matters && progress.unverified) return "unknown";
    // The first message with an old sequence then makes the channel suspect, whatever its time.
    progress.unverified = !matters;
    other = matters;
  }
  // A peek without a message proves nothing here: the channel has a later message.
  if (last > highest) {
    const found = await peek.readOne(registration, fromSequence(highest), PEEK_TIMEOUT, compare);
    if (!found) return "unknown";
  }
  // Another member of the group may have found the reset meanwhile, and finished messages of the new channel.
  if (!other || group.progress !== progress) return "same";
  deliveries.reset(registration.session);
  return "reset";
}

// Why: docs/decisions.md#doubt-about-the-channel
/**
 * Verifies a channel after a message that contradicts earlier ones. Either the channel was reset, or a leader whose
 * clock was ahead stored the message. Resolves with "stale" if the channel is the same, and had shown no message
 * before: the server has then sent messages that the client did not take, and would send them again only after
 * `ackWait`.
 */
export async function verifyChannel(
  registration: Registration,
  peek: Peek,
  deliveries: Deliveries,
): Promise<"reset" | "stale" | undefined> {
  const { group } = deliveries;
  const { progress } = group;
  const finding = await detectReset(registration, peek, deliveries);
  if (progress !== group.progress) return "reset";
  if (finding === "unknown") return undefined;
  const { unverified } = progress;
  progress.confirm();
  if (unverified) return "stale";
  deliveries.isSuspect = false;
  // The client did not take the messages that came meanwhile, so it does not know to which member they came.
  if (group.isShared) progress.moveAll();
  return undefined;
}
