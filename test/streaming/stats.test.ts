import { expect, onTestFinished, test } from "vitest";
import { StreamingServer } from "../../src/testing/server.ts";
import { open, Statuses } from "../support/clients.ts";
import { until } from "../support/until.ts";

test("a client and a subscription count what they did, and what is under way", async () => {
  const server = await StreamingServer.start();
  onTestFinished(() => server.stop());
  const statuses = new Statuses();
  const before = Date.now();
  const client = await open(server, { onStatus: statuses.onStatus });
  const gates: (() => void)[] = [];
  const subscription = await client.subscribe(
    "counted",
    (message) => {
      if (message.text() === "bad") throw new Error("bad");
      return new Promise<void>((resolve) => gates.push(resolve));
    },
    { concurrency: 1, maxInFlight: 10 },
  );
  await client.publish("counted", "1");
  await client.publish("counted", "2");
  await expect(client.publish("counted", new Uint8Array(2 ** 20))).rejects.toMatchObject({ code: "TOO_LARGE" });
  await until("the second message waits", () => subscription.stats().waiting === 1);
  expect(subscription.stats()).toEqual({
    received: 2, redelivered: 0, handled: 0, failed: 0, acknowledged: 0, running: 1, waiting: 1, highest: 2,
    retrying: 0, paused: false,
  });
  expect(client.stats()).toMatchObject({
    stored: 2, rejected: 1, unconfirmed: 0, inFlight: 0, inFlightBytes: 0, queued: 0, queuedBytes: 0,
    subscriptions: 1, connections: 1, registrations: 1, resumptions: 0,
  });
  expect(client.stats().waitingBytes).toBeGreaterThan(0);
  expect(client.stats().registeredAt).toBeGreaterThanOrEqual(before);
  expect(client.stats().pongAt).toBeGreaterThanOrEqual(before);

  gates.shift()!();
  await until("the second is run", () => gates.length === 1);
  gates.shift()!();
  await client.publish("counted", "bad");
  await until("it has failed", () => subscription.stats().failed === 1);
  await server.advance(31_000);
  await until("it has failed again", () => subscription.stats().failed === 2);
  expect(subscription.stats()).toMatchObject({
    received: 4, redelivered: 1, handled: 2, acknowledged: 2, running: 0, waiting: 0,
  });
  // The one that failed waits for its next delivery.
  expect(client.stats().waitingBytes).toBe(256 + "bad".length);

  server.cut();
  await until("the session is resumed", () => client.stats().resumptions === 1);
  expect(client.stats()).toMatchObject({ connections: 2, registrations: 1 });
  await subscription.close();
  expect(client.stats().subscriptions).toBe(0);
});
