import {
  CloseRequest,
  CloseResponse,
  ConnectRequest,
  ConnectResponse,
  Ping,
  PingResponse,
  SubscriptionRequest,
  SubscriptionResponse,
  UnsubscribeRequest,
} from "../../src/pb/control.ts";
import { Ack, MsgProto, PubAck, PubMsg } from "../../src/testing/messages.ts";
import { type Codec, encode } from "../../src/pb/codec.ts";
import { bytesOf } from "../support/bytes.ts";
import type { Frame } from "../support/frames.ts";
import { RawClient } from "../support/raw.ts";

let count = 0;

/** A name that no other test of this process uses: for client IDs, channels and inboxes. */
export function unique(what: string): string {
  return `${what}-${process.pid}-${++count}`;
}

/** A subscription, as the one that asked for it sees it. */
export interface Subscribed {
  readonly channel: string;
  readonly inbox: string;
  /** The SUB of the inbox. */
  readonly sid: string;
  readonly ackInbox: string;
  readonly error: string;
}

/**
 * A streaming client by hand: every request and every byte is the test's own. It answers heartbeats unless told not to.
 */
export class Peer {
  readonly raw: RawClient;
  readonly port: number;
  clientId = unique("client");
  connId = unique("connection");
  heartbeatInbox = `_INBOX.${unique("heartbeat")}`;
  heartbeatSid = "";
  subjects: ConnectResponse | undefined;
  #mute = false;
  /** A channel with one message. */
  #probe = "";

  private constructor(raw: RawClient, port: number) {
    this.raw = raw;
    this.port = port;
  }

  static async dial(port: number, fields: Record<string, unknown> = {}): Promise<Peer> {
    return new Peer(await RawClient.connect(port, fields), port);
  }

  /** Sends a request of any bytes, on behalf of nobody, and reads the answer. */
  async request<M>(subject: string, body: Uint8Array, codec: Pick<Codec<M>, "read">): Promise<M> {
    const frame = await this.raw.request(subject, body);
    if (frame.verb !== "MSG") throw new Error(`${subject}: ${frame.text}`);
    return codec.read(frame.payload);
  }

  connect(fields: Partial<ConnectRequest> = {}): Promise<ConnectResponse> {
    const body = encode(ConnectRequest, {
      clientID: this.clientId,
      heartbeatInbox: this.heartbeatInbox,
      protocol: 1,
      connID: bytesOf(this.connId),
      pingInterval: 5,
      pingMaxOut: 3,
      ...fields,
    });
    return this.request("_STAN.discover.test-cluster", body, ConnectResponse);
  }

  /** Registers, and answers heartbeats from now on. */
  async register(): Promise<void> {
    this.heartbeatSid = this.raw.subscribe(this.heartbeatInbox);
    this.#answerHeartbeats();
    this.subjects = await this.connect();
    if (this.subjects.error !== "") throw new Error(this.subjects.error);
  }

  /** Answers no more heartbeats, or does again. */
  mute(on: boolean): void {
    this.#mute = on;
  }

  ping(connId = this.connId): Promise<PingResponse> {
    return this.request("_STAN.discover.test-cluster.pings", encode(Ping, { connID: bytesOf(connId) }), PingResponse);
  }

  /** Publishes; `natsChannel` is where, if that is not the channel. */
  publish(channel: string, data = "", fields: Partial<PubMsg> = {}, natsChannel = channel): Promise<PubAck> {
    return this.request(`_STAN.pub.test-cluster.${natsChannel}`, this.message(channel, data, fields), PubAck);
  }

  /** The bytes of a PubMsg of this client. */
  message(channel: string, data = "", fields: Partial<PubMsg> = {}): Uint8Array {
    const names = { clientID: this.clientId, connID: bytesOf(this.connId), guid: unique("guid") };
    const content = { subject: channel, reply: "", data: bytesOf(data), sha256: new Uint8Array(0) };
    return encode(PubMsg, { ...names, ...content, ...fields });
  }

  /** Publishes several, one after the other. */
  async publishAll(channel: string, ...texts: string[]): Promise<void> {
    for (const text of texts) {
      const { error } = await this.publish(channel, text);
      if (error !== "") throw new Error(error);
    }
  }

  async subscribe(channel: string, fields: Partial<SubscriptionRequest> = {}): Promise<Subscribed> {
    const inbox = fields.inbox ?? `_INBOX.${unique("inbox")}`;
    const sid = inbox === "" ? "" : this.raw.subscribe(inbox);
    const request = encode(SubscriptionRequest, {
      clientID: this.clientId,
      subject: channel,
      qGroup: "",
      inbox,
      maxInFlight: 10,
      ackWaitInSecs: 30,
      durableName: "",
      startPosition: 4,
      startSequence: 0n,
      startTimeDelta: 0n,
      ...fields,
    });
    const { ackInbox, error } = await this.request("_STAN.sub.test-cluster", request, SubscriptionResponse);
    return { channel, inbox, sid, ackInbox, error };
  }

  /** Ends a subscription and returns the error. "unsub" forgets a durable, "subclose" does not. */
  async end(
    how: "unsub" | "subclose",
    { channel, ackInbox }: Subscribed,
    fields: Partial<UnsubscribeRequest> = {},
  ): Promise<string> {
    const request = { clientID: this.clientId, subject: channel, inbox: ackInbox, durableName: "", ...fields };
    const subject = `_STAN.${how}.test-cluster`;
    return (await this.request(subject, encode(UnsubscribeRequest, request), SubscriptionResponse)).error;
  }

  async close(clientId = this.clientId): Promise<string> {
    const answer = await this.request(
      "_STAN.close.test-cluster",
      encode(CloseRequest, { clientID: clientId }),
      CloseResponse,
    );
    return answer.error;
  }

  /** The next message of a subscription. */
  async next({ inbox }: Subscribed): Promise<MsgProto> {
    const frame = await this.raw.next((frame) => frame.subject === inbox);
    return MsgProto.read(frame.payload);
  }

  /** The next messages, each as "sequence", or "sequence r count" when it is redelivered. */
  async take(subscribed: Subscribed, count: number): Promise<string[]> {
    const taken: string[] = [];
    while (taken.length < count) {
      const { sequence, redelivered, redeliveryCount } = await this.next(subscribed);
      taken.push(redelivered ? `${sequence}r${redeliveryCount}` : `${sequence}`);
    }
    return taken;
  }

  /** Acknowledges. Sent through another ack inbox if one is given. */
  ack({ channel, ackInbox }: Subscribed, ...sequences: number[]): void {
    for (const sequence of sequences) this.ackTo(ackInbox, channel, sequence);
  }

  ackTo(ackInbox: string, channel: string, sequence: number, reply = ""): void {
    this.raw.publish(ackInbox, encode(Ack, { subject: channel, sequence: BigInt(sequence) }), reply);
  }

  /**
   * Takes what has come for a subscription so far, once all that was sent before is handled.
   */
  async taken(subscribed: Subscribed): Promise<string[]> {
    await this.settle();
    const frames = this.raw.collect().filter((frame: Frame) => frame.subject === subscribed.inbox);
    return frames.map((frame) => {
      const { sequence, redelivered, redeliveryCount } = MsgProto.read(frame.payload);
      return redelivered ? `${sequence}r${redeliveryCount}` : `${sequence}`;
    });
  }

  /**
   * Waits until the server has handled earlier acks, publishes and requests, and what came of them has arrived. It
   * sends the first messages of subscriptions one subscription after the other, later than its answers: those of one
   * more are waited for. And it closes a subscription only when it has handled earlier acks (both seen in 0.25.6).
   */
  async settle(): Promise<void> {
    if (this.#probe === "") {
      this.#probe = unique("probe");
      await this.publishAll(this.#probe, "x");
    }
    const probe = await this.subscribe(this.#probe);
    await this.next(probe);
    const error = await this.end("subclose", probe);
    if (probe.error !== "" || error !== "") throw new Error(`${probe.error} ${error}`);
    await this.raw.flush();
  }

  destroy(): void {
    this.raw.destroy();
  }

  #answerHeartbeats(): void {
    this.raw
      .next((frame) => frame.subject === this.heartbeatInbox, 2 ** 31 - 1)
      .then((frame) => {
        if (!this.#mute) this.raw.publish(frame.reply);
        this.#answerHeartbeats();
      })
      .catch(() => {});
  }
}
