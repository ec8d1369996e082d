// Measures the outbox, in nanoseconds per operation, with a sink that takes everything at once:
//   npm run programs && node build/bench/units/outbox.js
import { Outbox } from "../../src/core-nats/outbox.ts";
import { measure } from "./measure.ts";

const BYTES = 400 * 1024 * 1024;
const MOST = 2_000_000;

/** Takes up all results, so that the compiler can leave out nothing as unused. */
let sum = 0;

const outbox = new Outbox(
  {
    write(bytes, written) {
      sum = (sum + bytes.length + bytes[0]) | 0;
      written();
    },
  },
  () => undefined,
);

const head = new TextEncoder().encode("PUB _STAN.pub.test-cluster.orders.created _STAN.acks.0123456789ABCDEFGHIJKL.");

for (const size of [16, 128, 1_024, 16_384]) {
  const payload = new Uint8Array(size).fill(120);
  const times = Math.min(MOST, Math.floor(BYTES / size));
  measure(`PUB with a reply token, ${size} B of payload`, times, (times) => {
    for (let i = 0; i < times; i++) {
      const at = outbox.begin(head, i & 255, size, size);
      outbox.bytes.set(payload, at);
    }
    outbox.flush();
  });
}

measure("PING", MOST, (times) => {
  for (let i = 0; i < times; i++) outbox.line("PING");
  outbox.flush();
});

process.stdout.write(`(${sum})\n`);
