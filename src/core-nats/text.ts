/** The byte that ends a line. */
export const LF = 0x0a;
/** The byte before it. */
export const CR = 0x0d;
/** The byte between words. */
export const SPACE = 0x20;
/** The byte of the digit 0; those of the others follow. */
export const ZERO = 0x30;

/** An array without bytes. */
export const NO_BYTES = new Uint8Array(0);

// jest's jsdom has no TextDecoder, and a TextEncoder only where the tests bring one.
const { TextEncoder, TextDecoder } = "TextDecoder" in globalThis ? globalThis : require("node:util");

/** Reads the class of an array of bytes or numbers where the host keeps it: nothing else can pass for one. */
const classOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)!.get!;

// Why: docs/decisions.md#values-of-other-realms
/**
 * Whether it is a Uint8Array, of whatever realm: those of vm contexts, of jsdom and of sandboxes have a class of
 * their own. What only inherits from one has no bytes, nor has a Proxy. Takes no longer than `instanceof` (measured
 * on Node 20 and 26).
 */
export function isBytes(value: unknown): value is Uint8Array {
  return classOf.call(value) === "Uint8Array";
}

/** Makes bytes of text, by UTF-8. */
export const encoder = new TextEncoder();

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Any bytes to text: what is not UTF-8 becomes U+FFFD. A byte order mark is a character like others. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  return decoder.decode(bytes.subarray(start, end));
}
