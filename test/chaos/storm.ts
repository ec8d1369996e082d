import { connect, type ConnectOptions, type Status } from "../../src/index.ts";
import type { RealServer } from "../support/server.ts";
import { until } from "../support/until.ts";
import { pause } from "./load.ts";

/** What came of a storm of redeliveries. */
export interface Storm {
  /** How long it took, over what the handlers need. */
  readonly ratio: number;
  /** Handlers that ran for a message that had been handled to the end. */
  readonly again: number;
  /** Problems that were told: a session that was lost, messages that were dropped for want of room. */
  readonly problems: readonly string[];
}

/**
 * A durable of which the server believes that so many messages were sent and are to be acknowledged comes back, with
 * handlers of 10 ms, 100 of them at once, and an ack wait of 3 s: meanwhile the server sends all of them again and
 * again.
 */
export async function storm(server: RealServer, name: string, count: number): Promise<Storm> {
  const problems: string[] = [];
  let registrations = 0;
  const onStatus = (status: Status): void => {
    if (status.type === "registered" && ++registrations > 1) problems.push("registered again");
    if (status.type === "error" || status.type === "disconnected") problems.push(status.error.message);
  };
  const options: ConnectOptions = { clusterId: "test-cluster", clientId: name, servers: server.url, onStatus };
  const before = await connect(options);
  await before.publishMany(name, Array.from({ length: count }, (_, i) => `${i}`.padEnd(128)));
  let received = 0;
  const unacknowledged = {
    durable: "storm",
    startAt: "first",
    maxInFlight: count,
    ackWait: 60_000,
    manualAck: true,
  } as const;
  await before.subscribe(name, () => void received++, unacknowledged);
  await until("all are received", () => received >= count, 60_000);
  await before.close();

  registrations = 0;
  const client = await connect(options);
  const handled = new Set<number>();
  let again = 0;
  let busy = 0;
  const started = performance.now();
  const handler = async ({ sequence }: { sequence: number }): Promise<void> => {
    const begun = performance.now();
    if (handled.has(sequence)) again++;
    await pause(10);
    busy += performance.now() - begun;
    handled.add(sequence);
  };
  await client.subscribe(name, handler, { durable: "storm", maxInFlight: 100, concurrency: 100, ackWait: 3_000 });
  await until("all are handled", () => handled.size === count, 120_000);
  const took = performance.now() - started;
  const page = await server.monitor<{ subscriptions: Record<string, { pending_count: number }[]> }>(
    `streaming/clientsz?client=${name}&subs=1`,
  );
  if (page === undefined) problems.push("the client was evicted");
  await until("the server waits for no ack", async () => {
    const now = await server.monitor<{ subscriptions: Record<string, { pending_count: number }[]> }>(
      `streaming/clientsz?client=${name}&subs=1`,
    );
    return now?.subscriptions[name]?.every((subscription) => subscription.pending_count === 0);
  }, 30_000);
  await client.close();
  return { ratio: took / (busy / 100), again, problems };
}
