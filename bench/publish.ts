// Acknowledged publishes per second, and what each costs this process:
//   npm run programs && node build/bench/publish.js
import type { Client } from "../src/index.ts";
import { main, measure, PAYLOAD_SIZE, printHead, printRow, WINDOWS, withClient } from "./measure.ts";

const MESSAGES = 300_000;
const ONE_BY_ONE = 10_000;
const CHANNEL = "bench";

const payload = new Uint8Array(PAYLOAD_SIZE).fill(97);

/** A promise per publish; each ack sends the next one, so that the window is always full. */
function publishAll(client: Client, messages: number, window: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let sent = 0;
    let stored = 0;
    const send = (): void => {
      sent++;
      client.publish(CHANNEL, payload).then(acknowledged, reject);
    };
    const acknowledged = (): void => {
      stored++;
      if (stored === messages) resolve();
      else if (sent < messages) send();
    };
    while (sent < Math.min(window, messages)) send();
  });
}

async function publishMany(client: Client, messages: number): Promise<void> {
  function* source(): Generator<Uint8Array> {
    for (let i = 0; i < messages; i++) yield payload;
  }
  await client.publishMany(CHANNEL, source());
}

main(async () => {
  printHead(`publish, ${PAYLOAD_SIZE} bytes`);
  for (const window of WINDOWS) {
    await withClient({ maxPubAcksInFlight: window }, async (client) => {
      printRow(`\`publish()\`, ${window} in flight`, await measure(MESSAGES, () => publishAll(client, MESSAGES, window)));
    });
    await withClient({ maxPubAcksInFlight: window }, async (client) => {
      printRow(`\`publishMany()\`, ${window} in flight`, await measure(MESSAGES, () => publishMany(client, MESSAGES)));
    });
  }
  await withClient({}, async (client) => {
    printRow("`publish()`, one at a time", await measure(ONE_BY_ONE, () => publishAll(client, ONE_BY_ONE, 1)));
  });
});
