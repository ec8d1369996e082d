// Why: docs/decisions.md#errors-answer-one-question
/**
 * What went wrong, as an answer to the question *was it done?*
 *
 * | code | meaning | done? |
 * |---|---|---|
 * | `CONNECT_FAILED` | the client reached no NATS server; this may pass | no |
 * | `AUTH_FAILED` | credentials or certificate refused, or TLS required and not offered; waiting does not help | no |
 * | `NO_SERVER` | NATS is there, but no streaming server answers for this cluster ID | no |
 * | `CLIENT_ID_IN_USE` | another live client holds this client ID | no |
 * | `REFUSED` | the streaming server said no for good; the message has its words | no |
 * | `NOT_PERMITTED` | the NATS server denied the subject | no |
 * | `NOT_SENT` | the time was up before the message was sent | no |
 * | `QUEUE_FULL` | too much is waiting to be sent | no |
 * | `TOO_LARGE` | the encoded message is over the server's limit | no |
 * | `ABORTED` | the caller's signal was aborted before sending | no |
 * | `CLOSED` | the client or subscription was closed before sending | no |
 * | `UNCONFIRMED` | sent; then a timeout, a lost connection, a close, or an answer that leaves it open | **unknown** |
 *
 * `UNCONFIRMED` is, and stays, the only code whose outcome is unknown.
 */
export type StreamingErrorCode =
  | "CONNECT_FAILED"
  | "AUTH_FAILED"
  | "NO_SERVER"
  | "CLIENT_ID_IN_USE"
  | "REFUSED"
  | "NOT_PERMITTED"
  | "NOT_SENT"
  | "QUEUE_FULL"
  | "TOO_LARGE"
  | "ABORTED"
  | "CLOSED"
  | "UNCONFIRMED";

/**
 * Every rejection of this library that is not a `TypeError` for a wrong argument. {@link StreamingError.code} says
 * whether it was done. The `message` reads "operation subject: reason". The `cause` is the error behind it, often a
 * `NatsError`, if there is one.
 *
 * @example
 * ```ts
 * client.publish("orders", "three apples").catch((error: unknown) => {
 *   if (!(error instanceof StreamingError)) throw error;
 *   console.warn(error.code === "UNCONFIRMED" ? "perhaps stored" : "not stored", error.message);
 * });
 * ```
 */
export class StreamingError extends Error {
  /**
   * Says whether it was done: `UNCONFIRMED` means unknown, every other code means no. See {@link StreamingErrorCode}.
   */
  readonly code: StreamingErrorCode;

  /** @internal */
  constructor(code: StreamingErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }

  override get name(): string {
    return "StreamingError";
  }
}

/**
 * @internal Resolves as the promise does. Rejects with a copy of its error: a copy that an async function throws has a
 * stack that shows who awaits it. The stack of the original shows only a loop or a timer.
 */
export async function withCaller<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    if (!(error instanceof StreamingError)) throw error;
    throw new StreamingError(error.code, error.message, error.cause);
  }
}

/** An item of a `publishMany` that failed. */
export interface PublishFailure {
  /** Where the item is in the source, from 0. */
  readonly index: number;
  /** Why it failed. With `UNCONFIRMED` it may be stored; with every other code it is not. */
  readonly code: StreamingErrorCode;
}

/**
 * What `publishMany` rejects with. It says what is stored, and where to go on. `code`, `message` and `cause` are those
 * of the failure that ended it. If the source itself failed, or yielded something that is no data, the code is
 * `ABORTED` and the cause is that error.
 *
 * @example
 * ```ts
 * const rows = ["row 1", "row 2", "row 3"];
 * await client.publishMany("rows", rows).catch((error: unknown) => {
 *   if (!(error instanceof PublishManyError)) throw error;
 *   return client.publishMany("rows", rows.slice(error.firstUncertain));
 * });
 * ```
 */
export class PublishManyError extends StreamingError {
  /** How many items are stored for certain. */
  readonly stored: number;
  /**
   * An index in the source: all items before it are stored. To go on from there loses nothing, and may store some items
   * twice.
   */
  readonly firstUncertain: number;
  /** How many items failed. */
  readonly failed: number;
  /** The failed items, in the order of the source, at most the first 1,000. */
  readonly failures: readonly PublishFailure[];

  /** @internal */
  constructor(
    code: StreamingErrorCode,
    message: string,
    cause: unknown,
    stored: number,
    firstUncertain: number,
    failed: number,
    failures: readonly PublishFailure[],
  ) {
    super(code, message, cause);
    this.stored = stored;
    this.firstUncertain = firstUncertain;
    this.failed = failed;
    this.failures = failures;
  }

  override get name(): string {
    return "PublishManyError";
  }
}

/** @internal What a text of the streaming server means for the request that it answers. */
export type AnswerClass =
  /** The server refuses, and a second request does not help. */
  | "permanent"
  /** The server refuses for now: the client asks again. It is unknown whether the request was carried out. */
  | "transient"
  /** The server does not know this session. */
  | "session-lost"
  /** A live client with this client ID answered the server. */
  | "in-use"
  /** The durable has a subscription already. */
  | "duplicate-durable"
  /** The server does not know the subscription that the request would close. */
  | "gone";

// The texts of nats-streaming-server 0.25.6, each seen. A text that is not listed is transient: one request too many
// does less harm than a client that gives up because of a full disk.
const CLASSES: readonly (readonly [RegExp, AnswerClass])[] = [
  [/^stan: clientID already registered/, "in-use"],
  [/^client has been replaced or is no longer registered|^stan: unknown clientID/, "session-lost"],
  [/^stan: duplicate durable registration/, "duplicate-durable"],
  [/^stan: (unknown channel|invalid subscription$)/, "gone"],
  [/^stan: channel is being deleted/, "transient"],
  [/^stan: invalid subscription request/, "transient"],
  [/^stan: (invalid|clientID missing|durable name)/, "permanent"],
  [/^too many (channels|subscriptions per channel)/, "permanent"],
  [/^rejecting channel /, "permanent"],
  [/: file name too long/, "permanent"],
];

/** @internal The class of a text that the streaming server answered with. */
export function classify(text: string): AnswerClass {
  return CLASSES.find(([pattern]) => pattern.test(text))?.[1] ?? "transient";
}
