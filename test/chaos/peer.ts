import {
  CloseRequest,
  ConnectRequest,
  ConnectResponse,
  StartPosition,
  SubscriptionRequest,
  SubscriptionResponse,
} from "../../src/pb/control.ts";
import { MsgProto } from "../../src/testing/messages.ts";
import { encode } from "../../src/pb/codec.ts";
import { latin1 } from "../support/bytes.ts";
import { RawClient } from "../support/raw.ts";
import { until } from "../support/until.ts";

/**
 * A streaming client that shares nothing with the library but the codec: what reads a log back, and who takes a client
 * ID away, must not have its faults.
 */
export class Peer {
  readonly #raw: RawClient;
  readonly #clientId: string;
  #subjects!: ConnectResponse;

  private constructor(raw: RawClient, clientId: string) {
    this.#raw = raw;
    this.#clientId = clientId;
  }

  /** Registers, and answers heartbeats from then on. Rejects with what the server says against it. */
  static async register(port: number, clientId: string): Promise<Peer> {
    const raw = await RawClient.connect(port);
    const peer = new Peer(raw, clientId);
    const inbox = `_INBOX.${clientId}.${Math.random().toString(36).slice(2)}`;
    const heartbeats = raw.subscribe(inbox);
    void peer.#beat(heartbeats);
    await raw.flush();
    const request = encode(ConnectRequest, {
      clientID: clientId,
      heartbeatInbox: inbox,
      protocol: 1,
      connID: new TextEncoder().encode(inbox.slice(-22).padStart(22, "0")),
      pingInterval: 5,
      pingMaxOut: 3,
    });
    const answer = await raw.request("_STAN.discover.test-cluster", request);
    if (answer.headers.length > 0) {
      raw.destroy();
      throw new Error("no streaming server is in charge");
    }
    peer.#subjects = ConnectResponse.read(answer.payload);
    if (peer.#subjects.error === "") return peer;
    raw.destroy();
    throw new Error(peer.#subjects.error);
  }

  /** The same, tried until it succeeds. */
  static registerSoon(port: number, clientId: string): Promise<Peer> {
    return until(`${clientId} is registered by another`, () => Peer.register(port, clientId), 30_000);
  }

  /** All messages that a channel holds now. */
  async read(channel: string): Promise<MsgProto[]> {
    const last = await this.#subscribe(channel, StartPosition.LastReceived, 1);
    const end = (await this.#take(last, 1))[0]?.sequence ?? 0n;
    if (end === 0n) return [];
    const all = await this.#subscribe(channel, StartPosition.First, 10_000_000);
    const messages: MsgProto[] = [];
    while (messages.at(-1)?.sequence !== end) messages.push(...(await this.#take(all, 1)));
    return messages;
  }

  /** Takes leave, so that the client ID is free at once. */
  async leave(): Promise<void> {
    await this.#raw.request(this.#subjects.closeRequests, encode(CloseRequest, { clientID: this.#clientId }));
    this.#raw.destroy();
  }

  async #subscribe(channel: string, startPosition: number, maxInFlight: number): Promise<string> {
    const inbox = `_INBOX.${this.#clientId}.${startPosition}.${Math.random().toString(36).slice(2)}`;
    const sid = this.#raw.subscribe(inbox);
    const request = encode(SubscriptionRequest, {
      clientID: this.#clientId,
      subject: channel,
      qGroup: "",
      inbox,
      maxInFlight,
      ackWaitInSecs: 600,
      durableName: "",
      startPosition,
      startSequence: 0n,
      startTimeDelta: 0n,
    });
    const answer = SubscriptionResponse.read((await this.#raw.request(this.#subjects.subRequests, request)).payload);
    if (answer.error !== "") throw new Error(answer.error);
    return sid;
  }

  /** The next messages of a subscription; none if there is none within a second. */
  async #take(sid: string, count: number): Promise<MsgProto[]> {
    const messages: MsgProto[] = [];
    while (messages.length < count) {
      const frame = await this.#raw.next((frame) => frame.sid === sid, 2_000).catch(() => undefined);
      if (frame === undefined) return messages;
      messages.push(MsgProto.read(frame.payload));
    }
    return messages;
  }

  async #beat(sid: string): Promise<void> {
    try {
      for (;;) this.#raw.publish((await this.#raw.next((frame) => frame.sid === sid, 2 ** 31 - 1)).reply);
    } catch {
      // The link is gone.
    }
  }
}

/** The text of a message's data. */
export function textOf(message: MsgProto): string {
  return latin1(message.data);
}
