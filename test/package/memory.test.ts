import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { embedded } from "../support/clients.ts";
import { makePlace } from "../support/documents.ts";
import { start } from "../support/program.ts";

const ITEMS = 8_192;
const BYTES = 16_384;
const KEYS = 60_000;
const MIB = (ITEMS * BYTES) / 2 ** 20;

test("publishMany keeps nothing that is stored, neither in the heap nor outside", { timeout: 120_000 }, async () => {
  const place = makePlace();
  onTestFinished(() => rmSync(place, { recursive: true, force: true }));
  const program = `
    import { connect } from "nats-streaming-client";
    const client = await connect({ clusterId: "test-cluster", clientId: "importer", servers: process.argv[2] });
    let most = 0;
    function* items() {
      for (let i = 0; i < ${ITEMS}; i++) {
        if (i % 1_024 === 1_023) {
          gc();
          most = Math.max(most, process.memoryUsage().arrayBuffers / 2 ** 20);
        }
        // Each a text of its own, in V8's heap.
        yield Buffer.alloc(${BYTES}, i).toString("latin1");
      }
    }
    const stored = await client.publishMany("import", items());
    console.log(JSON.stringify({ stored, most }));
    await client.drain();`;
  writeFileSync(join(place, "import.mjs"), program);
  const server = await embedded({ limits: { messages: 100 } });
  // The heap holds a quarter of the items: if they were kept, the program would die.
  const args = [`--max-old-space-size=${MIB / 4}`, join(place, "import.mjs"), server.url];
  const { code, signal, out, err } = await start("--expose-gc", args).ended;
  expect({ code, signal }, err).toEqual({ code: 0, signal: null });
  const { stored, most } = JSON.parse(out) as { stored: number; most: number };
  expect(stored).toBe(ITEMS);
  expect(most).toBeLessThan(MIB / 2);
});

test("a key leaves nothing behind, nor does a message that failed", { timeout: 120_000 }, async () => {
  const place = makePlace();
  onTestFinished(() => rmSync(place, { recursive: true, force: true }));
  const program = `
    import { connect } from "nats-streaming-client";
    const servers = process.argv[2];
    const client = await connect({ clusterId: "test-cluster", clientId: "consumer", servers, onStatus() {} });
    const heap = () => {
      gc();
      return process.memoryUsage().heapUsed / 2 ** 20;
    };
    let runs = 0;
    let before;
    const subscription = await client.subscribe("keys", () => {
      if (++runs === ${KEYS / 10}) before = heap();
      if (runs % 2 === 1) throw new Error("fails");
    }, {
      key: (message) => "the key of message " + message.sequence,
      backoff: 0,
      startAt: "first",
      maxInFlight: 1_000,
    });
    while (subscription.stats().acknowledged < ${KEYS}) await new Promise((resolve) => setTimeout(resolve, 10));
    console.log(JSON.stringify({ runs, growth: heap() - before, waitingBytes: client.stats().waitingBytes }));
    await client.drain();`;
  writeFileSync(join(place, "keys.mjs"), program);
  const server = await embedded();
  for (let i = 0; i < KEYS; i++) server.publish("keys", "x");
  const { code, signal, out, err } = await start("--expose-gc", [join(place, "keys.mjs"), server.url]).ended;
  expect({ code, signal }, err).toEqual({ code: 0, signal: null });
  const { runs, growth, waitingBytes } = JSON.parse(out) as { runs: number; growth: number; waitingBytes: number };
  expect(runs).toBeGreaterThan(1.5 * KEYS);
  expect(waitingBytes).toBe(0);
  // A key and its lane take 300 bytes: all of them 18 MiB.
  expect(growth).toBeLessThan(6);
});
