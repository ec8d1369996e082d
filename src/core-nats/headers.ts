import { decodeText, encoder, LF, SPACE, ZERO } from "./text.ts";

const FIRST_WORD = "NATS/1.0";
const COLON = 0x3a;

/** Printable ASCII without blank and colon, as ADR-4 of NATS has it. */
const NAME = /^[!-9;-~]+$/;

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
  if (!isText(bytes, start, FIRST_WORD)) return 0;
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

/**
 * Returns the value of the first header with this name, without the blanks around it (as `trim` does), or undefined
 * if the block has none or is malformed. Upper and lower case differ in names, as in nats.go. Never throws.
 */
export function readHeader(bytes: Uint8Array, start: number, end: number, name: string): string | undefined {
  if (!isText(bytes, start, FIRST_WORD)) return undefined;
  let at = start;
  for (;;) {
    const newline = bytes.indexOf(LF, at);
    if (newline < 0 || newline >= end) return undefined;
    const colon = at + name.length;
    // The first line has no header.
    if (at > start && bytes[colon] === COLON && isText(bytes, at, name)) {
      return decodeText(bytes, colon + 1, newline).trim();
    }
    at = newline + 1;
  }
}

/**
 * Makes a header block of names and values, in their order. A name may come several times.
 *
 * @throws TypeError for a name that is not printable ASCII without blanks and colons, or a value with a line break
 */
export function headerBlock(fields: Iterable<readonly [name: string, value: string]>): Uint8Array {
  let block = `${FIRST_WORD}\r\n`;
  for (const [name, value] of fields) {
    if (!NAME.test(name)) throw new TypeError("a header's name must be printable ASCII without blanks and colons");
    if (/[\r\n]/.test(value)) throw new TypeError(`the header ${name} must have no line break in its value`);
    block += `${name}: ${value}\r\n`;
  }
  return encoder.encode(`${block}\r\n`);
}

function isText(bytes: Uint8Array, start: number, ascii: string): boolean {
  for (let i = 0; i < ascii.length; i++) {
    if (bytes[start + i] !== ascii.charCodeAt(i)) return false;
  }
  return true;
}
