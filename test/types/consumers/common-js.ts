// A consumer that requires, as TypeScript writes it in CommonJS modules.
import nats = require("nats-streaming-client");

async function main(options: nats.ConnectOptions): Promise<nats.DrainReport> {
  const client: nats.Client = await nats.connect(options);
  const handler = (message: nats.Message): boolean => message.ack();
  const subscription = await client.subscribe("orders", handler, { durable: "worker" });
  await client.publish("orders", "text").catch((error: unknown) => {
    if (error instanceof nats.StreamingError && error.code === "UNCONFIRMED") return;
    throw error;
  });
  await subscription.close();
  return client.drain();
}

export = main;
