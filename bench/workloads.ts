import type { Competitor, Outcome, Place, Task } from "./task.ts";

/** What the workloads need of a streaming client, so that all run the very same code around it. */
export interface StreamingClient {
  open(place: Place): Promise<void>;
  /** Returns the function that publishes; `stored` is called for each ack. */
  publisher(channel: string, stored: () => void, failed: (error: unknown) => void): (payload: Uint8Array) => void;
  /** Absent where a client has nothing of the kind; the workload then keeps the window itself. */
  publishMany?(channel: string, source: AsyncIterable<Uint8Array>): Promise<void>;
  /** Resolves once subscribed to the function that closes the subscription. `handle` gets the data only if it is wanted. */
  consume(channel: string, options: ConsumeOptions, handle: (data: Uint8Array) => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

export interface ConsumeOptions {
  /** From the first stored message on; else what is published from now on. */
  readonly stored: boolean;
  readonly maxInFlight: number;
  readonly manualAcks: boolean;
  readonly data: boolean;
}

/** A streaming client at work. */
export class Streaming implements Competitor {
  readonly #client: StreamingClient;

  constructor(client: StreamingClient) {
    this.#client = client;
  }

  open(place: Place): Promise<void> {
    return this.#client.open(place);
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  run(task: Task): Promise<Outcome> {
    switch (task.workload) {
      case "publish":
        return publish(this.#client, task);
      case "publish-many":
        return publishMany(this.#client, task);
      case "publish-serially":
        return measured(task.messages, (latencies) => publishSerially(this.#client, task, latencies));
      case "consume":
        return consume(this.#client, task);
      case "publish-and-consume":
        return publishAndConsume(this.#client, task, publishFull);
      case "serial-publishers":
        return publishAndConsume(this.#client, task, publishSerially);
      case "fan-out":
        return fanOut(this.#client, task);
    }
  }
}

/** Runs `work`, which may note latencies, and measures it. */
export async function measured(messages: number, work: (latencies: Latencies) => Promise<number | void>): Promise<Outcome> {
  const latencies = new Latencies(messages);
  const cpu = process.cpuUsage();
  const start = performance.now();
  const seconds = (await work(latencies)) ?? (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return { messages, seconds, cpu: user + system, ...latencies.summary() };
}

/** Milliseconds that single messages took. */
export class Latencies {
  readonly #values: Float64Array;
  #count = 0;

  constructor(most: number) {
    this.#values = new Float64Array(most);
  }

  add(milliseconds: number): void {
    this.#values[this.#count++] = milliseconds;
  }

  summary(): Pick<Outcome, "latency"> {
    if (this.#count === 0) return {};
    const sorted = this.#values.subarray(0, this.#count).sort();
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    return { latency: { p50: at(0.5), p99: at(0.99) } };
  }
}

/** As benchmarks of other clients have it: bytes without a meaning. */
export function payloadOf(size: number): Uint8Array {
  return new Uint8Array(size).fill(120);
}

function publish(client: StreamingClient, task: Task): Promise<Outcome> {
  return measured(task.messages, () => publishFull(client, task));
}

/** `stamp` marks a payload before it is sent. */
function publishFull(client: StreamingClient, task: Task, _?: Latencies, stamp: (payload: Uint8Array) => void = nothing): Promise<void> {
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

async function publishSerially(client: StreamingClient, task: Task, latencies?: Latencies, stamp: (payload: Uint8Array) => void = nothing): Promise<void> {
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

function publishMany(client: StreamingClient, task: Task): Promise<Outcome> {
  const { channel, messages, window } = task;
  const payload = payloadOf(task.size);
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < messages; i++) yield payload;
  }
  return measured(messages, async () => {
    if (client.publishMany !== undefined) return client.publishMany(channel, source());
    let inFlight = 0;
    let settled = (): void => undefined;
    let broken: { error: unknown } | undefined;
    const send = client.publisher(
      channel,
      () => {
        inFlight--;
        settled();
      },
      (error) => {
        broken = { error };
        settled();
      },
    );
    const room = (limit: number) => async (): Promise<void> => {
      while (inFlight > limit && broken === undefined) await new Promise<void>((resolve) => (settled = resolve));
      if (broken !== undefined) throw broken.error;
    };
    for await (const data of source()) {
      inFlight++;
      send(data);
      if (inFlight >= window) await room(window - 1)();
    }
    await room(0)();
  });
}

/** Timed from the first delivery, as stan-bench does it; the CPU time is that of subscribing and closing as well. */
function consume(client: StreamingClient, { channel, messages, window, manualAcks = false }: Task): Promise<Outcome> {
  return measured(messages, async () => {
    let received = 0;
    let first = 0;
    let complete!: (seconds: number) => void;
    const completed = new Promise<number>((resolve) => (complete = resolve));
    const close = await client.consume(channel, { stored: true, maxInFlight: window, manualAcks, data: false }, () => {
      if (received === 0) first = performance.now();
      if (++received === messages) complete((performance.now() - first) / 1_000);
    });
    const seconds = await completed;
    await close();
    return seconds;
  });
}

/** The payloads carry the time at which they were published. */
async function publishAndConsume(client: StreamingClient, task: Task, publishAll: typeof publishFull): Promise<Outcome> {
  const { channel, messages, window } = task;
  let received = 0;
  let latencies: Latencies | undefined;
  let complete = (): void => undefined;
  const completed = new Promise<void>((resolve) => (complete = resolve));
  const close = await client.consume(channel, { stored: false, maxInFlight: window, manualAcks: false, data: true }, (data) => {
    latencies!.add(performance.now() - new DataView(data.buffer, data.byteOffset).getFloat64(0));
    if (++received === messages) complete();
  });
  const outcome = await measured(messages, async (noted) => {
    latencies = noted;
    await publishAll(client, task, undefined, (payload) => new DataView(payload.buffer).setFloat64(0, performance.now()));
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

function nothing(): void {}
