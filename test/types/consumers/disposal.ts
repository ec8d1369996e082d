// A consumer that lets the language close: TypeScript 5.2 and later.
import { connect } from "nats-streaming-client";
import type { ConnectOptions } from "nats-streaming-client";

export async function main(options: ConnectOptions): Promise<void> {
  await using client = await connect(options);
  const disposable: AsyncDisposable = client;
  await client.publish("orders", typeof disposable);
}
