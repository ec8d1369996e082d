import { readHeader } from "../core-nats/headers.ts";
import type { AbortSignalLike } from "../core-nats/lifetime.ts";
import type { Client, Message } from "../index.ts";
import { parseRfc3339, SEQUENCE, TIMESTAMP } from "./copied-message.ts";
import { BridgeError } from "./errors.ts";
import { look } from "./look.ts";
import type { Route } from "./stream.ts";
import type { StoredMessage, Target } from "./target.ts";

/** @internal What of a copied message tells whether it is the channel's. */
interface Copied {
  readonly sequence: number;
  readonly timestamp: bigint | undefined;
}

/**
 * @internal
 * The stream's last message, which is its copy of the message of the same number, or undefined if it has none.
 * @throws BridgeError `FOREIGN_MESSAGE`
 */
export async function lastCopied(target: Target, route: Route, last: number): Promise<Copied | undefined> {
  if (last === 0) return undefined;
  const stored =
    (await target.message(route.stream, { seq: last })) ??
    (await target.message(route.stream, { last_by_subj: route.subject }));
  return stored && checkOwn(route, stored);
}

/** @internal @throws BridgeError `FOREIGN_MESSAGE` unless the message has its own number in its header */
export function checkOwn({ channel, stream }: Route, { headers, sequence }: StoredMessage): Copied {
  const header = (name: string): string | undefined => headers && readHeader(headers, 0, headers.length, name);
  if (header(SEQUENCE) === String(sequence)) {
    const timestamp = parseRfc3339(header(TIMESTAMP) ?? "");
    return { sequence, timestamp };
  }
  throw new BridgeError(
    "FOREIGN_MESSAGE",
    channel,
    `message ${sequence} of the stream ${stream} is not a copy: somebody else wrote into it`,
    `Find out who publishes to it; delete the stream, or give the channel another one by map, and copy again.`,
  );
}

/**
 * @internal
 * Checks whether the channel is the one that was copied: it must still have a message of the last copied number, with
 * the same time, unless that is gone by its age or by a limit.
 * @throws BridgeError `CHANNEL_REPLACED`
 */
export async function checkChannelIsSame(
  client: Client,
  route: Route,
  copied: Copied,
  ending: AbortSignalLike,
): Promise<void> {
  const { channel } = route;
  const { sequence } = copied;
  const newest = await look(client, channel, "lastReceived", ending);
  // It may be empty, since all messages are gone. If it began anew, its first message tells.
  if (newest === undefined) return;
  if (newest.sequence < sequence) throw replaced(route, `its last number is ${newest.sequence}`, sequence);
  const same = newest.sequence === sequence ? newest : await look(client, channel, { sequence }, ending);
  if (same?.sequence === sequence && same.timestamp !== copied.timestamp) {
    throw replaced(route, `its message ${sequence} has another time`, sequence);
  }
}

/** @internal Whether a message of the channel is the one that was copied. */
export function isCopyOf(copied: Copied, message: Message): boolean {
  return copied.sequence === message.sequence && copied.timestamp === message.timestamp;
}

/** @internal */
export function replaced({ channel, stream }: Route, what: string, last: number): BridgeError {
  return new BridgeError(
    "CHANNEL_REPLACED",
    channel,
    `the channel has begun anew: ${what}, and ${stream} has its messages up to ${last}`,
    `Give the channel a new stream by map: { "${channel}": { stream: "…" } }, or open it: then numbers may differ.`,
  );
}
