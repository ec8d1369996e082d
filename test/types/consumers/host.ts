// A consumer whose compiler knows the host: its own AbortSignal is taken, and a Buffer or a URL's text as well.
import { connect } from "nats-streaming-client";
import type { Signal } from "nats-streaming-client";

export async function main(controller: AbortController): Promise<void> {
  const signal: Signal = controller.signal;
  const host: AbortSignal = signal;
  const options = { clusterId: "test-cluster", clientId: "consumer", servers: new URL("nats://localhost").href };
  const client = await connect({ ...options, signal: new AbortController().signal });
  await client.publish("orders", new TextEncoder().encode("text"), { signal: host });
  await client.close();
}
