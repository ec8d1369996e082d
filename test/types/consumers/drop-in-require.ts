// The same without esModuleInterop, in a CommonJS module.
import nats = require("nats-streaming-client/node-nats-streaming");

const stan: nats.Stan = nats.connect("test-cluster", "one", { url: "nats://127.0.0.1:4222" });
stan.on("connect", () => {
  const options: nats.SubscriptionOptions = stan.subscriptionOptions().setStartAt(nats.StartPosition.FIRST);
  stan.subscribe("orders", options).on("message", (message: nats.Message) => message.ack());
});

export = stan;
