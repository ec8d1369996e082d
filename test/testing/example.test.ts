import { expect, test } from "vitest";
import { type Message, connect } from "../../src/index.ts";
import { StreamingServer } from "../../src/testing/server.ts";

/** What is to be tested: saves orders in a database. */
function saver(database: { save(order: string): Promise<void> }): (message: Message) => Promise<void> {
  return (message) => database.save(message.text());
}

test("every order is saved, through a database that fails and a server that goes away", async () => {
  const saved: string[] = [];
  let failing = true;
  const database = {
    async save(order: string): Promise<void> {
      if (failing) throw new Error("the database does not answer");
      saved.push(order);
    },
  };
  const server = await StreamingServer.start();
  const client = await connect({
    clusterId: "test-cluster",
    clientId: "shop",
    servers: server.url,
    reconnectDelay: () => 5,
    onStatus: () => {},
  });
  await client.subscribe("orders", saver(database), { durable: "saver" });

  // The handler fails: the server still waits for an ack, and sends the order again once ackWait is over.
  server.publish("orders", "three apples");
  await server.idle();
  expect(server.subscriptions("orders")).toMatchObject([{ durable: "saver", pending: [1] }]);
  failing = false;
  await server.advance(30_000);
  expect(saved).toEqual(["three apples"]);
  expect(server.subscriptions("orders")).toMatchObject([{ durable: "saver", pending: [] }]);

  // The server goes away; an order that comes in meanwhile arrives when the client is there again.
  await server.down();
  server.publish("orders", "two pears");
  await server.up();
  await server.present("shop");
  await server.advance(30_000);
  expect(saved).toEqual(["three apples", "two pears"]);

  await client.close();
  await server.stop();
});
