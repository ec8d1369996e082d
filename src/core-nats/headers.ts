import { SPACE, ZERO } from "./text.ts";

const FIRST_WORD = "NATS/1.0";

/**
 * Returns the status of a header block (`NATS/1.0 503\r\n\r\n`): 100 to 999, or 0 if the block has none or is
 * malformed.
 *
 * NATS servers store and forward header blocks without reading them, so a block may hold anything. Never throws.
 * Streaming needs one status, 503: nobody listens on the subject of a request.
 */
export function readStatus(bytes: Uint8Array, start: number, end: number): number {
  let at = start + FIRST_WORD.length;
  if (at >= end || bytes[at] !== SPACE) return 0;
  for (let i = 0; i < FIRST_WORD.length; i++) {
    if (bytes[start + i] !== FIRST_WORD.charCodeAt(i)) return 0;
  }
  while (at < end && bytes[at] === SPACE) at++;
  if (end - at < 3) return 0;

  let status = 0;
  for (const last = at + 3; at < last; at++) {
    const digit = bytes[at] - ZERO;
    if (digit < 0 || digit > 9) return 0;
    status = status * 10 + digit;
  }
  // The number ends with the line or before a description.
  const ended = at === end || bytes[at] <= SPACE;
  return ended && status >= 100 ? status : 0;
}
