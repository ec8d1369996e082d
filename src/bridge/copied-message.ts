/**
 * @internal
 * The headers that a copied message has. stan2js, the official tool, writes those of the number and the time, too.
 */
export const SEQUENCE = "Nats-Streaming-Sequence";
/** @internal When the streaming server stored it: RFC 3339 with nanoseconds. */
export const TIMESTAMP = "Nats-Streaming-Timestamp";
/** @internal The reply of the original. It is only data, and must not become a reply subject. */
export const REPLY = "Nats-Streaming-Reply";

const NANOSECONDS = 1_000_000_000n;

/** @internal A time in nanoseconds since 1970 as RFC 3339, with all nine digits: "2026-11-28T03:40:39.000000001Z". */
export function rfc3339(timestamp: bigint): string {
  const seconds = timestamp / NANOSECONDS;
  const rest = String(timestamp % NANOSECONDS).padStart(9, "0");
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${rest}Z`;
}

/** @internal The nanoseconds since 1970, or undefined if the text is not RFC 3339. Zeros at the end may be missing. */
export function parseRfc3339(text: string): bigint | undefined {
  const parts = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (parts === null) return undefined;
  const milliseconds = Date.parse(`${parts[1]}${parts[3]}`);
  if (Number.isNaN(milliseconds)) return undefined;
  return BigInt(milliseconds) * 1_000_000n + BigInt((parts[2] ?? "").padEnd(9, "0"));
}

/** @internal The value of {@link REPLY} for a reply: without line breaks, which would end the header. */
export function headerOf(reply: string): string {
  return reply.replace(/[\r\n]/g, " ").trim();
}
