import { nuid } from "../core-nats/nuid.ts";
import { type Codec, encode } from "../pb/codec.ts";
import {
  CloseRequest,
  CloseResponse,
  ConnectRequest,
  ConnectResponse,
  Ping,
  PingResponse,
  StartPosition,
  SubscriptionRequest,
  SubscriptionResponse,
  UnsubscribeRequest,
} from "../pb/control.ts";
import { textOf } from "../pb/wire.ts";
import { Channel } from "./channel.ts";
import type { Alarm, Clock } from "./clock.ts";
import type { Faults, Swallowed } from "./faults.ts";
import { Group, type Member, takeOut } from "./group.ts";
import type { Stored } from "./log.ts";
import { Ack, MsgProto, PubAck, PubMsg } from "./messages.ts";
import type { StreamingServerOptions } from "./server-options.ts";
import type { Interest, Subjects } from "./subjects.ts";

/** How long the owner of a client ID has to answer when another client wants the ID, in milliseconds. */
const CHALLENGE_TIMEOUT = 500;
const IN_USE = "stan: clientID already registered";
const INVALID_ID = "stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed";
const NOTHING = new Uint8Array(0);

/** @internal A registered client. */
export interface Session {
  readonly clientId: string;
  readonly connId: string;
  readonly heartbeatInbox: string;
  /** How many heartbeats in a row it has not answered. */
  failures: number;
  /** Rings for the next heartbeat. */
  alarm: Alarm | undefined;
  readonly members: Member[];
}

/**
 * @internal
 * The streaming server: a client of the NATS server in this process. It completes each request in one turn.
 */
export class Streaming {
  readonly channels = new Map<string, Channel>();
  readonly sessions = new Map<string, Session>();
  readonly #subjects: Subjects;
  readonly #clock: Clock;
  readonly #faults: Faults;
  readonly #options: StreamingServerOptions;
  readonly #byConnId = new Map<string, Session>();
  /** The client IDs whose owners are being asked whether they are still there. */
  readonly #challenged = new Set<string>();
  readonly #interests = new Set<Interest>();
  /** When the last delayed message will be sent. */
  #lastDelayed = 0;

  constructor(subjects: Subjects, clock: Clock, faults: Faults, options: StreamingServerOptions) {
    this.#subjects = subjects;
    this.#clock = clock;
    this.#faults = faults;
    this.#options = options;
    this.#listen(this.#subject("discover"), (payload, reply) => this.#connect(payload, reply));
    this.#listen(this.#subject("discover", ".pings"), (payload, reply) => this.#ping(payload, reply));
    this.#listen(this.#subject("pub", ".>"), (payload, reply) => this.#publish(payload, reply));
    this.#listen(this.#subject("sub"), (payload, reply) => this.#subscribe(payload, reply));
    this.#listen(this.#subject("unsub"), (payload, reply) => this.#unsubscribe(payload, reply, true));
    this.#listen(this.#subject("subclose"), (payload, reply) => this.#unsubscribe(payload, reply, false));
    this.#listen(this.#subject("close"), (payload, reply) => this.#close(payload, reply));
  }

  /** Whether it listens: a server that is not the leader does not. */
  listen(on: boolean): void {
    for (const interest of this.#interests) this.#subjects[on ? "add" : "remove"](interest);
  }

  #connect(payload: Uint8Array, reply: string): void {
    const request = read(ConnectRequest, payload);
    const id = request?.clientID ?? "";
    const owner = this.sessions.get(id);
    let error = this.#faults.refusal("connect");
    if (!request?.heartbeatInbox) error = "stan: invalid connection request";
    else if (!/^[\w-]+$/.test(id)) error = INVALID_ID;
    else if (this.#challenged.has(id)) error = IN_USE;
    if (request === undefined || error !== "" || owner === undefined) return this.#register(request, error, reply);
    this.#challenged.add(id);
    this.#ask(owner.heartbeatInbox, CHALLENGE_TIMEOUT, (answered) => {
      this.#challenged.delete(id);
      if (!answered && this.sessions.get(id) === owner) this.forget(owner);
      this.#register(request, answered ? IN_USE : "", reply);
    });
  }

  #register(request: ConnectRequest | undefined, error: string, reply: string): void {
    const answer = { ...ConnectResponse.read(NOTHING), error };
    if (error === "" && request !== undefined) {
      const { clientID: clientId, heartbeatInbox, protocol, pingInterval, pingMaxOut } = request;
      const connId = keyOf(request.connID);
      const session: Session = { clientId, connId, heartbeatInbox, failures: 0, alarm: undefined, members: [] };
      this.sessions.set(clientId, session);
      if (connId !== "") this.#byConnId.set(connId, session);
      this.#watch(session);
      answer.protocol = 1;
      answer.pubPrefix = this.#subject("pub");
      answer.subRequests = this.#subject("sub");
      answer.unsubRequests = this.#subject("unsub");
      answer.subCloseRequests = this.#subject("subclose");
      answer.closeRequests = this.#subject("close");
      const pings = { pingRequests: this.#subject("discover", ".pings"), pingInterval, pingMaxOut };
      if (protocol >= 1) Object.assign(answer, pings);
    }
    this.#answer("ConnectResponse", reply, ConnectResponse, answer);
  }

  #ping(payload: Uint8Array, reply: string): void {
    const request = read(Ping, payload);
    if (request === undefined || payload.length === 0) return;
    const session = this.#byConnId.get(keyOf(request.connID));
    // A client that is back gets a heartbeat soon, so that redeliveries go on.
    if (session !== undefined && session.failures > 0) this.#watch(session, 1);
    const error = session === undefined ? "client has been replaced or is no longer registered" : "";
    this.#answer("PingResponse", reply, PingResponse, { error });
  }

  /** Sends heartbeats: the next one after `wait` milliseconds, if it is given. */
  #watch(session: Session, wait?: number): void {
    const { interval = 30_000, timeout = 10_000, failCount = 10 } = this.#options.heartbeat ?? {};
    this.#clock.cancel(session.alarm);
    session.alarm = this.#clock.at(this.#clock.now() + (wait ?? interval), () => {
      this.#ask(session.heartbeatInbox, timeout, (answered) => {
        if (this.sessions.get(session.clientId) !== session) return;
        // Subscriptions learn of a change only: one that is made while the client fails does not know (seen in 0.25.6).
        if (answered === session.failures > 0) for (const member of session.members) member.failing = !answered;
        session.failures = answered ? 0 : session.failures + 1;
        if (session.failures > failCount) this.forget(session);
        else this.#watch(session);
      });
    });
  }

  /** Sends an empty request. Calls `done` with whether it was answered: at once if nobody listens. */
  #ask(inbox: string, timeout: number, done: (answered: boolean) => void): void {
    const settle = (answered: boolean): void => {
      this.#ignore(interest);
      this.#clock.cancel(alarm);
      done(answered);
    };
    const reply = `_INBOX.${nuid()}`;
    const interest = this.#listen(reply, () => {
      if (!this.#faults.swallows("Heartbeat")) settle(true);
    });
    const alarm = this.#clock.at(this.#clock.now() + timeout, () => settle(false));
    if (this.#subjects.publish(inbox, reply, NOTHING) === 0) settle(false);
  }

  #close(payload: Uint8Array, reply: string): void {
    const request = read(CloseRequest, payload);
    const session = this.sessions.get(request?.clientID ?? "");
    let error = this.#faults.refusal("close");
    if (request === undefined) error = "stan: invalid close request";
    else if (session === undefined) error = "stan: unknown clientID";
    else if (error === "") this.forget(session);
    this.#answer("CloseResponse", reply, CloseResponse, { error });
  }

  /** Forgets a client. Closes its subscriptions and keeps its durables. */
  forget(session: Session): void {
    this.#clock.cancel(session.alarm);
    this.sessions.delete(session.clientId);
    // Also if another client has registered with the same connection ID since (seen in 0.25.6).
    this.#byConnId.delete(session.connId);
    for (const member of session.members) this.#part(member, false);
  }

  #publish(payload: Uint8Array, reply: string): void {
    const message = read(PubMsg, payload);
    // Servers send each other control messages here, and do not answer them. Like a MsgProto they hold a number and
    // texts.
    if (message === undefined && read(MsgProto, payload) !== undefined) return;
    const { guid, subject, connID, clientID, data, reply: stored } = message ?? PubMsg.read(NOTHING);
    const known = connID.length > 0 ? this.#byConnId.has(keyOf(connID)) : this.sessions.has(clientID);
    let error = this.#faults.refusal("publish");
    if (guid === "" || !isChannelName(subject) || !known) error = "stan: invalid publish request";
    const result = error === "" ? this.store(subject, data, stored) : error;
    this.#answer("PubAck", reply, PubAck, { guid, error: typeof result === "string" ? result : "" });
  }

  /** Stores a message and sends it to the subscriptions. Returns an error's text if it does not. */
  store(name: string, data: Uint8Array, reply: string): Stored | string {
    const channel = this.#channel(name);
    if (typeof channel === "string") return channel;
    const stored = channel.store(data, reply, this.#timestamp(), this.#most("messages", 1_000_000));
    for (const group of channel.groups.values()) group.fill();
    return stored;
  }

  #most(what: "channels" | "subscriptions" | "messages", usual: number): number {
    const limit = this.#options.limits?.[what] ?? usual;
    return limit > 0 ? limit : Infinity;
  }

  /** Returns the channel, a new one if there is none, or an error's text. */
  #channel(name: string): Channel | string {
    const known = this.channels.get(name);
    if (known !== undefined) return known;
    const like = [...this.channels.keys()].find((other) => other.toLowerCase() === name.toLowerCase());
    if (like !== undefined) {
      return `rejecting channel "${name}" because channel "${like}" alreay exists (different cases not allowed)`;
    }
    if (this.channels.size >= this.#most("channels", 100)) return "too many channels";
    const channel = new Channel();
    this.channels.set(name, channel);
    return channel;
  }

  #subscribe(payload: Uint8Array, reply: string): void {
    const request = read(SubscriptionRequest, payload);
    const session = this.sessions.get(request?.clientID ?? "");
    const group = this.#group(request, session);
    if (request === undefined || session === undefined || typeof group === "string") {
      return this.#answer("SubscriptionResponse", reply, SubscriptionResponse, { ackInbox: "", error: String(group) });
    }
    const ackInbox = `_INBOX.${nuid()}`;
    const acks = this.#listen(ackInbox, (bytes) => {
      const ack = read(Ack, bytes);
      if (ack?.subject !== request.subject || this.#faults.swallows("Ack")) return;
      group.acknowledge(member, Number(ack.sequence));
    });
    const state = { durable: request.durableName !== "", online: true, stalled: false, failing: false };
    const member: Member = { request, ackInbox, group, acks, pending: new Map(), alarm: undefined, ...state };
    session.members.push(member);
    this.#channelOf(member).inboxes.set(request.inbox, member).set(ackInbox, member);
    this.#answer("SubscriptionResponse", reply, SubscriptionResponse, { ackInbox, error: "" });
    group.join(member);
  }

  /** Returns the group of a subscription, a new one if there is none, or an error's text. */
  #group(request: SubscriptionRequest | undefined, session: Session | undefined): Group | string {
    if (request === undefined) return "stan: invalid subscription request";
    const { clientID, subject, durableName: durable, qGroup: queue, startPosition } = request;
    if (clientID === "") return "stan: clientID missing";
    if (request.ackWaitInSecs <= 0) return "stan: invalid ack wait time, should be >= 1s";
    if (request.maxInFlight <= 0) return "stan: invalid MaxInflight, should be >= 1";
    if (startPosition < 0 || startPosition > StartPosition.First) return "stan: invalid start position";
    if (!isChannelName(subject)) return "stan: invalid subject";
    if (session === undefined) return "stan: unknown clientID";
    const refusal = this.#faults.refusal("subscribe");
    const channel = refusal === "" ? this.#channel(subject) : refusal;
    if (typeof channel === "string") return channel;
    if (queue !== "" && durable.includes(":")) {
      return "stan: durable name of a durable queue subscriber can't contain the character ':'";
    }
    const name = groupName(clientID, durable, queue);
    const known = channel.groups.get(name);
    if (known?.absent !== undefined) return known;
    if (known !== undefined && queue === "") return "stan: duplicate durable registration";
    let count = 0;
    for (const { members, absent } of channel.groups.values()) count += absent === undefined ? members.length : 1;
    if (count >= this.#most("subscriptions", 1_000)) return "too many subscriptions per channel";
    const deliver = this.#deliver.bind(this, subject);
    const group = known ?? new Group(name, channel, queue !== "", this.#start(channel, request), this.#clock, deliver);
    channel.groups.set(name, group);
    return group;
  }

  /** The sequence at which a new position starts. */
  #start(channel: Channel, { startPosition, startSequence, startTimeDelta }: SubscriptionRequest): number {
    const { first, last } = channel;
    if (startPosition === StartPosition.First) return first;
    if (startPosition === StartPosition.LastReceived) return Math.max(last, first);
    if (startPosition === StartPosition.TimeDeltaStart) return channel.since(this.#timestamp() - startTimeDelta);
    if (startPosition === StartPosition.NewOnly) return last + 1;
    return Math.max(first, Math.min(Number(startSequence), last + 1));
  }

  #unsubscribe(payload: Uint8Array, reply: string, forget: boolean): void {
    const request = read(UnsubscribeRequest, payload);
    const channel = this.channels.get(request?.subject ?? "");
    const session = this.sessions.get(request?.clientID ?? "");
    const member = channel?.inboxes.get(request?.inbox ?? "");
    let error = this.#faults.refusal("unsubscribe");
    if (request === undefined) error = "stan: invalid unsubscribe request";
    else if (channel === undefined) error = "stan: unknown channel";
    else if (member === undefined) error = "stan: invalid subscription";
    else if (!session?.members.includes(member)) error = "stan: unknown clientID";
    else if (error === "") {
      takeOut(session.members, member);
      this.#part(member, forget);
    }
    this.#answer("SubscriptionResponse", reply, SubscriptionResponse, { ackInbox: "", error });
  }

  #part(member: Member, forget: boolean): void {
    const { group, acks, ackInbox, request } = member;
    this.#ignore(acks);
    const { inboxes, groups } = this.#channelOf(member);
    for (const inbox of [ackInbox, request.inbox]) inboxes.delete(inbox);
    if (group.leave(member, forget)) groups.delete(group.name);
  }

  #channelOf({ request }: Member): Channel {
    const channel = this.channels.get(request.subject);
    if (channel === undefined) throw new Error(`a channel with subscriptions is kept, and ${request.subject} is gone`);
    return channel;
  }

  #deliver(subject: string, member: Member, message: Stored, redeliveryCount: number): void {
    const { data, reply, timestamp } = message;
    const head = { sequence: BigInt(message.sequence), redelivered: redeliveryCount > 0, redeliveryCount, CRC32: 0 };
    this.#send("MsgProto", member.request.inbox, encode(MsgProto, { ...head, subject, reply, data, timestamp }));
  }

  #answer<M>(what: Swallowed, reply: string, codec: Codec<M>, message: M): void {
    if (reply !== "") this.#send(what, reply, encode(codec, message));
  }

  #send(what: Swallowed, subject: string, bytes: Uint8Array): void {
    if (this.#faults.swallows(what)) return;
    const now = this.#clock.now();
    // Never before a message that was delayed earlier.
    this.#lastDelayed = Math.max(this.#lastDelayed, now + this.#faults.delay);
    if (this.#lastDelayed === now) this.#subjects.publish(subject, "", bytes);
    else this.#clock.at(this.#lastDelayed, () => this.#subjects.publish(subject, "", bytes));
  }

  #listen(subject: string, handle: (payload: Uint8Array, reply: string) => void): Interest {
    const deliver = (_: string, reply: string, bytes: Uint8Array): void => handle(bytes, reply);
    const interest = { subject, queue: "", deliver };
    this.#interests.add(interest);
    this.#subjects.add(interest);
    return interest;
  }

  #ignore(interest: Interest): void {
    this.#interests.delete(interest);
    this.#subjects.remove(interest);
  }

  #subject(request: string, more = ""): string {
    return `_STAN.${request}.${this.#options.clusterId ?? "test-cluster"}${more}`;
  }

  #timestamp(): bigint {
    return BigInt(Math.floor(this.#clock.now() * 1000)) * 1000n;
  }
}

/** Whether the server accepts this name of a channel. */
function isChannelName(name: string): boolean {
  return !/[/*>]/.test(name) && name.split(".").every((token) => token !== "");
}

/** The name by which a group is found. The queue group `D:q` is the durable one of D and q (seen in 0.25.6). */
function groupName(clientId: string, durable: string, queue: string): string | symbol {
  if (queue !== "") return `queue ${durable === "" ? queue : `${durable}:${queue}`}`;
  return durable === "" ? Symbol() : `durable ${clientId} ${durable}`;
}

/** Reads a message. Returns undefined if the bytes are no such message. */
function read<M>(codec: { read(bytes: Uint8Array): M }, bytes: Uint8Array): M | undefined {
  try {
    return codec.read(bytes);
  } catch {
    return undefined;
  }
}

function keyOf(connId: Uint8Array): string {
  return textOf(connId, 0, connId.length);
}
