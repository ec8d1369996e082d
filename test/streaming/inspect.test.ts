import { expect, test } from "vitest";
import { inspect } from "node:util";
import { embedded, open, Received } from "../support/clients.ts";

test("console.log shows of a client, a subscription and a message what one wants to see, and no secret", async () => {
  const server = await embedded();
  const auth = { user: "billing", pass: "canary-password" };
  const client = await open(server, { clientId: "billing-1", auth });
  const received = new Received();
  const subscription = await client.subscribe("orders", received.handler, { durable: "d" });
  await client.publish("orders", "two of the blue ones", { reply: "id 1" });
  await client.publish("orders", "x".repeat(1_000));
  await received.until(2);

  expect(inspect(client)).toMatch(
    /^Client \{\n {2}clientId: 'billing-1',\n {2}state: 'registered',\n {2}ready: true,\n {2}stored: 2,/,
  );
  expect(inspect(subscription)).toMatch(
    /^Subscription \{\n {2}subject: 'orders',\n {2}durable: 'd',\n {2}state: 'subscribed',\n {2}received: 2,/,
  );
  const [short, long] = received.all.map((message) => inspect(message));
  expect(short).toMatch(/^Message \{\n {2}subject: 'orders',\n {2}sequence: 1,\n {2}time: 20\d\d-.*,\n/);
  expect(short).toMatch(/,\n {2}text: 'two of the blue ones',\n {2}reply: 'id 1',/);
  expect(long).toContain(`'${"x".repeat(200)}… (1000 bytes)'`);
  for (const shown of [client, subscription, received.all]) {
    expect(inspect(shown, { depth: 20, showHidden: true })).not.toContain("canary");
  }
});
