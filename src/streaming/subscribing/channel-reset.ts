import type { MsgProtoView } from "../../pb/data.ts";
import type { Registration } from "../session/registration.ts";
import type { Message } from "./message.ts";
import { PATIENCE } from "./peek.ts";
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
  const last = await peek.one(registration, fromLast, matters ? PATIENCE : 0, compare);
  if (last === undefined) return "unknown";
  if (last === 0) {
    // A message had an old number, so there is one: the server is busy.
    if (matters && progress.suspect) return "unknown";
    // For the first message that could be of both, should the clock of a new one be behind.
    progress.suspect = !matters;
    return matters ? "reset" : "same";
  }
  // Nothing shown proves nothing here: the channel has a later message.
  if (last > highest && !(await peek.one(registration, fromSequence(highest), PATIENCE, compare))) return "unknown";
  return other ? "reset" : "same";
}
