// A consumer that uses every public name, as an ES module, where the compiler knows no host at all.
import { Batches, Client, connect, Message, Messages, NatsError, readDeadLetter } from "nats-streaming-client";
import { PublishManyError, StreamingError, Subscription } from "nats-streaming-client";
import type {
  BatchesOptions,
  ClientStats,
  ConnectOptions,
  Credentials,
  DeadLetter,
  DeadLetterTarget,
  DrainOptions,
  DrainReport,
  MessageHandler,
  MessagesOptions,
  NatsErrorCode,
  PublishFailure,
  PublishItem,
  PublishManyOptions,
  PublishOptions,
  Signal,
  StartAt,
  Status,
  StreamingErrorCode,
  SubscribeOptions,
  SubscriptionStats,
  TlsOptions,
} from "nats-streaming-client";

const signal: Signal = {
  aborted: false,
  reason: undefined,
  addEventListener: () => undefined,
  removeEventListener: () => undefined,
};

const tls: TlsOptions = {
  ca: ["-----BEGIN CERTIFICATE-----", new Uint8Array(1)],
  cert: undefined,
  key: undefined,
  passphrase: undefined,
  servername: "localhost",
  handshakeFirst: true,
};

const credentials: readonly Credentials[] = [
  { user: "user", pass: "pass" },
  { token: "token" },
  { nkeySeed: "SU" },
  { creds: "-----BEGIN NATS USER JWT-----" },
];

function name(status: Status): string {
  switch (status.type) {
    case "registered":
      return status.resumed ? "resumed" : "anew";
    case "disconnected":
      return status.error.code;
    case "subscribed":
      return `${status.subscription.subject} ${status.resumed} ${status.from ?? 0}`;
    case "gap":
      return `${status.subscription.subject} ${status.from} ${status.to} ${status.reason}`;
    case "handler-failed":
      return `${status.message.sequence} ${String(status.error)}`;
    case "retrying":
      return `${status.message.sequence} ${status.delay} ${status.deliveries} ${String(status.error)}`;
    case "dead-lettered":
      return `${status.subscription.subject} ${status.deliveries} ${status.replyKept} ${String(status.error)}`;
    case "redelivered-often":
      return `${status.message.redeliveryCount}`;
    case "error":
      return `${status.error.message} ${status.subscription?.subject ?? ""}`;
    default:
      return status.type;
  }
}

export const all: Required<ConnectOptions> = {
  clusterId: "test-cluster",
  clientId: "consumer",
  servers: ["nats://127.0.0.1:4222", "tls://localhost"],
  auth: async () => credentials[0] ?? { token: "" },
  tls: () => tls,
  ignoreClusterUpdates: false,
  callerStacks: false,
  connectTimeout: 5_000,
  requestTimeout: 2_000,
  publishTimeout: 30_000,
  maxPubAcksInFlight: 16_384,
  maxPubBytesInFlight: 8_388_608,
  maxQueuedBytes: 16_777_216,
  maxWaitingBytes: 67_108_864,
  resendUnconfirmed: false,
  pingInterval: 5_000,
  pingMaxOut: 3,
  waitOnFirstConnect: true,
  reconnectDelay: (attempt: number) => attempt * 100,
  inboxPrefix: "_INBOX",
  discoverPrefix: "_STAN.discover",
  onStatus: (status) => void name(status),
  signal,
};

const starts: readonly StartAt[] = [
  "newOnly",
  "lastReceived",
  "first",
  { sequence: 1 },
  { time: new Date(0) },
  { ago: 1_000 },
];

const targets: readonly DeadLetterTarget[] = [
  "orders.dead",
  async (message, error, deliveries) => `${message.sequence} ${String(error)} ${deliveries + 1}`,
];

const loop: Required<MessagesOptions> = {
  startAt: "first",
  durable: "durable",
  queue: "queue",
  maxInFlight: 10,
  ackWait: 30_000,
  manualAck: true,
  backoff: 100,
  backoffJitter: false,
  maxDeliver: 5,
  deadLetter: targets[1],
  signal,
};

const batching: Required<BatchesOptions> = { ...loop, size: 100, wait: 50 };

const everything: Required<SubscribeOptions> = {
  startAt: starts[0],
  durable: "durable",
  queue: "queue",
  maxInFlight: 10,
  concurrency: 10,
  ackWait: 30_000,
  manualAck: true,
  backoff: [100, 1_000] as const,
  backoffJitter: true,
  maxDeliver: 5,
  deadLetter: "orders.dead",
  key: (message) => message.subject,
  signal,
};

const draining: Required<DrainOptions> = { timeout: 1_000, signal };

const handler: MessageHandler = async (message: Message): Promise<boolean> => {
  const data: Uint8Array = message.data;
  const timestamp: bigint = message.timestamp;
  const order = message.json<{ id: number }>();
  const line = [message.subject, message.reply, message.sequence, message.time.getTime(), message.text(), order.id];
  if (!message.redelivered || message.redeliveryCount < 2 || message.signal.aborted) return false;
  if (message.subscription.subject === "") return false;
  const letter: DeadLetter | undefined = readDeadLetter(message);
  if (letter?.reply === undefined) {
    return message.nak() || message.nak(100) || message.term() || message.term(letter?.error);
  }
  return line.length > data.length + Number(timestamp) && message.ack();
};

export async function main(): Promise<number> {
  const minimal: ConnectOptions = { clusterId: "test-cluster", clientId: "consumer" };
  const client: Client = await connect(minimal);
  const state: "disconnected" | "connected" | "registered" | "closed" = client.state;
  const publishing: PublishOptions = { reply: "reply", signal };
  await client.publish("orders", "text", publishing);
  await client.publish("orders", new Uint8Array(8));
  const several: PublishManyOptions = { reply: "reply", onStored: (n: number) => (stored = n) };
  let stored: number = await client.publishMany("orders", ["one", new Uint8Array(1)], several);
  stored += await client.publishMany("orders", lines());
  const subscription: Subscription = await client.subscribe("orders", handler, everything);
  await client.subscribe("orders", () => undefined);
  const cause: StreamingError | undefined = await subscription.closed;
  await subscription.close();
  await subscription.unsubscribe();
  const { unhandled } = await subscription.drain(draining);
  const stats: [ClientStats, SubscriptionStats] = [client.stats(), subscription.stats()];
  const messages: Messages = await client.messages("orders", { startAt: { sequence: 7 }, manualAck: true });
  for await (const message of messages) if (!message.ack()) break;
  await messages.subscription.close();
  await client.messages("orders", loop);
  const batches: Batches = await client.batches("orders", batching);
  for await (const batch of batches) if (batch.every((message) => message.ack())) break;
  await client.batches("orders", { size: 1, wait: 0 });
  batches.subscription.pause();
  batches.subscription.resume();
  const { paused, retrying }: { paused: boolean; retrying: number } = batches.subscription.stats();
  stored += paused ? retrying : 0;
  const report: DrainReport = await client.drain();
  await client.close();
  await client.closed;
  await subscription.drain({ timeout: stats.length });
  const states = state.length + (client.ready ? 1 : 0) + (cause ? 1 : 0);
  return report.unconfirmed + report.unhandled.length + unhandled.length + stored + states;
}

async function* lines(): AsyncGenerator<PublishItem> {
  yield "line";
  yield { data: new Uint8Array(1), reply: "reply" };
}

/** Every code has its answer: a new one would not compile. */
const done: Record<StreamingErrorCode, "no" | "unknown"> = {
  CONNECT_FAILED: "no",
  AUTH_FAILED: "no",
  NO_SERVER: "no",
  CLIENT_ID_IN_USE: "no",
  REFUSED: "no",
  NOT_PERMITTED: "no",
  NOT_SENT: "no",
  QUEUE_FULL: "no",
  TOO_LARGE: "no",
  ABORTED: "no",
  CLOSED: "no",
  UNCONFIRMED: "unknown",
};

export function explain(error: unknown): string {
  if (error instanceof PublishManyError) {
    const failure: PublishFailure | undefined = error.failures[0];
    return `${error.stored} ${error.firstUncertain} ${error.failed} ${failure?.index ?? ""}`;
  }
  if (error instanceof StreamingError) {
    return `${error.code} ${done[error.code]} ${error.message} ${String(error.cause)}`;
  }
  if (error instanceof NatsError) {
    const code: NatsErrorCode = error.code;
    return code;
  }
  if (error instanceof Messages || error instanceof Batches) return "a loop";
  return error instanceof Message || error instanceof Client ? "a value" : String(error);
}
