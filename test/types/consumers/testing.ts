// A consumer of the server for tests.
import { StreamingServer } from "nats-streaming-client/testing";
import type { Refused, StoredMessage, StreamingServerOptions } from "nats-streaming-client/testing";
import type { SubscriptionState, Swallowed } from "nats-streaming-client/testing";

const options: StreamingServerOptions = { port: 0, host: "127.0.0.1", allowRemote: false };
const swallowed: Swallowed = "PubAck";
const refused: Refused = "publish";

export async function main(): Promise<string> {
  const server: StreamingServer = await StreamingServer.start(options);
  const port: number = server.port;
  await server.stop();
  return [server.url, port, swallowed, refused].join(" ");
}

export function texts(messages: readonly StoredMessage[], subscription: SubscriptionState): string[] {
  return [...messages.map((message) => message.text), subscription.durable];
}
