import { deferred, noop } from "./async.ts";
import { clearTimeout, setTimeout } from "./clock.ts";
import type { Delivery, Receiver } from "./delivery.ts";
import { NatsError } from "./errors.ts";
import { nuid } from "./nuid.ts";

/** How many requests may wait for a late answer. Most answers never come, so the oldest request is forgotten first. */
const MOST_LATE = 1_000;

/** Reads the bytes from `start` to `end`, and keeps none of them. Throws if they make no sense. */
export type Read<T> = (bytes: Uint8Array, start: number, end: number) => T;

interface Request {
  readonly token: string;
  readonly subject: string;
  readonly timer: Timer;
  /** Reads the answer, which settles the request. */
  read: Read<void>;
  fail: (error: NatsError) => void;
  /** True once it has timed out. The caller knows, and still wants the answer. */
  late: boolean;
}

/**
 * The requests of a connection. One subscription takes the answers to all of them: the reply subject of each ends in a
 * token of its own.
 */
export class Requests implements Receiver {
  readonly #inbox: string;
  readonly #publish: (subject: string, payload: Uint8Array, reply: string) => void;
  readonly #problem: (error: NatsError) => void;
  /** By token. Those that have timed out are in the order in which they did. */
  readonly #open = new Map<string, Request>();
  #lateCount = 0;
  #lastToken = 0;
  /** Why no answer can come any more. */
  #refusal: NatsError | undefined;

  /** `publish` may throw. `problem` gets an error for an answer that cannot be read, and for a denied inbox. */
  constructor(
    inboxPrefix: string,
    publish: (subject: string, payload: Uint8Array, reply: string) => void,
    problem: (error: NatsError) => void,
  ) {
    this.#inbox = `${inboxPrefix}.${nuid()}.`;
    this.#publish = publish;
    this.#problem = problem;
  }

  /** The subject to subscribe to for the answers. */
  get answers(): string {
    return `${this.#inbox}*`;
  }

  /** See `Connection.request`. */
  send<T>(subject: string, payload: Uint8Array, timeout: number, read: Read<T>, late?: Read<void>): Promise<T> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal);
    const { promise, resolve, reject } = deferred<T>();
    const request: Request = {
      token: (++this.#lastToken).toString(36),
      subject,
      timer: setTimeout(() => {
        this.#remove(request);
        if (late !== undefined) this.#expectLate(request, late);
        reject(new NatsError("TIMEOUT", `no answer to a request to ${subject} within ${timeout} ms`));
      }, timeout),
      read: (bytes, start, end) => resolve(read(bytes, start, end)),
      fail: reject,
      late: false,
    };
    this.#open.set(request.token, request);
    try {
      this.#publish(subject, payload, this.#inbox + request.token);
    } catch (error) {
      this.#remove(request);
      reject(error);
    }
    return promise;
  }

  /** Takes an answer. */
  deliver(delivery: Delivery): void {
    const { status, bytes, start, end } = delivery;
    const request = this.#open.get(delivery.subject().slice(this.#inbox.length));
    if (request === undefined) return;
    const { subject } = request;
    if (status !== 0) {
      this.#fail(request, new NatsError("NO_RESPONDERS", `nobody listens on ${subject} (${status})`));
      return;
    }
    try {
      request.read(bytes, start, end);
      this.#remove(request);
    } catch (error) {
      // Anyone who may publish to the inbox can send rubbish: the true answer may still come.
      this.#problem(new NatsError("PROTOCOL", `an answer to a request to ${subject} cannot be read`, error));
    }
  }

  /** The server denied the inbox: no request gets an answer any more. */
  denied(error: NatsError): void {
    this.#refuse(error);
    this.#problem(error);
  }

  /**
   * The server denied a publish to the subject. Fails the newest request to it, since the server processes the
   * publishes of a connection in their order. Returns false if there is none.
   */
  publishDenied(subject: string, error: NatsError): boolean {
    const newest = this.#waiting().reverse().find((request) => request.subject === subject);
    if (newest !== undefined) this.#fail(newest, error);
    return newest !== undefined;
  }

  /** The server denied the reply subject. Fails the request that has it. Returns false if there is none. */
  replyDenied(reply: string, error: NatsError): boolean {
    const request = this.#open.get(reply.slice(this.#inbox.length));
    if (request === undefined || request.late) return false;
    this.#fail(request, error);
    return true;
  }

  /** Fails all requests, those to come included. */
  end(reason: NatsError): void {
    this.#refuse(reason);
    this.#open.clear();
  }

  #refuse(error: NatsError): void {
    this.#refusal = error;
    for (const request of this.#waiting()) this.#fail(request, error);
  }

  /** The requests that have not timed out, in the order in which they were sent. */
  #waiting(): Request[] {
    return [...this.#open.values()].filter(({ late }) => !late);
  }

  #fail(request: Request, error: NatsError): void {
    this.#remove(request);
    request.fail(error);
  }

  #expectLate(request: Request, late: Read<void>): void {
    request.read = late;
    request.fail = noop;
    request.late = true;
    this.#open.set(request.token, request);
    if (++this.#lateCount <= MOST_LATE) return;
    for (const oldest of this.#open.values()) if (oldest.late) return this.#remove(oldest);
  }

  #remove(request: Request): void {
    clearTimeout(request.timer);
    if (this.#open.delete(request.token) && request.late) this.#lateCount--;
  }
}
