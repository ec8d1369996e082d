import { MsgProto } from "../../src/testing/messages.ts";
import type { Frame } from "../support/frames.ts";
import type { Random } from "../support/random.ts";
import { Peer, type Subscribed, unique } from "./peer.ts";

/** Whether a client answers the request that asks whether it is there, only hears it, or has no subscription for it. */
type Presence = "answers" | "hears" | "gone";

/** One step of a sequence. Clients, connections, inboxes and subscriptions have numbers. */
export type Step =
  | { do: "connect"; client: number; connection: number; presence: Presence }
  | { do: "presence"; client: number; presence: Presence }
  | { do: "ping"; connection: number }
  | { do: "close"; client: number }
  | { do: "publish"; client: number; connection: number | undefined; channel: string; guid: string; subject: string }
  | ({ do: "subscribe"; number: number; client: number; channel: string; inbox: number } & Wishes)
  /** Of what came to a subscription the first without an ack, or that one; if nothing came to it, that number. */
  | { do: "ack"; of: number; which: "next" | number; by: number; channel: string }
  | { do: "unsub" | "subclose"; client: number; of: number; channel: string; by: "acks" | "deliveries" | "unknown" }
  | { do: "pass"; milliseconds: number };

type Wishes = {
  qGroup: string;
  durableName: string;
  maxInFlight: number;
  ackWaitInSecs: number;
  startPosition: number;
  startSequence: bigint;
  startTimeDelta: bigint;
};

/** When the steps began, were answered, and all that came of them was there, in milliseconds since the beginning. */
export type Times = { began: number; answered: number; settled: number }[];

/** How time goes by for a player. */
export interface Pace {
  /** Milliseconds since the first step. */
  now(): number;
  /** Waits until a step is to begin; it lets so many milliseconds go by itself. */
  begin(step: number, milliseconds: number): Promise<void>;
  /** Lets time go by while a request is under way. */
  wait(step: number, answer: Promise<string>): Promise<void>;
  /** Lets time go by after the answer. */
  settle(step: number): Promise<void>;
}

/** What was seen: for each step a line with its answer and what each inbox got. */
export interface Played {
  readonly lines: string[];
  readonly times: Times;
}

/** Plays one sequence over a NATS connection of its own. */
export async function play(port: number, steps: readonly Step[], pace: Pace): Promise<Played> {
  const player = new Player(await Peer.dial(port), pace);
  try {
    return await player.play(steps);
  } finally {
    player.peer.destroy();
  }
}

class Player {
  /** Registered for itself, for what is asked in between. */
  readonly peer: Peer;
  readonly #pace: Pace;
  readonly #tag = unique("t");
  readonly #presence = new Map<string, { presence: Presence; sid: string }>();
  /** By number. */
  readonly #subscriptions = new Map<number, Subscribed>();
  /** By inbox: the SUB that counts, and what came, and of that what was acknowledged. */
  readonly #inboxes = new Map<string, { label: string; sid: string; sequences: number[]; acknowledged: Set<number> }>();

  constructor(peer: Peer, pace: Pace) {
    this.peer = peer;
    this.#pace = pace;
  }

  async play(steps: readonly Step[]): Promise<Played> {
    await this.peer.register();
    await this.peer.settle();
    this.#answerPresence();
    const lines: string[] = [];
    const times: Times = [];
    for (const [i, step] of steps.entries()) {
      await this.#pace.begin(i, step.do === "pass" ? step.milliseconds : 0);
      const began = this.#pace.now();
      const answer = this.#perform(step).catch(failed);
      await this.#pace.wait(i, answer);
      const text = (await answer).replaceAll(this.#tag, "");
      const answered = this.#pace.now();
      if (step.do === "subscribe") await this.peer.settle();
      await this.#barrier();
      times.push({ began, answered, settled: this.#pace.now() });
      await this.#pace.settle(i);
      lines.push(`${describeStep(step)}: ${[text, ...this.#arrived()].join(" | ")}`);
    }
    // Or else the server would go on to send again.
    for (const heartbeatInbox of this.#presence.keys()) await this.peer.close(heartbeatInbox.replace("_INBOX.", ""));
    await this.peer.close();
    return { lines, times };
  }

  /** All that was sent before is handled, and what came of it is here. */
  async #barrier(): Promise<void> {
    await this.peer.end("unsub", { channel: this.#channel("none"), ackInbox: "none", inbox: "", sid: "", error: "" });
    await this.peer.raw.flush();
  }

  #arrived(): string[] {
    const got = new Map<string, string[]>();
    for (const frame of this.peer.raw.collect()) {
      const inbox = this.#inboxes.get(frame.subject);
      if (frame.verb !== "MSG" || inbox?.sid !== frame.sid) continue;
      const { sequence, redelivered, redeliveryCount } = MsgProto.read(frame.payload);
      inbox.sequences.push(Number(sequence));
      const all = got.get(inbox.label) ?? [];
      got.set(inbox.label, [...all, redelivered ? `${sequence}r${redeliveryCount}` : `${sequence}`]);
    }
    return [...got].map(([label, all]) => `${label} ${all.join(" ")}`).sort();
  }

  /** What was asked for by that number, even in vain. */
  #subscribed(number: number): Subscribed {
    const none = { channel: "", inbox: "none", sid: "", ackInbox: "_INBOX.none", error: "" };
    const subscribed = this.#subscriptions.get(number) ?? none;
    return subscribed.error === "" ? subscribed : { ...subscribed, ackInbox: none.ackInbox };
  }

  #client(client: number): string {
    return `${this.#tag}-${client}`;
  }

  #channel(channel: string): string {
    return `${this.#tag}.${channel}`;
  }

  #connection(connection: number): string {
    return `${this.#tag}-connection-${connection}`;
  }

  #setPresence(client: number, presence: Presence): void {
    const inbox = `_INBOX.${this.#client(client)}`;
    const { sid } = this.#presence.get(inbox) ?? { sid: "" };
    if (sid !== "" && presence === "gone") this.peer.raw.send(`UNSUB ${sid}\r\n`);
    const there = presence === "gone" ? "" : sid === "" ? this.peer.raw.subscribe(inbox) : sid;
    this.#presence.set(inbox, { presence, sid: there });
  }

  #answerPresence(): void {
    const asks = (frame: Frame): boolean => this.#presence.has(frame.subject);
    const answer = (frame: Frame): void => {
      if (this.#presence.get(frame.subject)!.presence === "answers") this.peer.raw.publish(frame.reply);
      this.#answerPresence();
    };
    this.peer.raw.next(asks, 2 ** 31 - 1).then(answer, () => {});
  }

  /** Returns what was answered. */
  async #perform(step: Step): Promise<string> {
    const { peer } = this;
    switch (step.do) {
      case "connect": {
        const clientID = this.#client(step.client);
        const connID = new TextEncoder().encode(this.#connection(step.connection));
        const heartbeatInbox = `_INBOX.${clientID}`;
        if (!this.#presence.has(heartbeatInbox)) this.#setPresence(step.client, step.presence);
        const { error } = await peer.connect({ clientID, connID, heartbeatInbox });
        if (error === "") this.#setPresence(step.client, step.presence);
        return error;
      }
      case "presence":
        this.#setPresence(step.client, step.presence);
        return "";
      case "ping":
        return (await peer.ping(this.#connection(step.connection))).error;
      case "close":
        return peer.close(this.#client(step.client));
      case "publish": {
        const { guid, connection } = step;
        const connID = new TextEncoder().encode(connection === undefined ? "" : this.#connection(connection));
        const fields = { clientID: this.#client(step.client), connID, guid };
        const to = (name: string): string => (/[.*]/.test(name) ? name : this.#channel(name));
        return peer.publish(to(step.channel), "", fields, to(step.subject)).then(
          (ack) => `${ack.error}${ack.guid === guid ? "" : `, guid ${ack.guid}`}`,
          (error: Error) => (error.message.includes("503") ? "nobody" : Promise.reject(error)),
        );
      }
      case "subscribe": {
        const { client, channel, do: _, number, ...wishes } = step;
        const inbox = step.inbox < 0 ? "" : `_INBOX.${this.#tag}.${step.inbox}`;
        const fields = { ...wishes, clientID: this.#client(client), inbox };
        const subscribed = await peer.subscribe(/[.*]/.test(channel) ? channel : this.#channel(channel), fields);
        this.#subscriptions.set(number, subscribed);
        const { sid, error } = subscribed;
        if (!this.#inboxes.has(inbox)) {
          this.#inboxes.set(inbox, { label: `i${step.inbox}`, sid, sequences: [], acknowledged: new Set() });
        }
        return error;
      }
      case "ack": {
        const { ackInbox } = this.#subscribed(step.by);
        const nothing = { sequences: [], acknowledged: new Set<number>() };
        const { sequences, acknowledged } = this.#inboxes.get(this.#subscribed(step.of).inbox) ?? nothing;
        const next = sequences.find((sequence) => !acknowledged.has(sequence)) ?? 1;
        const sequence = step.which === "next" ? next : (sequences[step.which % sequences.length] ?? step.which);
        acknowledged.add(sequence);
        peer.ackTo(ackInbox, this.#channel(step.channel), sequence);
        return String(sequence);
      }
      case "unsub":
      case "subclose": {
        const subscribed = this.#subscribed(step.of);
        const ackInbox = { acks: subscribed.ackInbox, deliveries: subscribed.inbox, unknown: "unknown" }[step.by];
        const named = { ...subscribed, channel: this.#channel(step.channel), ackInbox };
        return peer.end(step.do, named, { clientID: this.#client(step.client) });
      }
      case "pass":
        return "";
    }
  }
}

function failed(error: Error): string {
  return error.message.split("\n")[0]!;
}

/** In short: c0 is a client, k0 a connection, s0 a subscription and i0 an inbox. */
function describeStep(step: Step): string {
  switch (step.do) {
    case "connect":
      return `connect c${step.client} k${step.connection}, then ${step.presence}`;
    case "presence":
      return `c${step.client} ${step.presence}`;
    case "ping":
      return `ping k${step.connection}`;
    case "close":
      return `close c${step.client}`;
    case "publish": {
      const connection = step.connection === undefined ? "" : ` k${step.connection}`;
      const subject = step.subject === step.channel ? "" : ` to ${step.subject}`;
      return `publish c${step.client}${connection} ${step.channel}${subject}${step.guid === "" ? " without guid" : ""}`;
    }
    case "subscribe": {
      const { number, client, channel, inbox, qGroup, durableName, maxInFlight, ackWaitInSecs, startPosition } = step;
      const from: Record<number, string> = { 2: `=${step.startTimeDelta}`, 3: `=${step.startSequence}` };
      const wishes = `queue "${qGroup}" durable "${durableName}" max ${maxInFlight} wait ${ackWaitInSecs}`;
      const start = `${startPosition}${from[startPosition] ?? ""}`;
      return `subscribe s${number} c${client} ${channel} i${inbox} ${wishes} start ${start}`;
    }
    case "ack":
      return `ack ${step.which} of s${step.of} by s${step.by} in ${step.channel}`;
    case "unsub":
    case "subclose":
      return `${step.do} s${step.of} c${step.client} in ${step.channel} by ${step.by}`;
    case "pass":
      return `pass ${step.milliseconds}`;
  }
}

/** So long a sequence lasts at most, in milliseconds; what its steps themselves take comes on top. */
const LONGEST = 4_200;

/** A sequence of requests as nobody would send it. */
export function sequenceOf(random: Random): Step[] {
  return new Generator(random).steps();
}

class Generator {
  readonly #random: Random;
  readonly #steps: Step[] = [];
  readonly #clients: number;
  readonly #channels: string[];
  readonly #queues: string[];
  readonly #durables: string[];
  readonly #maxInFlight: number[];
  readonly #reliability: number;
  readonly #subscriptions: { client: number; channel: string }[] = [];
  #connections = 0;
  #guids = 0;
  /** When the steps before were, by the waits between them. */
  #now = 0;
  readonly #bursts = [0];

  constructor(random: Random) {
    this.#random = random;
    this.#clients = random.pick([1, 1, 2, 2, 3]);
    this.#channels = random.pick([["A"], ["A"], ["A"], ["A", "B"], ["A", "a"]]);
    // Most sequences are about one kind of subscription, or a group and whatever else.
    const groups = [["q"], ["q"], ["q", "q", "q", ""], ["q", "", ""], [""], [""], ["", "q", "p", "d:q"], ["q", "d:q"]];
    this.#queues = random.pick(groups);
    this.#durables = random.pick([[""], ["d"], ["", "d"], ["", "", "d", "e"], ["d", "d", "d:e"]]);
    this.#reliability = random.pick([0.95, 0.8, 0.3]);
    this.#maxInFlight = random.pick([[1, 2, 3], [1], [2], [3], [10], [1, 2, 3, 10]]);
  }

  steps(): Step[] {
    const random = this.#random;
    for (let client = 0; client < this.#clients; client++) this.#connect(client);
    if (random.bool()) for (let i = random.int(1, 4); i > 0; i--) this.#publish();
    for (let i = random.int(1, 3); i > 0; i--) this.#subscribe();
    do {
      for (let i = random.int(3, 10); i > 0; i--) this.#any();
    } while (this.#pass());
    return this.#steps;
  }

  #any(): void {
    const kinds = { publish: 30, subscribe: 16, ack: 34, leave: 12, connect: 4, close: 2, presence: 2, ping: 2 };
    let weight = this.#random.int(1, Object.values(kinds).reduce((sum, each) => sum + each));
    const kind = Object.entries(kinds).find(([, each]) => (weight -= each) <= 0)![0];
    if (kind === "publish") this.#publish();
    else if (kind === "subscribe") this.#subscribe();
    else if (kind === "ack") this.#ack();
    else if (kind === "leave") this.#leave();
    else if (kind === "connect") this.#connect(this.#client());
    else if (kind === "close") this.#steps.push({ do: "close", client: this.#client() });
    else if (kind === "ping") this.#steps.push({ do: "ping", connection: this.#random.int(0, this.#connections) });
    else this.#steps.push({ do: "presence", client: this.#client(), presence: this.#presence() });
  }

  /** Now and then one that is not registered. */
  #client(): number {
    return this.#random.int(0, this.#random.bool(0.95) ? this.#clients - 1 : this.#clients);
  }

  #presence(): Presence {
    return this.#random.bool(this.#reliability) ? "answers" : this.#random.pick(["gone", "gone", "hears"]);
  }

  #connect(client: number): void {
    const connection = this.#random.bool(0.8) ? this.#connections++ : this.#random.int(0, this.#connections);
    this.#steps.push({ do: "connect", client, connection, presence: this.#presence() });
  }

  #publish(): void {
    const random = this.#random;
    const channel = random.pick(this.#channels);
    const guid = `g${++this.#guids}`;
    const step = { client: this.#client(), connection: undefined, channel, guid, subject: channel };
    if (random.bool(0.85)) this.#steps.push({ do: "publish", ...step });
    else {
      this.#steps.push({
        do: "publish",
        ...step,
        connection: random.bool(0.8) ? random.int(0, this.#connections) : undefined,
        guid: random.bool(0.8) ? step.guid : "",
        channel: random.bool(0.8) ? channel : random.pick(["bad..x", "x.*"]),
        subject: random.bool(0.8) ? channel : random.pick(["elsewhere", "bad..x", ".x", "x.*", "x."]),
      });
    }
  }

  #subscribe(): void {
    const random = this.#random;
    const number = this.#subscriptions.length;
    const subscription = { client: this.#client(), channel: random.pick(this.#channels) };
    const wishes = {
      qGroup: random.pick(this.#queues),
      durableName: random.pick(this.#durables),
      maxInFlight: random.pick(this.#maxInFlight),
      ackWaitInSecs: random.pick([1, 1, 1, 2, 30]),
      startPosition: random.pick([4, 4, 4, 4, 0, 1, 2, 3]),
      startSequence: BigInt(random.int(0, 5)),
      startTimeDelta: BigInt(random.int(0, 4)) * 500_000_000n,
      inbox: random.bool(0.92) ? number : random.pick([-1, random.int(0, number)]),
    };
    const odd = [{ maxInFlight: 0 }, { ackWaitInSecs: 0 }, { startPosition: 5 }, { channel: "x.*" }];
    this.#subscriptions.push(subscription);
    const step = { do: "subscribe" as const, number, ...subscription, ...wishes };
    this.#steps.push(random.bool(0.95) ? step : { ...step, ...random.pick<Partial<typeof step>>(odd) });
  }

  #ack(): void {
    const random = this.#random;
    const last = this.#subscriptions.length - 1;
    const of = random.int(0, last);
    const all = this.#subscriptions;
    const siblings = [...all.keys()].filter((i) => all[i]!.channel === all[of]!.channel);
    const by = random.bool(0.6) ? of : random.bool(0.9) ? random.pick(siblings) : random.int(0, last);
    const channel = random.bool(0.97) ? this.#subscriptions[by]!.channel : random.pick(["A", "B", "none"]);
    const which = random.bool(0.7) ? "next" : random.int(0, 6);
    for (let i = random.int(1, 2); i > 0; i--) this.#steps.push({ do: "ack", of, which, by, channel });
  }

  #leave(): void {
    const random = this.#random;
    const of = random.int(0, this.#subscriptions.length - 1);
    const { client, channel } = this.#subscriptions[of]!;
    this.#steps.push({
      do: random.pick(["unsub", "subclose", "subclose"]),
      client: random.bool(0.95) ? client : this.#client(),
      of,
      channel: random.bool(0.97) ? channel : random.pick(["A", "B", "none"]),
      by: random.pick(["acks", "acks", "acks", "acks", "acks", "deliveries", "unknown"]),
    });
  }

  /**
   * Lets time go by; false: no more. What happens of itself does so whole seconds after a request, or whole seconds and
   * a tenth, in which what a member left is handed on. The steps keep away from these times.
   */
  #pass(): boolean {
    for (let tries = 0; tries < 30; tries++) {
      const milliseconds = this.#random.int(4, 30) * 50;
      const next = this.#now + milliseconds;
      const phases = this.#bursts.map((burst) => (next - burst) % 1_000);
      if (next > LONGEST || phases.some((phase) => phase < 220 || phase > 920)) continue;
      this.#bursts.push((this.#now = next));
      this.#steps.push({ do: "pass", milliseconds });
      return true;
    }
    return false;
  }
}
