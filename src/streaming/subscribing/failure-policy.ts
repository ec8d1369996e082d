import { clearTimeout, setTimeout } from "../../core-nats/clock.ts";
import type { Message, Verdict } from "./message.ts";
import { deadLetterReply } from "./dead-letter.ts";

/**
 * Where dead letters go: the name of a channel that they are published to; or a function that stores them elsewhere.
 * The function gets the message, what its last run threw (or the `reason` of `term`), and the number of deliveries. If
 * it returns a promise, the client waits for it. If it throws, or the promise rejects, the client calls it again later.
 */
export type DeadLetterTarget = string | ((message: Message, error: unknown, deliveries: number) => unknown);

/** @internal What is set for messages that fail. */
export interface FailureSettings {
  /**
   * Milliseconds before each run after the first one; the last one repeats. Empty: the server sends the message again.
   */
  readonly backoff: readonly number[];
  /** Whether the delays vary by up to 10 %. */
  readonly jitter: boolean;
  /** After how many runs a message goes to the dead letters; Infinity: never. */
  readonly maxDeliver: number;
  readonly deadLetter: DeadLetterTarget | undefined;
}

/** @internal What becomes of messages that failed. */
export interface FailureEvents {
  /** How often others may have run the message: earlier processes, and members of the group. */
  runsElsewhere(message: Message): number;
  /** The message is to be run again, now. */
  again(message: Message): void;
  /** It is in the dead letters. `replyKept` is false if its reply did not fit into the dead letter. */
  buried(message: Message, error: unknown, deliveries: number, replyKept: boolean): void;
  /** It could not be put into the dead letters, which is tried again. */
  notStored(message: Message, error: unknown): void;
}

/**
 * @internal What becomes of a message: it runs again after `delay`, for the first time or not; or it goes to the dead
 * letters.
 */
export interface Decision {
  readonly delay: number | undefined;
  readonly deliveries: number;
  readonly isFirst: boolean;
}

/** How often a message was run. */
export interface History {
  /** How often others may have run it before this process first did. */
  readonly before: number;
  /** How often this process ran it. */
  runs: number;
}

interface Waiting {
  readonly message: Message;
  readonly timer: Timer | undefined;
}

/** The first delay before a dead letter is tried to be stored again, and the longest, in milliseconds. */
const FIRST_STORE_DELAY = 250;
const LONGEST_STORE_DELAY = 30_000;
const JITTER = 0.1;
/** How many failed messages are remembered that others may have finished. */
const MOST_HISTORIES = 65_536;

/** @internal Publishes a dead letter, and resolves when the server has stored it. */
type Publish = (channel: string, data: Uint8Array, reply: string) => Promise<void>;

/**
 * @internal Decides what becomes of the messages of one subscription that failed: run again after a while, or put into
 * the dead letters.
 */
export class FailurePolicy {
  readonly #settings: FailureSettings;
  readonly #publish: Publish;
  readonly #events: FailureEvents;
  readonly #histories: Map<number, History>;
  readonly #waiting = new Map<number, Waiting>();
  /** The dead letters that are being stored. */
  readonly #stores = new Set<Promise<void>>();
  #stopped = false;

  /** The members of a queue group in one client share the `histories`, by sequence. */
  constructor(settings: FailureSettings, histories: Map<number, History>, publish: Publish, events: FailureEvents) {
    this.#settings = settings;
    this.#histories = histories;
    this.#publish = publish;
    this.#events = events;
  }

  /** How many messages wait to be run again, or to be stored as a dead letter. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Whether the message was given to handlers as often as it may, by this process and those before: it is not run
   * again.
   */
  isSpent(message: Message): boolean {
    // As most are.
    if (message.redeliveryCount === 0 && this.#histories.size === 0) return false;
    return this.#deliveriesOf(message) >= this.#settings.maxDeliver;
  }

  /** Puts a message into the dead letters that is not to be run any more. */
  bury(message: Message, error: unknown): void {
    this.#store(message, error, FIRST_STORE_DELAY);
  }

  /** The message finds no room: its next delivery counts for no run. */
  turnedAway(message: Message): void {
    this.#historyOf(message);
  }

  /** A run has failed, and the server sends the message again in any case. Returns how often it was run. */
  count(message: Message): History {
    const history = this.#historyOf(message);
    history.runs++;
    return history;
  }

  /**
   * A run has failed, or the handler has asked for something. Returns what becomes of the message, which stays here; or
   * undefined if the server sends it again.
   */
  ran(message: Message, error: unknown, verdict: Verdict | undefined): Decision | undefined {
    const history = this.count(message);
    const { maxDeliver, deadLetter } = this.#settings;
    const deliveries = history.before + history.runs;
    const isTerm = verdict !== undefined && "term" in verdict;
    if (deadLetter !== undefined && (isTerm || deliveries >= maxDeliver)) {
      this.#store(message, isTerm ? (verdict.term ?? error) : error, FIRST_STORE_DELAY);
      return { delay: undefined, deliveries, isFirst: false };
    }
    const nak = verdict !== undefined && "nak" in verdict ? verdict.nak : undefined;
    const delay = nak ?? this.#backoff(history.runs);
    if (delay === undefined || isTerm) return undefined;
    this.#wait(message, delay, () => this.#events.again(message));
    return { delay, deliveries, isFirst: history.runs === 1 };
  }

  /** The messages whose dead letters are being stored. */
  get storing(): readonly Message[] {
    return [...this.#waiting.values()].filter(({ timer }) => timer === undefined).map(({ message }) => message);
  }

  /** Resolves when the dead letters that are being stored are stored, or could not be. */
  async stored(): Promise<void> {
    await Promise.all(this.#stores);
  }

  /** The message is finished: nothing of it is remembered. Returns it if it was waiting. */
  finished(sequence: number): Message | undefined {
    if (this.#histories.size > 0) this.#histories.delete(sequence);
    return this.#waiting.size > 0 ? this.#take(sequence) : undefined;
  }

  /** Runs nothing again. Returns the messages that were waiting for it; what is being stored goes on. */
  stop(): Message[] {
    this.#stopped = true;
    const waiting = [...this.#waiting.values()].filter(({ timer }) => timer !== undefined);
    for (const { message } of waiting) this.#take(message.sequence);
    return waiting.map(({ message }) => message);
  }

  /** Runs and stores nothing more: the channel was reset, or the subscription has ended. Returns what was waiting. */
  clear(): Message[] {
    const messages = [...this.#waiting.values()].map(({ message }) => message);
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
    return messages;
  }

  #deliveriesOf(message: Message): number {
    const history = this.#histories.get(message.sequence);
    return history === undefined ? this.#events.runsElsewhere(message) : history.before + history.runs;
  }

  // Why: docs/decisions.md#counting-the-runs-of-a-message
  #historyOf(message: Message): History {
    const { sequence } = message;
    let history = this.#histories.get(sequence);
    if (history === undefined) {
      history = { before: this.#events.runsElsewhere(message), runs: 0 };
      if (this.#histories.size >= MOST_HISTORIES) this.#histories.delete(this.#histories.keys().next().value!);
      this.#histories.set(sequence, history);
    }
    return history;
  }

  #backoff(runs: number): number | undefined {
    const { backoff, jitter } = this.#settings;
    const delay = backoff[Math.min(runs, backoff.length) - 1];
    return delay === undefined || !jitter ? delay : delay * (1 - JITTER + 2 * JITTER * Math.random());
  }

  #wait(message: Message, delay: number, due: () => void): void {
    const { sequence } = message;
    const timer = setTimeout(() => {
      this.#waiting.delete(sequence);
      due();
    }, delay);
    this.#waiting.set(sequence, { message, timer });
  }

  #take(sequence: number): Message | undefined {
    const waiting = this.#waiting.get(sequence);
    clearTimeout(waiting?.timer);
    this.#waiting.delete(sequence);
    return waiting?.message;
  }

  // Why: docs/decisions.md#a-dead-letter-is-stored-first
  #store(message: Message, error: unknown, delay: number): void {
    const { sequence } = message;
    const waiting: Waiting = { message, timer: undefined };
    this.#waiting.set(sequence, waiting);
    const deliveries = this.#deliveriesOf(message);
    const stored = this.#deliver(message, error, deliveries).then(
      (replyKept) => {
        if (this.#waiting.get(sequence) !== waiting) return;
        this.#waiting.delete(sequence);
        this.#events.buried(message, error, deliveries, replyKept);
      },
      (failure: unknown) => {
        if (this.#waiting.get(sequence) !== waiting || this.#stopped) return;
        this.#events.notStored(message, failure);
        this.#wait(message, delay, () => this.#store(message, error, Math.min(2 * delay, LONGEST_STORE_DELAY)));
      },
    );
    this.#stores.add(stored);
    void stored.then(() => this.#stores.delete(stored));
  }

  async #deliver(message: Message, error: unknown, deliveries: number): Promise<boolean> {
    const { deadLetter } = this.#settings;
    if (typeof deadLetter === "function") {
      await deadLetter(message, error, deliveries);
      return true;
    }
    const { reply, replyKept } = deadLetterReply(message, deliveries, textOfError(error));
    await this.#publish(deadLetter!, message.data, reply);
    return replyKept;
  }
}

/** What was thrown may be anything, and may refuse to be text. After `nak` and `term` there may be none. */
function textOfError(error: unknown): string {
  if (error === undefined) return "";
  try {
    const { message } = Object(error) as { message?: unknown };
    return typeof message === "string" ? message : String(error);
  } catch {
    return "something that has no text";
  }
}
