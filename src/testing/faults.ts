/**
 * What can get lost: an answer of the streaming server, a message that it delivers (`MsgProto`), an ack that a
 * client sends, or a client's answer to a heartbeat. A heartbeat also asks whether the owner of a client ID is
 * still there.
 */
export type Swallowed =
  | ("ConnectResponse" | "PingResponse" | "PubAck" | "SubscriptionResponse" | "CloseResponse")
  | ("MsgProto" | "Ack" | "Heartbeat");

/** The requests that can be refused. `unsubscribe` includes the close of a subscription. */
export type Refused = "connect" | "publish" | "subscribe" | "unsubscribe" | "close";

/** @internal The faults that have not happened yet. */
export class Faults {
  /** How much later everything leaves that the streaming server sends, in milliseconds. */
  delay = 0;
  /** How many of each will get lost. */
  readonly swallowed = new Map<Swallowed, number>();
  /** The text and the number of the refusals. */
  readonly refused = new Map<Refused, { text: string; left: number }>();

  /** Returns true if this one gets lost. */
  swallows(what: Swallowed): boolean {
    const left = this.swallowed.get(what) ?? 0;
    if (left > 0) this.swallowed.set(what, left - 1);
    return left > 0;
  }

  /** Returns the error to refuse this request with, or "". */
  refusal(request: Refused): string {
    const refused = this.refused.get(request);
    return refused !== undefined && refused.left-- > 0 ? refused.text : "";
  }
}
