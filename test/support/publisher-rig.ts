import { Delivery } from "../../src/core-nats/delivery.ts";
import type { Receiver } from "../../src/core-nats/delivery.ts";
import { NatsError } from "../../src/core-nats/errors.ts";
import { Outbox } from "../../src/core-nats/outbox.ts";
import { checkConnectOptions } from "../../src/streaming/connect-options.ts";
import type { ConnectOptions } from "../../src/streaming/connect-options.ts";
import { StreamingError } from "../../src/streaming/errors.ts";
import { PendingPublish } from "../../src/streaming/publishing/pending-publish.ts";
import type { PublishOptions } from "../../src/streaming/publishing/publish-options.ts";
import type { PublishConnection, PublishSession } from "../../src/streaming/publishing/publish-registration.ts";
import { PublishTemplate } from "../../src/streaming/publishing/publish-template.ts";
import { Publisher } from "../../src/streaming/publishing/publisher.ts";
import { Slabs } from "../../src/streaming/publishing/slab.ts";
import type { Status } from "../../src/streaming/status.ts";
import { PubMsg } from "../../src/testing/messages.ts";
import { bytesOf } from "./bytes.ts";
import { pubAck, subjects } from "./fake-streaming.ts";
import { Framer } from "./frames.ts";

/** The part of a connection that the publisher uses, without a socket: the test reads what is sent, and answers. */
export class Wire implements PublishConnection {
  maxPayload = 1024 * 1024;
  writable = (): void => {};
  publishDenied = (_subject: string, _error: NatsError): boolean => false;
  readonly outbox = new Outbox({ write: (bytes, written) => this.#write(bytes, written) }, () => this.writable());
  receiver: Receiver | undefined;
  acks = "";
  readonly #pongs: ((error?: NatsError) => void)[] = [];
  readonly #framer = new Framer();
  #chunks: Uint8Array[] = [];
  #written: (() => void)[] = [];

  subscribe(subject: string, receiver: Receiver): number {
    this.acks = subject;
    this.receiver = receiver;
    return 1;
  }

  ping(pong: (error?: NatsError) => void): void {
    this.#pongs.push(pong);
    this.outbox.line("PING");
  }

  /** What has been sent since the last time. */
  take(): Sent[] {
    this.outbox.flush();
    const frames = this.#chunks.splice(0).flatMap((chunk) => this.#framer.push(chunk));
    for (const written of this.#written.splice(0)) written();
    return frames.map(({ verb, subject, reply, payload }) => {
      const message = verb === "PUB" && subject.startsWith(`${subjects.pubPrefix}.`) ? PubMsg.read(payload) : undefined;
      return { verb, subject, reply, message };
    });
  }

  pong(): void {
    this.#pongs.shift()!();
  }

  deliver(subject: string, payload: Uint8Array, status = 0): void {
    const delivery = new Delivery();
    const head = bytesOf(subject);
    Object.assign(delivery, { bytes: payload, start: 0, end: payload.length, status });
    Object.assign(delivery, { head, subjectStart: 0, subjectEnd: head.length });
    this.receiver!.deliver(delivery);
  }

  /** Ends the link for the publisher's callbacks: the PINGs fail. */
  end(): void {
    for (const pong of this.#pongs.splice(0)) pong(new NatsError("CONNECTION_LOST", "cut"));
    this.outbox.close();
  }

  #write(bytes: Uint8Array, written: () => void): void {
    this.#chunks.push(bytes.slice());
    this.#written.push(written);
  }
}

/** What the publisher has sent. */
export interface Sent {
  readonly verb: string;
  readonly subject: string;
  readonly reply: string;
  readonly message: PubMsg | undefined;
}

/** What became of a publish. */
export type Outcome = "stored" | StreamingError;

/** A publisher. The test plays the supervisor. */
export class Rig {
  readonly statuses: Status[] = [];
  readonly verified: (StreamingError | undefined)[] = [];
  readonly publisher: Publisher;
  wire = new Wire();
  session = newSession();
  onVerify = (): void => this.publisher.suspend();

  constructor(options: Partial<ConnectOptions> = {}) {
    const settings = checkConnectOptions({ clusterId: "fake", clientId: "me", ...options }).settings;
    this.publisher = new Publisher(
      settings,
      (status) => this.statuses.push(status),
      (error) => {
        this.verified.push(error);
        this.onVerify();
      },
      () => undefined,
    );
  }

  /** Registers on a new wire, with the same session or a new one. */
  register(session = this.session): this {
    this.session = session;
    this.wire = new Wire();
    this.publisher.open(this.wire);
    return this.resume();
  }

  resume(session = this.session): this {
    this.session = session;
    this.publisher.resume({ connection: this.wire, session, over: new AbortController().signal });
    return this;
  }

  cut(): void {
    this.wire.end();
    this.publisher.lost(new StreamingError("CONNECT_FAILED", "connection: cut"));
  }

  publish(data: string | Uint8Array = "x", options?: PublishOptions, channel = "a"): Promise<Outcome> {
    return this.publisher.publish(channel, data, options).then(
      () => "stored" as const,
      (error: StreamingError) => error,
    );
  }

  /** The publishes that were sent since the last time. */
  messages(): (PubMsg & { readonly ackTo: string })[] {
    const sent = this.wire.take();
    return sent.flatMap(({ message, reply }) => (message === undefined ? [] : [{ ...message, ackTo: reply }]));
  }

  ack(message: { readonly guid: string; readonly ackTo: string }, error = ""): void {
    this.wire.deliver(message.ackTo, pubAck(message.guid, error));
  }

  /** A 503 for the publish. */
  noResponders(message: { readonly ackTo: string }): void {
    this.wire.deliver(message.ackTo, new Uint8Array(0), 503);
  }
}

let sessions = 0;

/** A session with a connection ID of its own. */
export function newSession(): PublishSession {
  const rest = { error: "", pingInterval: 5, pingMaxOut: 3, protocol: 1, publicKey: "" };
  return { connId: `session-${++sessions}`, subjects: { ...subjects, ...rest } };
}

/** A publish that nobody awaits, with its data in a slab. */
export function pending(
  data: string | Uint8Array = "x",
  { channel = "a", template = new PublishTemplate(channel), order = 0, deadline = 0, slabs = new Slabs() } = {},
): PendingPublish {
  slabs.hold(data);
  return new PendingPublish(template, "", order, deadline, slabs, () => {}, () => {});
}

/** UTF-8 as a string. */
export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** "stored", or the code of the error. */
export function code(outcome: Outcome): string {
  return outcome === "stored" ? outcome : outcome.code;
}
