import { measured } from "./measurement.ts";
import type { Latencies } from "./measurement.ts";
import type { ConsumeOptions, StreamingClient } from "./streaming-client.ts";
import { payloadOf } from "./task.ts";
import type { Outcome, Task, TaskRunner, Workload } from "./task.ts";

/** Runs tasks with a streaming client. */
export function runnerOf(client: StreamingClient): TaskRunner {
  return {
    open: (options) => client.open(options),
    run: (task) => workloads[task.workload](client, task),
    close: () => client.close(),
  };
}

const workloads: Record<Workload, (client: StreamingClient, task: Task) => Promise<Outcome>> = {
  publish: (client, task) => measured(task.messages, () => publishFull(client, task)),
  "publish-many": (client, task) => measured(task.messages, () => publishMany(client, task)),
  "publish-serially": (client, task) =>
    measured(task.messages, (latencies) => publishSerially(client, task, latencies)),
  consume: (client, task) => measured(task.messages, () => consume(client, task)),
  "publish-and-consume": (client, task) => publishAndConsume(client, task, publishFull),
  "serial-publishers": (client, task) => publishAndConsume(client, task, publishSerially),
  "fan-out": fanOut,
};

/** Marks a payload before each publish. */
type Stamp = (payload: Uint8Array) => void;

const unmarked: Stamp = () => undefined;

function publishFull(client: StreamingClient, task: Task, _?: Latencies, stamp = unmarked): Promise<void> {
  const { channel, messages, window } = task;
  const payload = payloadOf(task.size);
  return new Promise((resolve, reject) => {
    let sent = 0;
    let stored = 0;
    const send = client.publisher(channel, acknowledged, reject);
    function acknowledged(): void {
      stored++;
      if (stored === messages) resolve();
      else if (sent < messages) next();
    }
    function next(): void {
      sent++;
      stamp(payload);
      send(payload);
    }
    while (sent < Math.min(window, messages)) next();
  });
}

async function publishSerially(
  client: StreamingClient,
  task: Task,
  latencies?: Latencies,
  stamp = unmarked,
): Promise<void> {
  const { channel, messages, publishers = 1 } = task;
  let left = messages;
  const publisher = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const payload = payloadOf(task.size);
      let sentAt = 0;
      const send = client.publisher(channel, acknowledged, reject);
      function acknowledged(): void {
        latencies?.add(performance.now() - sentAt);
        next();
      }
      function next(): void {
        if (left === 0) return resolve();
        left--;
        stamp(payload);
        sentAt = performance.now();
        send(payload);
      }
      next();
    });
  await Promise.all(Array.from({ length: publishers }, publisher));
}

async function publishMany(client: StreamingClient, { channel, messages, size, window }: Task): Promise<void> {
  const payload = payloadOf(size);
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < messages; i++) yield payload;
  }
  if (client.publishMany !== undefined) return client.publishMany(channel, source());
  let inFlight = 0;
  let failure: { readonly error: unknown } | undefined;
  let settled = (): void => undefined;
  const stored = (): void => {
    inFlight--;
    settled();
  };
  const failed = (error: unknown): void => {
    failure = { error };
    settled();
  };
  const atMost = async (limit: number): Promise<void> => {
    while (inFlight > limit && failure === undefined) await new Promise<void>((resolve) => (settled = resolve));
    if (failure !== undefined) throw failure.error;
  };
  const send = client.publisher(channel, stored, failed);
  for await (const data of source()) {
    inFlight++;
    send(data);
    if (inFlight >= window) await atMost(window - 1);
  }
  await atMost(0);
}

/**
 * Returns the seconds from the first delivery to the last, as stan-bench counts them. The CPU time includes subscribing
 * and closing.
 */
async function consume(client: StreamingClient, task: Task): Promise<number> {
  const { channel, messages, window, manualAcks = false } = task;
  let received = 0;
  let first = 0;
  let complete!: (seconds: number) => void;
  const completed = new Promise<number>((resolve) => (complete = resolve));
  const options: ConsumeOptions = { stored: true, maxInFlight: window, manualAcks, data: false };
  const close = await client.consume(channel, options, () => {
    if (received === 0) first = performance.now();
    if (++received === messages) complete((performance.now() - first) / 1_000);
  });
  const seconds = await completed;
  await close();
  return seconds;
}

/** The payloads carry the time at which they were published. */
async function publishAndConsume(
  client: StreamingClient,
  task: Task,
  publishAll: typeof publishFull,
): Promise<Outcome> {
  const { channel, messages, window } = task;
  let received = 0;
  let latencies: Latencies | undefined;
  let complete = (): void => undefined;
  const completed = new Promise<void>((resolve) => (complete = resolve));
  const options: ConsumeOptions = { stored: false, maxInFlight: window, manualAcks: false, data: true };
  const close = await client.consume(channel, options, (data) => {
    latencies!.add(performance.now() - new DataView(data.buffer, data.byteOffset).getFloat64(0));
    if (++received === messages) complete();
  });
  const outcome = await measured(messages, async (noted) => {
    latencies = noted;
    const stamp: Stamp = (payload) => new DataView(payload.buffer).setFloat64(0, performance.now());
    await publishAll(client, task, undefined, stamp);
    await completed;
  });
  await close();
  return outcome;
}

async function fanOut(client: StreamingClient, task: Task): Promise<Outcome> {
  const { channel, messages, window, subscriptions = 1 } = task;
  let received = 0;
  let complete = (): void => undefined;
  const completed = new Promise<void>((resolve) => (complete = resolve));
  const options: ConsumeOptions = { stored: false, maxInFlight: window, manualAcks: false, data: false };
  const closes: (() => Promise<void>)[] = [];
  for (let i = 0; i < subscriptions; i++) {
    closes.push(await client.consume(channel, options, () => {
      if (++received === messages) complete();
    }));
  }
  const outcome = await measured(messages, async () => {
    await publishFull(client, { ...task, messages: messages / subscriptions });
    await completed;
  });
  for (const close of closes) await close();
  return outcome;
}
