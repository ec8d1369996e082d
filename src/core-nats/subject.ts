/** In characters: a client's line must fit the server's default limit of 4096 bytes, with two subjects of up to 3 bytes a character in it. */
const LONGEST_SUBJECT = 512;

// Also what Unicode takes for blanks and line ends, and halves of surrogate pairs, which have no UTF-8.
const UNSENDABLE = /[\s\p{Cc}\p{Z}\p{Cs}\ufeff]/u;

/**
 * Throws a `TypeError` for what must never reach the wire as a subject: an empty token, a blank, a control byte, and,
 * unless they are allowed, a wildcard.
 */
export function checkSubject(subject: string, wildcards: boolean): void {
  const rule = subjectRule(subject, wildcards);
  if (rule !== undefined) throw new TypeError(`a subject ${rule}`);
}

/** Which rule a subject breaks, if any. Words that follow the name of what was given. */
export function subjectRule(subject: string, wildcards: boolean): string | undefined {
  if (typeof subject !== "string" || subject === "") return "must be a string that is not empty";
  if (subject.length > LONGEST_SUBJECT) return `must have at most ${LONGEST_SUBJECT} characters`;
  if (UNSENDABLE.test(subject)) return "must have no blanks, line breaks, control characters or broken surrogates";
  const tokens = subject.split(".");
  if (tokens.includes("")) return "must have no empty part: no dot first, last, or next to another";
  if (!wildcards && /[*>]/.test(subject)) return "must have no wildcard (* or >)";
  return undefined;
}
