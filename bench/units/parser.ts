// What the parser costs per message, in nanoseconds (the best of 7 rounds), for a stream of MSGs as a socket brings it,
// in chunks of 64 KiB that end anywhere:
//   npm run programs && node build/bench/units/parser.js
import { Parser } from "../../src/core-nats/parser.ts";

const ROUNDS = 7;
const CHUNK = 64 * 1024;
const STREAM = 32 * CHUNK;

const utf8 = new TextEncoder();
/** Everything measured ends in here, so that nothing can be left out as unused. Of 32 bits: others are allocated. */
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
  let best = Infinity;
  // The first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    const start = performance.now();
    for (let pass = 0; pass < passes; pass++) {
      for (const chunk of chunks) parser.parse(chunk);
    }
    if (round > 0) best = Math.min(best, ((performance.now() - start) * 1e6) / (passes * messages));
  }
  process.stdout.write(`${`MSG, ${payload} B of payload`.padEnd(48)}${best.toFixed(1).padStart(8)} ns\n`);
}

process.stdout.write(`(${sum})\n`);
