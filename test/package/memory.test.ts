import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { embedded } from "../support/clients.ts";
import { makePlace } from "../support/documents.ts";
import { start } from "../support/program.ts";

const ITEMS = 8_192;
const BYTES = 16_384;
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
