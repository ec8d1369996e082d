"use strict";

/**
 * Takes a consumer through what its test does with the server for tests, while timers are fake. Needs no timer itself.
 *
 * `library` is what the two entries of the package export; `pass` lets an hour go by on the fake clock.
 */
module.exports = async function exercise({ connect, readDeadLetter, StreamingServer }, pass) {
  const server = await StreamingServer.start();
  const statuses = [];
  const client = await connect({
    clusterId: "test-cluster",
    clientId: "shop",
    servers: server.url,
    reconnectDelay: () => 5,
    onStatus: ({ type }) => statuses.push(type),
  });
  const seen = [];
  let failing = true;
  const handler = (message) => {
    seen.push(message.text());
    if (failing) throw new Error("not yet");
  };
  const subscription = await client.subscribe("orders", handler, { durable: "saver", ackWait: 30_000 });

  // What the server stores arrives.
  server.publish("orders", "one");
  await server.idle();
  same(seen, ["one"]);

  // What was not acknowledged arrives again after ackWait, by the server's own clock.
  failing = false;
  await server.advance(30_000);
  same(seen, ["one", "one"]);

  // The client publishes.
  await client.publish("orders", "two");
  await client.publishMany("orders", ["three", "four"]);
  await server.idle();
  same(seen, ["one", "one", "two", "three", "four"]);

  // An outage ends by itself, and a link that is cut.
  await server.down();
  server.publish("orders", "five");
  await server.up();
  await server.present("shop");
  await server.advance(30_000);
  same(seen.slice(5), ["five"]);
  server.cut("shop");
  await server.present("shop");
  await client.publish("orders", "six");
  await server.advance(30_000);
  same(seen.slice(6), ["six"]);

  // Time that does not pass does nothing.
  pass();
  await client.publish("orders", "seven");
  await server.idle();
  same(seen.slice(7), ["seven"]);

  // What nobody answers ends by its timeout.
  const hurry = { clusterId: "test-cluster", clientId: "impatient", servers: server.url, publishTimeout: 50 };
  const impatient = await connect(hurry);
  server.swallow("PubAck");
  const failed = await impatient.publish("orders", "eight").then(() => "stored", ({ code }) => code);
  same(failed, "UNCONFIRMED");
  await impatient.close();

  // A retry, a dead letter and the order by key take their own, real delays, whatever the fake clock says.
  const options = { backoff: 20, backoffJitter: false, maxDeliver: 3, deadLetter: "dead", startAt: "first" };
  const tried = [];
  let failedOnce = () => {};
  const firstFailure = new Promise((resolve) => (failedOnce = resolve));
  let all = () => {};
  const done = new Promise((resolve) => (all = resolve));
  const trying = (message) => {
    tried.push(message.text());
    if (message.text() === "ann good") all();
    if (message.text() !== "ann bad") return;
    failedOnce();
    throw new Error("no");
  };
  for (const order of ["ann bad", "ann good", "bob good"]) server.publish("keys", order);
  await client.subscribe("keys", trying, { ...options, key: (message) => message.text().slice(0, 3) });
  await firstFailure;
  pass();
  same(tried.filter((text) => text === "ann bad").length, 1);
  await done;
  same(tried, ["ann bad", "bob good", "ann bad", "ann bad", "ann good"]);
  const { channel, deliveries, error } = readDeadLetter(server.messages("dead")[0]);
  same([channel, deliveries, error], ["keys", 3, "no"]);

  // So do batches that are not full.
  const batches = await client.batches("keys", { size: 10, wait: 20, startAt: "first" });
  same((await batches.next()).value.length, 3);
  await batches.return();

  same((await subscription.drain({ timeout: 10_000 })).unhandled, []);
  await client.drain();
  same(server.clients, []);
  await server.stop();
  return statuses;
};

function same(got, expected) {
  const [a, b] = [got, expected].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`expected ${b}, got ${a}`);
}
