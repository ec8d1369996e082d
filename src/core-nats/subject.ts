/**
 * The longest subject, in characters. A line with two subjects of up to 3 bytes a character must fit the server's
 * default limit of 4096 bytes.
 */
const LONGEST_SUBJECT = 512;

// The blanks and line ends of Unicode, too, and halves of surrogate pairs, which have no UTF-8.
const UNSENDABLE = /[\s\p{Cc}\p{Z}\p{Cs}\ufeff]/u;

/**
 * Throws a `TypeError` for a subject that must never reach the wire: with an empty token, a blank, a control byte, or a
 * wildcard, unless wildcards are allowed.
 */
export function checkSubject(subject: string, wildcards: boolean): void {
  const rule = subjectRule(subject, wildcards);
  if (rule !== undefined) throw new TypeError(`a subject ${rule}`);
}

/** Returns the rule that a subject breaks, in words that follow its name, or undefined if it breaks none. */
export function subjectRule(subject: string, wildcards: boolean): string | undefined {
  if (typeof subject !== "string" || subject === "") return "must be a string that is not empty";
  if (subject.length > LONGEST_SUBJECT) return `must have at most ${LONGEST_SUBJECT} characters`;
  if (UNSENDABLE.test(subject)) return "must have no blanks, line breaks, control characters or broken surrogates";
  const tokens = subject.split(".");
  if (tokens.includes("")) return "must have no empty part: no dot first, last, or next to another";
  if (!wildcards && /[*>]/.test(subject)) return "must have no wildcard (* or >)";
  return undefined;
}
