import type { Message } from "./message.ts";

/** What a dead letter says of the message that it was: see `readDeadLetter`. Its data is the data of that message. */
export interface DeadLetter {
  /** The channel that the message was in. */
  readonly channel: string;
  /** Its number in that channel. */
  readonly sequence: number;
  /** When the server stored it there, in nanoseconds since 1970. */
  readonly timestamp: bigint;
  /** How many times it was handled, as `maxDeliver` counts. */
  readonly deliveries: number;
  /**
   * The text of the last error, or the `reason` of `term`; the beginning of it if it is long, and "" if there was none.
   */
  readonly error: string;
  /** The `reply` of the message, whole, or ""; undefined if it did not fit. */
  readonly reply: string | undefined;
}

/** The longest reply that a message can have, in characters. */
const LONGEST_REPLY = 1_024;
/** Marks the reply of a dead letter, and its version. */
const MARK = 1;

/** What a reply holds: one letter a field, since 1,024 characters are all that there is. */
interface Encoded {
  readonly dead: typeof MARK;
  readonly c: string;
  readonly s: number;
  readonly t: string;
  readonly n: number;
  readonly e: string;
  readonly r?: string;
}

// Why: docs/decisions.md#the-reply-carries-what-a-dead-letter-says
/**
 * @internal The reply of a dead letter: JSON of at most 1,024 characters. The error is cut until all fits; the original
 * reply is kept whole, or not at all.
 */
export function deadLetterReply(
  message: Message,
  deliveries: number,
  error: string,
): { readonly reply: string; readonly replyKept: boolean } {
  const { subject, sequence, timestamp, reply } = message;
  const fixed = { dead: MARK, c: subject, s: sequence, t: String(timestamp), n: deliveries } as const;
  const room = LONGEST_REPLY - JSON.stringify({ ...fixed, e: "", r: reply }).length;
  const replyKept = room >= 0;
  const encoded: Omit<Encoded, "e"> = replyKept ? { ...fixed, r: reply } : fixed;
  return { reply: fitting(encoded, error), replyKept };
}

/** Cuts the error so that all fits. A character takes up to six in JSON. */
function fitting(encoded: Omit<Encoded, "e">, error: string): string {
  let least = 0;
  let most = Math.min(error.length, LONGEST_REPLY);
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (JSON.stringify({ ...encoded, e: cut(error, middle) }).length <= LONGEST_REPLY) least = middle;
    else most = middle - 1;
  }
  return JSON.stringify({ ...encoded, e: cut(error, least) });
}

/** The first characters of a text; half of a pair is none. */
function cut(text: string, length: number): string {
  const last = text.charCodeAt(length - 1);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? length - 1 : length);
}

/**
 * Reads what a dead letter says of the message that it was: the facts are in the `reply` of the dead letter, and the
 * data is the same. Returns undefined if the message is no dead letter. Never throws.
 *
 * @example
 * ```ts
 * await client.subscribe("orders.dead", async (message) => {
 *   const letter = readDeadLetter(message);
 *   if (letter !== undefined) await client.publish(letter.channel, message.data, { reply: letter.reply });
 * });
 * ```
 */
export function readDeadLetter(message: Pick<Message, "reply">): DeadLetter | undefined {
  let value: unknown;
  try {
    value = JSON.parse(message.reply);
  } catch {
    return undefined;
  }
  if (!isEncoded(value)) return undefined;
  const { c: channel, s: sequence, t, n: deliveries, e: error, r: reply } = value;
  return { channel, sequence, timestamp: BigInt(t), deliveries, error, reply };
}

function isEncoded(value: unknown): value is Encoded {
  if (typeof value !== "object" || value === null) return false;
  const { dead, c, s, t, n, e, r } = value as Record<string, unknown>;
  const numbers = Number.isSafeInteger(s) && Number.isSafeInteger(n) && typeof t === "string" && /^\d{1,19}$/.test(t);
  const texts = typeof c === "string" && typeof e === "string" && (r === undefined || typeof r === "string");
  return dead === MARK && numbers && texts;
}
