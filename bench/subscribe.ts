// Stored messages consumed and acknowledged per second, and what each costs this process:
//   npm run programs && node build/bench/subscribe.js
import type { Client, MessageHandler } from "../src/index.ts";
import { main, measure, PAYLOAD_SIZE, printHead, printRow, WINDOWS, withClient } from "./measure.ts";

const MESSAGES = 300_000;
const CHANNEL = "bench";

async function store(client: Client): Promise<void> {
  const payload = new Uint8Array(PAYLOAD_SIZE).fill(97);
  await client.publishMany(CHANNEL, new Array<Uint8Array>(MESSAGES).fill(payload));
}

/** From the request for a subscription to the server's answer to its close, which comes after all acks. */
async function consume(client: Client, maxInFlight: number, handlerOf: (handled: () => void) => MessageHandler): Promise<void> {
  let count = 0;
  let complete = (): void => undefined;
  const completed = new Promise<void>((resolve) => (complete = resolve));
  const handled = (): void => {
    if (++count === MESSAGES) complete();
  };
  const subscription = await client.subscribe(CHANNEL, handlerOf(handled), { startAt: "first", maxInFlight });
  await completed;
  await subscription.close();
}

main(async () => {
  printHead(`subscribe, ${PAYLOAD_SIZE} bytes`);
  for (const window of WINDOWS) {
    await withClient({}, async (client) => {
      await store(client);
      const plain = await measure(MESSAGES, () => consume(client, window, (handled) => handled));
      printRow(`plain handler, ${window} in flight`, plain);
      const async = await measure(MESSAGES, () => consume(client, window, (handled) => async () => handled()));
      printRow(`async handler, ${window} in flight`, async);
    });
  }
});
