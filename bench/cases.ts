import type { ClientName } from "./clients.ts";
import type { Task } from "./task.ts";

/**
 * A bound for the first client of a case: for its own figure or, with `against`, for the ratio to the figure of another
 * client.
 */
export interface Target {
  /**
   * Messages per second; CPU per message; peak memory; memory beyond that at the start, divided by the bytes in flight.
   */
  readonly measure: "rate" | "cpu" | "peak" | "growth";
  readonly against?: ClientName;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** The same task for several clients, in turns, against a server of its own. */
export interface Case {
  readonly name: string;
  readonly title: string;
  /** What limits the rate, as the profiles show it. */
  readonly limit: string;
  readonly task: Omit<Task, "channel">;
  /** The least number of messages in the rounds that do not count. Default: those of one round. */
  readonly warmUp?: number;
  /** The least number of rounds. More rounds make the figures of a short task steadier. */
  readonly rounds?: number;
  readonly clients: readonly ClientName[];
  /** Why a client that might be expected takes no part. */
  readonly absent?: Partial<Record<ClientName, string>>;
  readonly targets: readonly Target[];
}

const SIZE = 128;
const MANY = 200_000;
const IN_FLIGHT = 8 * 1024 * 1024;
const STREAMING: readonly ClientName[] = ["ours", "node-nats-streaming", "stan.go"];
const ALL: readonly ClientName[] = [...STREAMING, "bare socket"];

const no = {
  manualAcks: "stan-bench has automatic acks only",
  subscriptions: "stan-bench makes a connection for each subscription",
  consuming: "the bytes of acks depend on what is received",
  curve: "the curve is drawn for the two that run in Node",
  otherProgram: "takes no program of node-nats-streaming",
} as const;

const atLeast = (against: ClientName, atLeast: number): Target => ({ measure: "rate", against, atLeast });

function publish(window: number): Case {
  return {
    name: `publish-${window}`,
    title: `publish, ${window.toLocaleString("en")} in flight`,
    limit: "the server, which takes more than one of the two cores; the client fills what is left",
    task: { workload: "publish", messages: MANY, size: SIZE, window },
    clients: ALL,
    targets: [
      atLeast("stan.go", 1),
      atLeast("node-nats-streaming", 3.5),
      { measure: "cpu", atMost: 2 },
      { measure: "cpu", against: "node-nats-streaming", atMost: 0.25 },
    ],
  };
}

function publishMany(window: number): Case {
  return {
    name: `publish-many-${window}`,
    title: `publishMany from an async generator, ${window.toLocaleString("en")} in flight`,
    limit: "the generator: a promise or two for each message that it yields",
    task: { workload: "publish-many", messages: MANY, size: SIZE, window },
    clients: STREAMING,
    absent: { "bare socket": "draws from no source" },
    targets: [],
  };
}

function consume(manualAcks: boolean): Case {
  const stanGo: Target[] = manualAcks ? [] : [atLeast("stan.go", 0.9)];
  return {
    name: manualAcks ? "consume-manual" : "consume-automatic",
    title: `consume what is stored, ${manualAcks ? "manual" : "automatic"} acks, 1,024 in flight`,
    limit: "the server, which looks each message up and waits for acks",
    task: { workload: "consume", messages: MANY, size: SIZE, window: 1_024, manualAcks },
    clients: manualAcks ? ["ours", "node-nats-streaming"] : STREAMING,
    absent: { ...(manualAcks ? { "stan.go": no.manualAcks } : {}), "bare socket": no.consuming },
    targets: [...stanGo, atLeast("node-nats-streaming", 3), { measure: "cpu", atMost: 1.6 }],
  };
}

/** With options for messages that fail, of which none does. */
const policies: readonly Case[] = [
  {
    name: "consume-key",
    title: "consume what is stored, with 10,000 keys, 1,024 in flight",
    limit: "the server, which looks each message up and waits for acks",
    task: { workload: "consume", messages: MANY, size: SIZE, window: 1_024 },
    rounds: 9,
    clients: ["ours with key", "ours"],
    targets: [{ measure: "rate", atLeast: 300_000 }],
  },
  {
    name: "consume-backoff",
    title: "consume what is stored, with backoff and dead letters, 1,024 in flight",
    limit: "the server, which looks each message up and waits for acks",
    task: { workload: "consume", messages: MANY, size: SIZE, window: 1_024 },
    rounds: 15,
    clients: ["ours with backoff", "ours"],
    targets: [atLeast("ours", 0.95)],
  },
];

const others: readonly Case[] = [
  {
    name: "publish-one-at-a-time",
    title: "publish one at a time",
    limit: "the way there and back: two processes wake each other up for each message",
    task: { workload: "publish-serially", messages: 10_000, size: SIZE, window: 1_024 },
    rounds: 9,
    clients: ALL,
    targets: [atLeast("stan.go", 0.9), atLeast("bare socket", 0.85)],
  },
  {
    name: "publish-and-consume",
    title: "publish, 1,024 in flight, and consume the same",
    limit: "the server; latency is what 1,024 messages in flight wait for each other",
    task: { workload: "publish-and-consume", messages: 100_000, size: SIZE, window: 1_024 },
    clients: STREAMING,
    absent: { "bare socket": no.consuming },
    targets: [],
  },
  {
    name: "serial-publishers",
    title: "16 serial publishers and one subscription",
    limit: "the way there and back, 16 at a time",
    task: { workload: "serial-publishers", messages: 40_000, size: SIZE, window: 1_024, publishers: 16 },
    clients: STREAMING,
    absent: { "bare socket": no.consuming },
    targets: [],
  },
];

/** The layer for programs of node-nats-streaming, beside it: callbacks, and automatic acks. */
function dropIn(workload: "publish" | "consume"): Case {
  const what = workload === "publish" ? "publish with callbacks" : "consume with automatic acks";
  return {
    name: `drop-in-${workload}`,
    title: `a program of node-nats-streaming: ${what}`,
    limit: "the server",
    task: { workload, messages: MANY, size: SIZE, window: 1_024, manualAcks: false },
    clients: ["drop-in", "node-nats-streaming"],
    absent: { ours: "is measured by the other cases", "stan.go": no.otherProgram, "bare socket": no.otherProgram },
    targets: [atLeast("node-nats-streaming", 2.5), { measure: "cpu", against: "node-nats-streaming", atMost: 0.3 }],
  };
}

function fanOut(subscriptions: number): Case {
  const single = subscriptions === 1;
  const messages = single ? 100_000 : MANY;
  return {
    name: `subscriptions-${subscriptions}`,
    title: `publish to ${subscriptions.toLocaleString("en")} subscription${single ? "" : "s"} of one channel`,
    limit: `the server, ${single ? "for two of three messages" : "which sends each message so many times"}`,
    task: { workload: "fan-out", messages, size: SIZE, window: 1_024, subscriptions },
    clients: ["ours", "node-nats-streaming"],
    absent: { "stan.go": no.subscriptions, "bare socket": no.consuming },
    targets: [],
  };
}

function payload(workload: "publish" | "consume", size: number): Case {
  const large = size === 262_144;
  // Large messages have the defaults of this client: 8 MiB published, 100 messages delivered.
  const window = large && workload === "consume" ? 100 : Math.min(1_024, IN_FLIGHT / Math.max(size, 1));
  return {
    name: `payload-${workload}-${size}`,
    title: `${workload} ${size.toLocaleString("en")} bytes each, ${window.toLocaleString("en")} in flight`,
    limit: size < 16_384 ? "the server" : "copying, in the server and in the kernel",
    task: { workload, messages: size <= 1_024 ? 100_000 : Math.floor((256 * 1024 * 1024) / size), size, window },
    ...(workload === "publish" ? { clients: ALL } : { clients: STREAMING, absent: { "bare socket": no.consuming } }),
    targets: large ? [{ measure: "growth", atMost: 4 }] : [],
  };
}

function growth(workload: "publish" | "consume", messages: number): Case {
  return {
    name: `growth-${workload}-${messages}`,
    title: `${workload} ${messages.toLocaleString("en")} messages, 1,024 in flight`,
    limit: "the server",
    task: { workload, messages, size: SIZE, window: 1_024 },
    // As long for all cases, so that the code is compiled to the same degree.
    warmUp: 100_000,
    clients: ["ours", "node-nats-streaming"],
    absent: { "stan.go": no.curve, "bare socket": no.curve },
    targets: [],
  };
}

const SIZES = [0, 128, 1_024, 16_384, 262_144];
/** The numbers of messages that the curves are drawn from. */
const GROWTH = [10_000, 100_000, 1_000_000];

/** All cases, in the order in which they run. */
export const cases: readonly Case[] = [
  publish(1_024),
  publish(16_384),
  publishMany(1_024),
  publishMany(16_384),
  consume(false),
  consume(true),
  ...policies,
  ...others,
  dropIn("publish"),
  dropIn("consume"),
  ...SIZES.map((size) => payload("publish", size)),
  ...SIZES.map((size) => payload("consume", size)),
  ...[1, 100, 1_000].map(fanOut),
  ...GROWTH.map((messages) => growth("publish", messages)),
  ...GROWTH.map((messages) => growth("consume", messages)),
];

/** The targets of a case, and one that every case has: this client takes no more memory than node-nats-streaming. */
export function targetsOf({ clients, targets }: Case): readonly Target[] {
  if (!clients.includes("node-nats-streaming")) return targets;
  return [...targets, { measure: "peak", against: "node-nats-streaming", atMost: 1 }];
}
