import {
  type Client,
  connect,
  type ConnectOptions,
  type Message,
  type Status,
  StreamingError,
  type SubscribeOptions,
  type Subscription,
} from "../../src/index.ts";
import type { Random } from "../support/random.ts";
import { type SubscriptionPage, subscriptionPages } from "../support/monitor.ts";
import type { RealServer } from "../support/server.ts";
import { until } from "../support/until.ts";
import { type Entry, Ledger, type Logged, type Verdict, type View } from "./ledger.ts";
import { Peer, textOf } from "./peer.ts";

/** What a load connects to, and how. */
export interface LoadOptions {
  /** For the first client, and for the second, which has a member of the durable queue group. */
  readonly servers: readonly [string | readonly string[], string | readonly string[]];
  readonly connect?: Partial<ConnectOptions>;
  readonly ackWait?: number;
  /** Adds a plain subscription and a durable with `backoff`, `maxDeliver`, `deadLetter` and `key`. */
  readonly policies?: boolean;
}

/** What a load has been through. */
export interface Course {
  readonly outages: number;
  /** Milliseconds from the moment at which it could succeed until a message is stored that was published after it. */
  readonly recoveries: readonly number[];
  /** How often each was told, and how often publishes were rejected with each code. */
  readonly statuses: Readonly<Record<string, number>>;
  /** The state of everything, for whoever has to find out why. */
  readonly dump: string;
}

/** What a scenario comes to. */
export interface Result extends Verdict, Omit<Course, "dump"> {
  readonly violations: readonly string[];
}

/** What policies are about: how many keys there are, which messages fail for ever, and which at first. */
const KEYS = 8;
const numberOf = (id: string): number => Number(id.replace(/\D/g, ""));
const keyOf = (id: string): string => `key ${numberOf(id) % KEYS}`;
const isPoison = (id: string): boolean => numberOf(id) % 37 === 0;
const isLame = (id: string): boolean => numberOf(id) % 11 === 0;
const idOf = (message: Message): string => message.text().split(" ", 1)[0]!;

let loads = 0;

/**
 * Two clients under load: the first publishes, singly and in batches, and has a plain subscription, one from now on, a
 * durable, a queue group of two and a member of a durable queue group; the second has the other member.
 */
export class Load {
  readonly ledger: Ledger;
  readonly channel: string;
  readonly clientIds: readonly [string, string];
  readonly clients: Client[] = [];
  readonly #random: Random;
  readonly #options: LoadOptions;
  readonly #subscriptions = new Map<Subscription, View>();
  /** Of the dead letters of each view that has some: how many may be stored twice. */
  readonly #doubled = new Map<View, number>();
  readonly #recent: string[] = [];
  readonly #statuses: Record<string, number> = {};
  readonly #recoveries: number[] = [];
  /** The last outage, until a message is stored that was published after it. */
  #awaited: string | undefined;
  #outages = 0;
  #ids = 0;
  #publishing = true;
  #lanes: Promise<void>[] = [];
  readonly #started = performance.now();

  private constructor(random: Random, options: LoadOptions, ledger: Ledger) {
    this.ledger = ledger;
    this.#random = random;
    this.#options = options;
    const name = `chaos-${process.pid}-${++loads}`;
    this.channel = name;
    this.clientIds = [`${name}-a`, `${name}-b`];
  }

  /** `copy`: told of all that its ledger takes down. */
  static async start(random: Random, options: LoadOptions, copy?: (entry: Entry) => void): Promise<Load> {
    const load = new Load(random, options, new Ledger(copy));
    await bounded("the load has started", load.#start(), 30_000, () => load.dump());
    return load;
  }

  async #start(): Promise<void> {
    for (const [i, clientId] of this.clientIds.entries()) {
      const name = i === 0 ? "a" : "b";
      this.clients.push(
        await connect({
          clusterId: "test-cluster",
          clientId,
          servers: this.#options.servers[i]!,
          pingInterval: 1_000,
          pingMaxOut: 2,
          requestTimeout: 1_000,
          connectTimeout: 1_000,
          publishTimeout: 15_000,
          reconnectDelay: () => 50,
          waitOnFirstConnect: true,
          onStatus: (status) => this.#status(name, status),
          ...this.#options.connect,
        }),
      );
    }
    const [first, second] = this.clients as [Client, Client];
    const group = this.ledger.view("group");
    await this.#subscribe(first, this.ledger.view("plain"), { startAt: "first" });
    await this.#subscribe(first, this.ledger.view("new only"), {});
    await this.#subscribe(first, this.ledger.view("durable"), { startAt: "first", durable: "durable" });
    await this.#subscribe(first, group, { startAt: "first", queue: "group" });
    await this.#subscribe(first, group, { startAt: "first", queue: "group" });
    const shared: SubscribeOptions = { startAt: "first", queue: "group", durable: "shared" };
    await this.#subscribe(first, this.ledger.view("durable group"), shared);
    await this.#subscribe(second, this.ledger.view("durable group"), shared);
    if (this.#options.policies === true) {
      await this.#subscribeWithPolicy(first, "plain with policy", {});
      await this.#subscribeWithPolicy(first, "durable with policy", { durable: "policy" });
    }
    for (let i = 0; i < 4; i++) this.#lanes.push(this.#publishOneByOne(first));
    this.#lanes.push(this.#publishBatches(first), this.#publishOneByOne(second));
    const views = (): View[] => this.ledger.views;
    await this.#until(
      "all have handled something",
      () => views().every((view) => view.name === "durable group" || view.handled.size > 0),
      10_000,
    );
  }

  async #subscribe(client: Client, view: View, options: SubscribeOptions): Promise<void> {
    const handler = async (message: Message): Promise<void> => {
      const key = `${message.sequence}@${message.timestamp}`;
      const id = idOf(message);
      view.begin(key, id);
      let well = false;
      try {
        if (this.#random.bool(0.2)) await pause(this.#random.int(0, 4));
        if (this.#random.bool(0.005)) throw new Error("fails on purpose");
        well = true;
      } finally {
        view.end(key, id, well);
        if (!well) view.failed.set(id, message);
      }
    };
    const settings = { maxInFlight: 128, concurrency: 64, ackWait: this.#options.ackWait ?? 2_000, ...options };
    this.#subscriptions.set(await client.subscribe(this.channel, handler, settings), view);
  }

  async #subscribeWithPolicy(client: Client, name: string, options: SubscribeOptions): Promise<void> {
    const view = this.ledger.view(name, keyOf);
    this.#doubled.set(view, 0);
    const failed = new Set<string>();
    const handler = async (message: Message): Promise<void> => {
      const key = `${message.sequence}@${message.timestamp}`;
      const id = idOf(message);
      view.begin(key, id);
      if (this.#random.bool(0.3)) await pause(this.#random.int(0, 4));
      const fails = isPoison(id) || (isLame(id) && !failed.has(key));
      failed.add(key);
      view.end(key, id, !fails);
      if (!fails) return;
      if (this.#random.bool()) throw new Error("fails on purpose");
      if (isPoison(id) && this.#random.bool(0.3)) message.term("given up on purpose");
      else message.nak(this.#random.bool() ? this.#random.int(0, 50) : undefined);
    };
    const subscription = await client.subscribe(this.channel, handler, {
      ...{ startAt: "first", maxInFlight: 128, concurrency: 64, ackWait: this.#options.ackWait ?? 2_000 },
      ...{ key: (message) => keyOf(idOf(message)), backoff: [5, 100, 400], maxDeliver: 4 },
      ...{ deadLetter: this.#deadChannel(view), ...options },
    });
    this.#subscriptions.set(subscription, view);
  }

  #deadChannel(view: View): string {
    return `${this.channel}-dead-${view.name.split(" ", 1)[0]}`;
  }

  async #publishOneByOne(client: Client): Promise<void> {
    while (this.#publishing) {
      if (!(await this.#publishOne(client))) await pause(10);
      await pause(this.#random.int(0, 6));
    }
  }

  async #publishOne(client: Client): Promise<boolean> {
    const { id, data } = this.#message();
    try {
      await client.publish(this.channel, data);
      this.ledger.note(id, "stored");
      return true;
    } catch (error) {
      this.#rejected([id], error);
      return false;
    }
  }

  async #publishBatches(client: Client): Promise<void> {
    while (this.#publishing) {
      const drawn: string[] = [];
      const source = this.#batch(this.#random.int(5, 40), drawn);
      try {
        await client.publishMany(this.channel, source);
        for (const id of drawn) this.ledger.note(id, "stored");
      } catch (error) {
        this.#rejected(drawn, new Error("a part of it may be stored", { cause: error }));
        await pause(10);
      }
      await pause(this.#random.int(10, 50));
    }
  }

  *#batch(size: number, drawn: string[]): Generator<string> {
    for (let i = 0; i < size; i++) {
      const { id, data } = this.#message();
      drawn.push(id);
      yield data;
    }
  }

  #message(): { id: string; data: string } {
    const id = `m${++this.#ids}`;
    this.ledger.note(id, "pending");
    const length = this.#random.bool(0.01) ? 20_000 : this.#random.int(10, 200);
    return { id, data: `${id} ${"x".repeat(length)}` };
  }

  #rejected(ids: readonly string[], error: unknown): void {
    const code = error instanceof StreamingError ? error.code : "UNCONFIRMED";
    this.#count(`publish: ${code}`);
    for (const id of ids) this.ledger.note(id, code === "UNCONFIRMED" ? "unknown" : "refused");
  }

  /**
   * Something stood in the way until now, or was momentary, and happened now: takes the time until publishing goes on.
   */
  healed(what: string, since = performance.now()): void {
    this.#outages++;
    this.#awaited = what;
    this.log(`healed: ${what}`);
    this.#lanes.push(this.#probe(since));
  }

  async #probe(since: number): Promise<void> {
    while (!(await this.#publishOne(this.clients[0]!))) {
      if (!this.#publishing) return;
      await pause(5);
    }
    this.#recoveries.push(performance.now() - since);
    this.#awaited = undefined;
  }

  /** Waits until a message is stored that was published after the last outage. */
  async recovered(timeout = 60_000): Promise<void> {
    await this.#until(`publishing goes on after ${this.#awaited}`, () => this.#awaited === undefined, timeout);
  }

  /** Waits until the second client, too, is ready, and all subscriptions are in place. */
  async ready(timeout = 60_000): Promise<void> {
    await this.#until("all is ready", () => this.clients.every((client) => client.ready), timeout);
  }

  async #until(what: string, check: () => boolean, timeout: number): Promise<void> {
    await until(what, check, timeout).catch((error: Error) => {
      throw new Error(`${error.message}\n  ${this.dump()}`);
    });
  }

  /**
   * Stops publishing, waits until all has come to rest, and judges it, by the server in charge. `port`: of its NATS
   * server.
   */
  finish(server: InCharge, port?: number): Promise<Result> {
    return judge(this, server, port);
  }

  /** Stops publishing, and waits until all publishes are settled and all subscriptions are in place. */
  async settle(): Promise<void> {
    this.#publishing = false;
    await bounded("all publishes are settled", Promise.all(this.#lanes), 60_000, () => this.dump());
    await this.ready();
  }

  /** Takes down what all channels of dead letters hold. */
  async readDeadLetters(read: (channel: string) => Promise<readonly Logged[]>): Promise<void> {
    for (const [view, doubled] of this.#doubled) {
      this.ledger.deadLetters(view, (await read(this.#deadChannel(view))).map(({ id }) => id), doubled);
    }
  }

  /** Ends both clients, in the two ways in which that is done. */
  async leave(): Promise<Course> {
    for (const [subscription, view] of this.#subscriptions) view.received(subscription.stats().received);
    const dump = (): string => this.dump();
    const [drained, closed] = this.clients as [Client, Client];
    await bounded("a client is drained", drained.drain({ timeout: 5_000 }), 12_000, dump);
    await bounded("a client is closed", closed.close(), 8_000, dump);
    return { outages: this.#outages, recoveries: this.#recoveries, statuses: this.#statuses, dump: this.dump() };
  }

  /** Ends everything, whatever state it is in. */
  async abandon(): Promise<void> {
    this.#publishing = false;
    await Promise.all(this.clients.map((client) => client.close()));
  }

  #status(client: string, status: Status): void {
    this.#count(labelOf(status));
    if (status.type === "gap" && status.reason.includes("began anew")) {
      const view = this.#subscriptions.get(status.subscription);
      view?.anew();
    }
    if (status.type === "dead-lettered") {
      const id = idOf(status.message);
      if (!isPoison(id)) this.ledger.violation(`${id} is in the dead letters, and would have been handled well`);
      this.#subscriptions.get(status.subscription)!.bury(id);
    }
    if (status.type === "error" && status.error.code === "UNCONFIRMED" && status.subscription !== undefined) {
      const view = this.#subscriptions.get(status.subscription);
      const doubled = view && this.#doubled.get(view);
      if (doubled !== undefined) this.#doubled.set(view!, doubled + 1);
    }
    if ("message" in status) return;
    const reason = "reason" in status ? status.reason! : "";
    const gap = status.type === "gap" ? `${status.from}-${status.to} ` : "";
    const words = "error" in status ? status.error.message : `${gap}${reason}`;
    const view =
      "subscription" in status && status.subscription !== undefined
        ? this.#subscriptions.get(status.subscription)?.name
        : "";
    const from = "from" in status ? `from ${status.from}` : "";
    const resumed = "resumed" in status ? `resumed ${status.resumed}` : "";
    this.#recent.push(
      `${this.#time()} ${client} ${status.type} ${[view, resumed, from, words].filter(Boolean).join(" ")}`,
    );
    if (this.#recent.length > 60) this.#recent.shift();
  }

  #count(what: string): void {
    this.#statuses[what] = (this.#statuses[what] ?? 0) + 1;
  }

  #time(): string {
    return `${(performance.now() - this.#started).toFixed(0)} ms`;
  }

  /** Notes what a scenario does, for the dump. */
  log(what: string): void {
    this.#recent.push(`${this.#time()} * ${what}`);
  }

  /** The state of everything, for whoever has to find out why. */
  dump(): string {
    const clients = this.clients.map((client, i) => `client ${i}: ${client.state}, ready ${client.ready}`);
    const subscriptions = [...this.#subscriptions].map(([subscription, view]) => {
      const stats = JSON.stringify(subscription.stats());
      return `${view.name}: ${subscription.state}, ${view.handled.size} handled, ${stats}`;
    });
    const counts = Object.entries(this.#statuses).map(([what, count]) => `${what} ${count}`).join(", ");
    return [...clients, ...subscriptions, counts, ...this.#recent, `${this.#time()} now`].join("\n  ");
  }
}

function labelOf(status: Status): string {
  if (status.type === "error") return `error: ${status.error.code}`;
  return status.type === "registered" && status.resumed ? "resumed" : status.type;
}

/**
 * The server that is in charge, or what finds it: only the leader of a cluster knows what is pending, and it may
 * change.
 */
type InCharge = RealServer | (() => Promise<RealServer>);

/** What can be brought to rest and judged, wherever it runs. */
export interface Judged {
  readonly ledger: Ledger;
  readonly channel: string;
  /** Resolves when no publish is under way any more, and none begins. */
  settle(): Promise<void>;
  /** Takes down what the channels of dead letters hold, if there are some. */
  readDeadLetters?(read: (channel: string) => Promise<readonly Logged[]>): Promise<void>;
  /** Ends the clients. */
  leave(): Promise<Course>;
}

/** The oracle's part, when all is over: what the ledger says, against the log as another client reads it. */
export async function judge(load: Judged, server: InCharge, port?: number): Promise<Result> {
  const { ledger, channel } = load;
  const inCharge = async (): Promise<RealServer> => (typeof server === "function" ? server() : server);
  await load.settle();
  const log = await readLog(port ?? (await inCharge()).port, channel);
  const nothingMissing = (): boolean => ledger.missing(log).length === 0;
  const handled = await until("all that is stored is handled", nothingMissing, 60_000).catch(() => false);
  const pages = async (): Promise<readonly SubscriptionPage[]> => subscriptionPages(await inCharge(), channel);
  const atRest = (page: SubscriptionPage): boolean => page.pending_count === 0 && !page.is_stalled;
  const resting = async (): Promise<boolean> => (await pages()).every(atRest);
  const rest = await until("the server waits for nothing, and may send to all", resting, 20_000).catch(() => false);
  if (!rest) {
    ledger.violation(`at rest the server has ${JSON.stringify((await pages()).filter((page) => !atRest(page)))}`);
  } else if (!handled) {
    ledger.forgive(log);
  }
  const portNow = port ?? (await inCharge()).port;
  await load.readDeadLetters?.((dead) => readLog(portNow, dead));
  const { dump, ...course } = await load.leave();
  const verdict = ledger.judge(log);
  if (course.recoveries.length < course.outages) ledger.violation("publishing did not go on after an outage");
  const { violations } = ledger;
  if (violations.length > 0) violations.push(dump);
  return { ...verdict, ...course, violations };
}

async function readLog(port: number, channel: string): Promise<Logged[]> {
  const reader = await Peer.registerSoon(port, `${channel}-reader`);
  const log = await bounded("the log is read", reader.read(channel), 60_000, () => "");
  await reader.leave();
  return log.map((message) => ({ sequence: Number(message.sequence), id: textOf(message).split(" ", 1)[0]! }));
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Rejects, with the state of everything, when the promise takes too long: nothing may hang. */
export async function bounded<T>(
  what: string,
  promise: Promise<T>,
  milliseconds: number,
  dump: () => string,
): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`waited ${milliseconds} ms in vain until ${what}\n  ${dump()}`)),
      milliseconds,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
