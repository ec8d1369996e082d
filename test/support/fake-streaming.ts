import {
  CloseRequest,
  ConnectRequest,
  ConnectResponse,
  Ping,
  PingResponse,
  SubscriptionRequest,
  SubscriptionResponse,
  UnsubscribeRequest,
} from "../../src/pb/control.ts";
import { Ack, MsgProto, PubAck, PubMsg } from "../../src/testing/messages.ts";
import { encode } from "../../src/pb/codec.ts";
import { bytesOf, concat } from "./bytes.ts";
import type { Frame } from "./frames.ts";
import type { FakeLink, FakeServerOptions } from "./raw.ts";
import { FakeServer } from "./raw.ts";

/** Something that a client asked for, and the means to answer. */
export class Ask<M> {
  readonly message: M;
  readonly link: FakeLink;
  /** The subject that it was asked on, and the one for the answer. */
  readonly subject: string;
  readonly reply: string;
  readonly #server: FakeStreaming;

  constructor(server: FakeStreaming, link: FakeLink, frame: Frame, message: M) {
    this.#server = server;
    this.link = link;
    this.subject = frame.subject;
    this.reply = frame.reply;
    this.message = message;
  }

  /** Answers with these bytes. */
  answer(bytes: Uint8Array): void {
    this.#server.send(this.link, this.reply, bytes);
  }

  /** Answers as NATS does where nobody listens: with a 503. */
  unheard(): void {
    for (const sid of this.#server.sidsOf(this.link, this.reply)) this.link.noResponders(sid, this.reply);
  }
}

/** A subscription that was accepted. */
export interface Held {
  readonly request: SubscriptionRequest;
  readonly ackInbox: string;
  readonly link: FakeLink;
}

/** The subjects that a `FakeStreaming` gives out. */
export const subjects = {
  pubPrefix: "_FAKE.pub",
  subRequests: "_FAKE.sub",
  unsubRequests: "_FAKE.unsub",
  closeRequests: "_FAKE.close",
  subCloseRequests: "_FAKE.subclose",
  pingRequests: "_FAKE.ping",
} as const;

/** The usual answer to a registration, with changes. */
export function connectResponse(changes: Partial<ConnectResponse> = {}): Uint8Array {
  const usual = { error: "", pingInterval: 5, pingMaxOut: 3, protocol: 1, publicKey: "" };
  return encode(ConnectResponse, { ...subjects, ...usual, ...changes });
}

/** The answer to a publish. */
export function pubAck(guid: string, error = ""): Uint8Array {
  return encode(PubAck, { guid, error });
}

/** The answer to a subscription request, or to its end. */
export function subscriptionResponse(ackInbox: string, error = ""): Uint8Array {
  return encode(SubscriptionResponse, { ackInbox, error });
}

/** The answer to a ping, or to the end of a session. */
export function pingResponse(error = ""): Uint8Array {
  return encode(PingResponse, { error });
}

/** A message as it is delivered. */
export function msgProto(changes: Partial<MsgProto> & { sequence: bigint }): Uint8Array {
  return encode(MsgProto, {
    subject: "fake",
    reply: "",
    data: bytesOf(`message ${changes.sequence}`),
    timestamp: 1_700_000_000_000_000_000n + changes.sequence,
    redelivered: false,
    redeliveryCount: 0,
    CRC32: 0,
    ...changes,
  });
}

/** The message of a channel that was reset: it is stored later than all that `msgProto` makes. */
export function laterProto(sequence: bigint): Uint8Array {
  return msgProto({ sequence, timestamp: 1_800_000_000_000_000_000n });
}

/**
 * A scripted NATS Streaming server, for what a real one does not do on demand. It answers everything with success at
 * once and keeps nothing but notes; a test replaces one of the `on…` functions to have it otherwise.
 */
export class FakeStreaming {
  readonly #server: FakeServer;
  readonly #sids = new Map<FakeLink, Map<string, string>>();
  #inboxes = 0;

  /** All that was asked, in order. */
  readonly registrations: Ask<ConnectRequest>[] = [];
  readonly pings: Ask<Ping>[] = [];
  readonly publishes: Ask<PubMsg>[] = [];
  readonly subscribes: Ask<SubscriptionRequest>[] = [];
  /** Closes and unsubscribes; `subject` tells which. */
  readonly leaves: Ask<UnsubscribeRequest>[] = [];
  readonly closes: Ask<CloseRequest>[] = [];
  /** Subscriptions that were accepted by `accept`. */
  readonly held: Held[] = [];
  /** What came on subjects that are none of the server's: acks, answers to heartbeats. */
  readonly others: Frame[] = [];

  onRegister = (ask: Ask<ConnectRequest>): void => ask.answer(connectResponse());
  onPing = (ask: Ask<Ping>): void => ask.answer(pingResponse());
  onPublish = (ask: Ask<PubMsg>): void => ask.answer(pubAck(ask.message.guid));
  onSubscribe = (ask: Ask<SubscriptionRequest>): void => void this.accept(ask);
  onLeave = (ask: Ask<UnsubscribeRequest>): void => ask.answer(subscriptionResponse(""));
  onClose = (ask: Ask<CloseRequest>): void => ask.answer(pingResponse());

  private constructor(server: FakeServer) {
    this.#server = server;
  }

  static async start(options: Omit<FakeServerOptions, "onFrame"> = {}): Promise<FakeStreaming> {
    const started: { fake?: FakeStreaming } = {};
    const server = await FakeServer.start({ ...options, onFrame: (frame, link) => started.fake?.take(frame, link) });
    started.fake = new FakeStreaming(server);
    return started.fake;
  }

  get url(): string {
    return this.#server.url;
  }

  /** All links so far, closed ones too. */
  get links(): readonly FakeLink[] {
    return this.#server.links;
  }

  /** The newest link. */
  get link(): FakeLink {
    const link = this.links.at(-1);
    if (link === undefined) throw new Error("nobody has connected");
    return link;
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }

  /** The sequences that were acknowledged, in order. */
  get acks(): number[] {
    return this.others.map(({ payload }) => Number(Ack.read(payload).sequence));
  }

  /** The sequences that were acknowledged to an ack inbox, in order. */
  acksTo(ackInbox: string): number[] {
    const acks = this.others.filter(({ subject }) => subject === ackInbox);
    return acks.map(({ payload }) => Number(Ack.read(payload).sequence));
  }

  /** Cuts the link, and no longer knows the session. It knows the next one. */
  loseSession(): void {
    const lost = this.registrations.length;
    const gone = "client has been replaced or is no longer registered";
    this.onPing = (ask) => ask.answer(pingResponse(this.registrations.length === lost ? gone : ""));
    this.link.destroy();
  }

  /** Accepts a subscription; `first` is delivered in the same segment as the answer, right behind it. */
  accept(ask: Ask<SubscriptionRequest>, ...first: Uint8Array[]): Held {
    const held = { request: ask.message, ackInbox: `_FAKE.acks.${++this.#inboxes}`, link: ask.link };
    this.held.push(held);
    const answer = this.operations(ask.link, ask.reply, subscriptionResponse(held.ackInbox));
    const messages = first.map((bytes) => this.operations(ask.link, ask.message.inbox, bytes));
    ask.link.send(concat([answer, ...messages]));
    return held;
  }

  /** Delivers a message to the subscription that was accepted last, or another. */
  deliver(bytes: Uint8Array, held = this.held.at(-1)!): void {
    this.send(held.link, held.request.inbox, bytes);
  }

  /** Sends to all who listen on this link. */
  send(link: FakeLink, subject: string, payload: Uint8Array, reply = ""): void {
    link.send(this.operations(link, subject, payload, reply));
  }

  /** What `send` sends. */
  operations(link: FakeLink, subject: string, payload: Uint8Array, reply = ""): Uint8Array {
    return concat(
      this.sidsOf(link, subject).map((sid) => {
        const head = `MSG ${subject} ${sid} ${reply === "" ? "" : `${reply} `}${payload.length}\r\n`;
        return concat([bytesOf(head), payload, bytesOf("\r\n")]);
      }),
    );
  }

  /** Who listens to a subject on a link. */
  sidsOf(link: FakeLink, subject: string): string[] {
    const sids = [...(this.#sids.get(link) ?? [])];
    return sids.filter(([, pattern]) => matches(pattern, subject)).map(([sid]) => sid);
  }

  /** Takes a frame. For the link's own use. */
  take(frame: Frame, link: FakeLink): void {
    const sids = this.#sids.get(link) ?? new Map<string, string>();
    this.#sids.set(link, sids);
    if (frame.verb === "SUB") sids.set(frame.sid, frame.subject);
    if (frame.verb === "UNSUB") sids.delete(frame.sid);
    if (frame.verb !== "PUB") return;
    const { subject, payload } = frame;
    const ask = <M>(codec: { read(bytes: Uint8Array): M }): Ask<M> => new Ask(this, link, frame, codec.read(payload));
    if (subject.startsWith("_STAN.discover.")) note(this.registrations, ask(ConnectRequest), this.onRegister);
    else if (subject.startsWith(`${subjects.pubPrefix}.`)) note(this.publishes, ask(PubMsg), this.onPublish);
    else if (subject === subjects.pingRequests) note(this.pings, ask(Ping), this.onPing);
    else if (subject === subjects.subRequests) note(this.subscribes, ask(SubscriptionRequest), this.onSubscribe);
    else if (subject === subjects.unsubRequests || subject === subjects.subCloseRequests) {
      note(this.leaves, ask(UnsubscribeRequest), this.onLeave);
    } else if (subject === subjects.closeRequests) note(this.closes, ask(CloseRequest), this.onClose);
    else this.others.push(frame);
  }
}

function note<M>(asked: Ask<M>[], ask: Ask<M>, answer: (ask: Ask<M>) => void): void {
  asked.push(ask);
  answer(ask);
}

/** Whether a subject is one that the pattern means; the only wildcard is a `*` at the end. */
function matches(pattern: string, subject: string): boolean {
  if (!pattern.endsWith(".*")) return pattern === subject;
  const head = pattern.slice(0, -1);
  return subject.startsWith(head) && !subject.slice(head.length).includes(".");
}
