import {
  type Client,
  connect,
  type Message,
  readDeadLetter,
  type Status,
  StreamingError,
  type SubscribeOptions,
  type Subscription,
} from "../../src/index.ts";
import { Ack } from "../../src/testing/messages.ts";
import { StreamingServer } from "../../src/testing/server.ts";
import { optionsFor, fresh } from "./clients.ts";
import type { Frame } from "./frames.ts";
import { Proxy } from "./proxy.ts";
import type { Random } from "./random.ts";
import { until } from "./until.ts";

/** What a handler does with a message. */
type Run = "well" | "throw" | "nak" | "term";

/** A message that was published, and what became of it. */
interface Item {
  readonly id: string;
  readonly key: string;
  readonly sequence: number;
  /** How its runs end; those after the last one end well. */
  readonly plan: readonly Run[];
  runs: number;
  well: number;
  termed: boolean;
  /** How often its dead letter was published with an unknown outcome: so often it may be stored once more. */
  unconfirmed: number;
}

/** What may go wrong, or be done; "redeliveries" and "resume" more often. */
const STEPS = [
  ...(["cut", "session lost", "outage", "redeliveries", "redeliveries", "acks lost", "message lost"] as const),
  ...(["reset", "crash", "pause", "resume", "resume"] as const),
];

/** The members of a group are in one client; those of a group "across" are in two, which know nothing of each other. */
type Kind = "plain" | "durable" | "group" | "group across";

const CHANNEL = "c";
const ACK_WAIT = 1_000;
/** So long a run of one seed may take until all is done. */
const PATIENCE = 8_000;

/** One client with its subscriptions, until it dies. */
interface Life {
  readonly client: Client;
  readonly subscriptions: Subscription[];
  readonly running: Set<Item>;
  readonly finished: Set<Item>;
  /** A dead process: its runs count for nothing. */
  dead: boolean;
}

/** A server, clients that handle its channel by a random policy, and an oracle that watches them. */
export class World {
  readonly violations: string[] = [];
  /** What happened, for whoever has to find out why. */
  readonly #course: string[] = [];
  readonly #random: Random;
  readonly #server: StreamingServer;
  readonly #proxy: Proxy;
  readonly #kind: Kind;
  readonly #options: SubscribeOptions;
  readonly #maxWaitingBytes: number;
  readonly #clientIds: readonly string[];
  readonly #lives: Life[] = [];
  /** Items of the channel as it is now, by sequence. */
  #items = new Map<number, Item>();
  readonly #byId = new Map<string, Item>();
  /** The ids of all dead letters that were stored: in the channel before its last reset, or by the function. */
  readonly #dead: string[] = [];
  /** The sequence of the last good run of each key, in the channel as it is now. */
  #lastWell = new Map<string, number>();
  #crashed = false;
  /**
   * The channel was reset, and no client has told that yet: acks for the old one may reach the new one, which is then
   * read anew.
   */
  #resetUnnoticed = false;

  private constructor(random: Random, server: StreamingServer, proxy: Proxy) {
    this.#random = random;
    this.#server = server;
    this.#proxy = proxy;
    this.#kind = random.pick(["plain", "durable", "group", "group across"]);
    this.#options = this.#randomOptions();
    this.#maxWaitingBytes = random.bool(0.3) ? 1_200 : 1_000_000;
    this.#clientIds = this.#kind === "group across" ? [fresh("p"), fresh("p")] : [fresh("p")];
  }

  static async start(random: Random): Promise<World> {
    const server = await StreamingServer.start();
    const proxy = await Proxy.start(server.port);
    const world = new World(random, server, proxy);
    void proxy.eat((frame) => world.#watch(frame), "up");
    for (const clientId of world.#clientIds) await world.#live(clientId);
    return world;
  }

  async stop(): Promise<void> {
    for (const { client } of this.#lives) await client.close();
    await this.#proxy.stop();
    await this.#server.stop();
  }

  #randomOptions(): SubscribeOptions {
    const random = this.#random;
    const limited = random.bool(0.7);
    return {
      startAt: "first",
      ackWait: ACK_WAIT,
      backoffJitter: false,
      concurrency: random.pick([1, 1, 3, 8]),
      maxInFlight: random.pick([8, 20]),
      manualAck: random.bool(0.2),
      ...(random.bool(0.7) && { backoff: random.pick([1, [0, 5], [2, 4, 8]]) }),
      ...(limited && { deadLetter: random.bool(0.7) ? "dead" : (message: Message) => this.#bury(message) }),
      ...(limited && random.bool(0.8) && { maxDeliver: random.int(1, 4) }),
      ...(random.bool(0.6) && { key: (message: Message) => message.text().split(" ")[1]! }),
      ...(this.#kind === "durable" && { durable: "d" }),
      ...(this.#isGroup && { durable: "d", queue: "q" }),
    };
  }

  get #isGroup(): boolean {
    return this.#kind === "group" || this.#kind === "group across";
  }

  /** Whether messages with one key are handled in the order of the channel. In a group each member has only some. */
  get #ordered(): boolean {
    return !this.#isGroup && !this.#crashed && (this.#options.key !== undefined || this.#options.concurrency === 1);
  }

  #keyOf(item: Item): string {
    return this.#options.key === undefined ? "" : item.key;
  }

  async run(): Promise<void> {
    const random = this.#random;
    for (let steps = random.int(8, 16); steps > 0; steps--) {
      this.#publish(random.int(0, 6));
      await this.#step();
      await pause(random.int(0, 6));
    }
    for (const subscription of this.#subscriptions) subscription.resume();
    const ready = (): boolean => this.#alive.every(({ client }) => client.ready);
    await until("all are in place", ready, PATIENCE).catch((error: Error) => this.#violation(error.message));
    // After a reset it is a message that tells.
    this.#publish(1);
    await this.#settle();
  }

  #step(): unknown {
    const random = this.#random;
    const clientId = random.pick(this.#clientIds);
    const step = random.pick(STEPS);
    this.#log(step);
    switch (step) {
      case "cut":
        return this.#server.cut(random.bool() ? clientId : undefined);
      case "session lost":
        this.#server.forget(clientId);
        return this.#server.cut();
      case "outage":
        return this.#outage();
      case "redeliveries":
        return this.#server.advance(ACK_WAIT + 100);
      case "acks lost":
        return this.#server.swallow("Ack", random.int(1, 3));
      case "message lost":
        return this.#lose();
      case "reset":
        return this.#reset();
      case "crash":
        return this.#kind === "plain" ? undefined : this.#crash(clientId);
      case "pause":
        return this.#subscriptions.forEach((subscription) => subscription.pause());
      case "resume":
        return this.#subscriptions.forEach((subscription) => subscription.resume());
    }
  }

  /** Loses a message on a link that lives; but not the first one, nor one that shows what the channel holds. */
  async #lose(): Promise<void> {
    await this.#server.idle();
    if (this.#resetUnnoticed || this.#subscriptions.some(hasNothingNew)) return;
    this.#server.swallow("MsgProto");
    this.#publish(1);
    this.#server.swallow("MsgProto", 0);
  }

  async #outage(): Promise<void> {
    await this.#server.down();
    this.#publish(this.#random.int(0, 4));
    await pause(this.#random.int(0, 5));
    await this.#server.up();
  }

  #reset(): void {
    this.#dead.push(...this.#deadInChannel);
    // What is on its way to the old channel is not seen, and what looks for the new one is not lost.
    this.#proxy.cut();
    this.#server.swallow("MsgProto", 0);
    this.#server.restart();
    this.#resetUnnoticed = true;
    this.#items = new Map();
    this.#lastWell = new Map();
  }

  async #crash(clientId: string): Promise<void> {
    const life = this.#alive.find(({ client }) => client.clientId === clientId)!;
    this.#crashed = true;
    life.dead = true;
    await life.client.close();
    await this.#live(clientId);
  }

  async #live(clientId: string): Promise<void> {
    const client = await connect(
      optionsFor(this.#proxy, {
        clientId,
        publishTimeout: 2_000,
        requestTimeout: 500,
        maxWaitingBytes: this.#maxWaitingBytes,
        reconnectDelay: () => 2,
        onStatus: (status) => this.#told(status),
      }),
    );
    const life: Life = { client, subscriptions: [], running: new Set(), finished: new Set(), dead: false };
    this.#lives.push(life);
    const members = this.#isGroup && clientId === this.#clientIds[0] ? 2 : 1;
    for (let i = 0; i < members; i++) {
      const keys = new Set<string>();
      const handler = (message: Message): unknown => this.#handle(life, keys, message);
      life.subscriptions.push(await client.subscribe(CHANNEL, handler, this.#options));
    }
  }

  #publish(count: number): void {
    const random = this.#random;
    const { deadLetter, maxDeliver } = this.#options;
    for (let i = 0; i < count; i++) {
      const failures = random.pick([0, 0, 0, 0, 1, 1, 2, maxDeliver === undefined ? 3 : 9]);
      const ways: Run[] = deadLetter === undefined ? ["throw", "nak"] : ["throw", "throw", "nak", "nak", "term"];
      const id = `m${this.#byId.size + 1}`;
      const key = random.pick(["a", "b", "c"]);
      const plan = Array.from({ length: failures }, () => random.pick(ways));
      const sequence = this.#server.publish(CHANNEL, `${id} ${key}`);
      const item: Item = { id, key, sequence, plan, runs: 0, well: 0, termed: false, unconfirmed: 0 };
      this.#items.set(sequence, item);
      this.#byId.set(id, item);
      this.#log(`${id} is published: ${sequence} ${key} ${plan.join(" ")}`);
    }
  }

  async #handle(life: Life, keys: Set<string>, message: Message): Promise<void> {
    const item = this.#byId.get(idOf(message.text()))!;
    const key = this.#keyOf(item);
    const oneByOne = this.#options.key !== undefined || (this.#options.concurrency === 1 && !this.#isGroup);
    if (life.running.has(item)) this.#violation(`two runs of ${item.id} at once`);
    if (life.finished.has(item)) this.#violation(`${item.id} is run again after it ended well`);
    if (oneByOne && keys.has(key)) this.#violation(`two runs of key ${key} at once: ${item.id} is the second`);
    life.running.add(item);
    keys.add(key);
    const run = item.plan[item.runs++] ?? "well";
    this.#log(`${item.id} is run (${message.sequence}, sent again ${message.redeliveryCount} times): ${run}`);
    const length = item.sequence % 4;
    if (length > 0) await pause(length - 1);
    life.running.delete(item);
    keys.delete(key);
    if (life.dead) await new Promise(() => undefined);
    if (run === "throw") throw new Error(`${item.id} fails`);
    if (run === "nak") message.nak(this.#options.backoff === undefined ? 3 : undefined);
    else if (run === "term") item.termed = message.term("given up") || item.termed;
    else this.#well(life, item, message);
  }

  #well(life: Life, item: Item, message: Message): void {
    if (this.#options.manualAck === true) message.ack();
    item.well++;
    life.finished.add(item);
    // One of the channel before its reset.
    if (this.#items.get(item.sequence) !== item) return;
    const key = this.#keyOf(item);
    const last = this.#lastWell.get(key) ?? 0;
    if (this.#ordered && item.sequence < last) this.#violation(`${item.id} of key ${key} is handled after ${last}`);
    this.#lastWell.set(key, item.sequence);
  }

  async #bury(message: Message): Promise<void> {
    await pause(this.#random.int(0, 3));
    if (this.#random.bool(0.1)) throw new StreamingError("NO_SERVER", "no room for dead letters");
    this.#dead.push(idOf(message.text()));
  }

  #told(status: Status): void {
    const words = "reason" in status ? status.reason : "error" in status ? String(status.error) : "";
    this.#log(`${status.type} ${words}`);
    if (status.type === "gap" && status.reason.includes("began anew")) this.#resetUnnoticed = false;
    if (status.type !== "error" || status.error.code !== "UNCONFIRMED") return;
    const [, sequence] = /dead letter of message (\d+)/.exec(status.error.message) ?? [];
    const item = this.#items.get(Number(sequence));
    if (item !== undefined) item.unconfirmed++;
  }

  /** Sees what clients send before the server does. Nothing is swallowed. */
  #watch({ verb, subject, payload }: Frame): boolean {
    if (verb !== "PUB" || !subject.startsWith("_INBOX.") || payload.length === 0) return false;
    const { subject: channel, sequence } = Ack.read(payload);
    const item = this.#items.get(Number(sequence));
    this.#log(`${item?.id} (${sequence}) is acknowledged`);
    if (channel !== CHANNEL || item === undefined || this.#resetUnnoticed) return false;
    const isDone = item.well > 0 || this.#deadLetters.includes(item.id);
    if (!isDone) this.#violation(`${item.id} is acknowledged, and neither handled nor in the dead letters`);
    return false;
  }

  get #alive(): Life[] {
    return this.#lives.filter(({ dead }) => !dead);
  }

  get #subscriptions(): Subscription[] {
    return this.#alive.flatMap(({ subscriptions }) => subscriptions);
  }

  get #deadInChannel(): string[] {
    return this.#server.messages("dead").map((message) => {
      const letter = readDeadLetter(message);
      if (letter === undefined) this.#violation(`${message.text} has no dead letter's reply`);
      return idOf(message.text);
    });
  }

  get #deadLetters(): string[] {
    return [...this.#dead, ...this.#deadInChannel];
  }

  #violation(text: string): void {
    this.#log(`*** ${text}`);
    this.violations.push(text);
  }

  #log(text: string): void {
    this.#course.push(text);
  }

  /** Waits until nothing is left to do, and judges it. */
  async #settle(): Promise<void> {
    const end = performance.now() + PATIENCE;
    while (!this.#atRest && performance.now() < end) {
      await this.#server.advance(ACK_WAIT + 100);
      await pause(2);
    }
    if (!this.#atRest) this.#violation(`not at rest: ${this.#state}`);
    const dead = this.#deadLetters;
    for (const item of this.#byId.values()) this.#judge(item, dead.filter((id) => id === item.id).length);
    for (const { client } of this.#alive) {
      // What another one has finished is kept until it can no longer come again.
      if (this.#kind === "group across") break;
      if (client.stats().waitingBytes !== 0) this.#violation(`${client.stats().waitingBytes} bytes wait for nothing`);
    }
  }

  #judge(item: Item, dead: number): void {
    const { maxDeliver = Infinity } = this.#options;
    const name = `${item.id} (${item.sequence} ${item.key}, ${item.plan.join(" ")}, ${item.runs} runs)`;
    const isCurrent = this.#items.get(item.sequence) === item;
    if (isCurrent && item.well + dead === 0) this.#violation(`${name} is lost`);
    // Others may have run it as well.
    if (this.#crashed || this.#kind === "group across") return;
    if (dead > 1 + item.unconfirmed) this.#violation(`${name} is ${dead} times in the dead letters`);
    if (item.well > 1) this.#violation(`${name} was handled ${item.well} times`);
    if (item.well > 0 && dead > 0) this.#violation(`${name} was handled, and is in the dead letters`);
    if (item.runs > maxDeliver) this.#violation(`${name} has more runs than ${maxDeliver}`);
    // What was sent in vain counts where others may have had it: members of the group, or earlier processes.
    if (dead > 0 && !item.termed && this.#kind === "plain" && item.runs < maxDeliver) {
      this.#violation(`${name} is in the dead letters after less runs than ${maxDeliver}`);
    }
  }

  get #atRest(): boolean {
    const dead = new Set(this.#deadLetters);
    const done = [...this.#items.values()].every((item) => item.well > 0 || dead.has(item.id));
    const stats = this.#subscriptions.map((subscription) => subscription.stats());
    const idle = stats.every(({ running, waiting, retrying }) => running + waiting + retrying === 0);
    const acknowledged = this.#server.subscriptions(CHANNEL).every(({ pending }) => pending.length === 0);
    return done && idle && acknowledged && this.#alive.every(({ client }) => client.ready);
  }

  get #state(): string {
    const stats = [...this.#alive.map(({ client }) => client), ...this.#subscriptions].map((one) => one.stats());
    return JSON.stringify({ stats, server: this.#server.subscriptions(CHANNEL) });
  }

  get description(): string {
    const options = JSON.stringify(
      { kind: this.#kind, ...this.#options, maxWaitingBytes: this.#maxWaitingBytes },
      (_, value: unknown) => (typeof value === "function" ? "a function" : value),
    );
    return [options, ...this.#course].join("\n");
  }
}

/** It has received nothing that was not sent before: what is lost then, nothing tells. */
function hasNothingNew(subscription: Subscription): boolean {
  const { received, redelivered } = subscription.stats();
  return received === redelivered;
}

function idOf(text: string): string {
  return text.split(" ", 1)[0]!;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
