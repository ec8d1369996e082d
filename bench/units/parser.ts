// Measures the parser, in nanoseconds per message, for a stream of MSGs as a socket brings it: in chunks of 64 KiB that
// end anywhere:
//   npm run programs && node build/bench/units/parser.js
import { Parser } from "../../src/core-nats/parser.ts";
import { measure } from "./measure.ts";

const CHUNK = 64 * 1024;
const STREAM = 32 * CHUNK;

const utf8 = new TextEncoder();
/** Takes up all results, so that nothing is left out as unused. 32 bits, since larger numbers are allocated. */
let sum = 0;

/** The chunks of a stream of whole messages. */
function stream(message: Uint8Array, messages: number): Uint8Array[] {
  const all = new Uint8Array(message.length * messages);
  for (let i = 0; i < messages; i++) all.set(message, message.length * i);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < all.length; at += CHUNK) chunks.push(all.slice(at, at + CHUNK));
  return chunks;
}

const parser = new Parser({
  info: () => undefined,
  message: (delivery) => {
    sum = (sum + delivery.sid + delivery.end - delivery.start) | 0;
  },
  ping: () => undefined,
  pong: () => undefined,
  ok: () => undefined,
  error: () => undefined,
});

for (const payload of [16, 128, 1024, 16_384]) {
  const head = `MSG _INBOX.0123456789ABCDEFGHIJKL.42 17 ${payload}\r\n`;
  const message = utf8.encode(`${head}${"x".repeat(payload)}\r\n`);
  const messages = Math.ceil(STREAM / message.length);
  const chunks = stream(message, messages);
  const passes = Math.ceil(500_000 / messages);
  measure(`MSG, ${payload} B of payload`, passes * messages, () => {
    for (let pass = 0; pass < passes; pass++) {
      for (const chunk of chunks) parser.parse(chunk);
    }
  });
}

process.stdout.write(`(${sum})\n`);
