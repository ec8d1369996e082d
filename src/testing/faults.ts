/**
 * What can get lost on its way: an answer of the streaming server, a message that it delivers (`MsgProto`), an ack
 * that a client sends, or a client's answer to a heartbeat, the one that asks whether a client ID is in use included.
 */
export type Swallowed =
  | ("ConnectResponse" | "PingResponse" | "PubAck" | "SubscriptionResponse" | "CloseResponse")
  | ("MsgProto" | "Ack" | "Heartbeat");

/** What can be refused. `unsubscribe` stands for the close of a subscription, too. */
export type Refused = "connect" | "publish" | "subscribe" | "unsubscribe" | "close";

/** @internal The faults that are yet to happen. */
export class Faults {
  /** How much later than it would all comes that the streaming server sends, in milliseconds. */
  delay = 0;
  /** How many of these get lost. */
  readonly swallowed = new Map<Swallowed, number>();
  /** With what, and how often, these are refused. */
  readonly refused = new Map<Refused, { text: string; left: number }>();

  /** True if this one gets lost. */
  swallows(what: Swallowed): boolean {
    const left = this.swallowed.get(what) ?? 0;
    if (left > 0) this.swallowed.set(what, left - 1);
    return left > 0;
  }

  /** What to refuse this request with; empty: nothing. */
  refusal(request: Refused): string {
    const refused = this.refused.get(request);
    return refused !== undefined && refused.left-- > 0 ? refused.text : "";
  }
}
