/** The byte that ends a line. */
export const LF = 0x0a;
/** The byte before it. */
export const CR = 0x0d;
/** The byte between words. */
export const SPACE = 0x20;
/** The byte of the digit 0; those of the others follow. */
export const ZERO = 0x30;

/** Makes bytes of text, by UTF-8. */
export const encoder = new TextEncoder();

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Any bytes to text: what is not UTF-8 becomes U+FFFD. A byte order mark is a character like others. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  return decoder.decode(bytes.subarray(start, end));
}
