import { settledWithin } from "../../core-nats/async.ts";
import type { Connection } from "../../core-nats/connection.ts";
import type { Receiver } from "../../core-nats/delivery.ts";
import { NatsError } from "../../core-nats/errors.ts";
import type { AbortSignalLike } from "../../core-nats/lifetime.ts";
import { nuid } from "../../core-nats/nuid.ts";
import { subjectRule } from "../../core-nats/subject.ts";
import { encoder } from "../../core-nats/text.ts";
import { CloseRequest, CloseResponse, ConnectRequest, ConnectResponse, Ping, PingResponse } from "../../pb/control.ts";
import { encode } from "../../pb/codec.ts";
import { StreamingError, classify } from "../errors.ts";
import type { AnswerClass, StreamingErrorCode } from "../errors.ts";
import type { Settings } from "../settings.ts";

/** The protocol version in which clients ping the server. */
const PROTOCOL = 1;
const EMPTY = new Uint8Array(0);

/**
 * What a ping says about a session. Only `alive` and `gone` are definite. After `no-responders` (a 503: no leader, a
 * standby, a server that is down) and `timeout`, no server in charge was reached. With `denied`, the NATS server does
 * not permit pings.
 */
export type Verdict = "alive" | "gone" | "no-responders" | "timeout" | "denied";

/**
 * A session of the client with the streaming server. It has the client ID, and a connection ID and a heartbeat inbox of
 * its own. It outlives connections. Only a ping tells whether the server still knows it.
 */
export class Session {
  readonly connId = nuid();
  readonly #inbox: string;
  readonly #settings: Settings;
  #subjects: ConnectResponse | undefined;
  #mayPing = true;
  /** The subscription to the heartbeat inbox. */
  #heartbeats: { connection: Connection; sid: number } | undefined;
  #denied: NatsError | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#inbox = `${settings.inboxPrefix}.${nuid()}`;
  }

  /** The subjects that the server gave out. They differ from server to server. */
  get subjects(): ConnectResponse {
    if (this.#subjects === undefined) throw new Error("not registered");
    return this.#subjects;
  }

  /** False with a server of protocol 0, and after a denied ping: no ping tells whether such a session still lives. */
  get canPing(): boolean {
    return this.#mayPing && this.#subjects !== undefined && this.#subjects.pingRequests !== "";
  }

  /** Answers heartbeats on this connection from now on. */
  open(connection: Connection): void {
    this.#heartbeats = { connection, sid: connection.subscribe(this.#inbox, this.#heartbeatReceiver(connection)) };
  }

  /** Never answers a heartbeat again: after an answer the server would register no other session of the client ID. */
  abandon(): void {
    this.#heartbeats?.connection.unsubscribe(this.#heartbeats.sid);
    this.#heartbeats = undefined;
  }

  /**
   * Registers. The NATS server knows the heartbeat inbox before the request leaves. No request leaves after `ending`
   * has ended. Rejects with a `StreamingError`. Then the caller must abandon the session, since the server may still
   * carry out the request.
   */
  async register(connection: Connection, ending: AbortSignalLike): Promise<void> {
    const { clientId, clusterId, discoverPrefix, pingInterval, pingMaxOut, requestTimeout } = this.#settings;
    const request = encode(ConnectRequest, {
      clientID: clientId,
      heartbeatInbox: this.#inbox,
      protocol: PROTOCOL,
      connID: encoder.encode(this.connId),
      pingInterval: pingInterval / 1000,
      pingMaxOut,
    });
    this.open(connection);
    let answer: ConnectResponse;
    try {
      const flushed = connection.flush();
      const inTime = await settledWithin(requestTimeout, flushed, ending);
      if (!inTime) throw new NatsError("TIMEOUT", `no PONG within ${requestTimeout} ms`);
      await flushed;
      if (this.#denied !== undefined) throw this.#denied;
      answer = await connection.request(`${discoverPrefix}.${clusterId}`, request, requestTimeout, readConnectResponse);
    } catch (error) {
      throw notRegistered(this.#settings, error);
    }
    if (answer.error !== "") {
      const code = codeOf(classify(answer.error));
      const hint = code === "CLIENT_ID_IN_USE" ? ": each process needs a client ID of its own" : "";
      throw new StreamingError(code, `register ${clientId}: ${answer.error}${hint}`);
    }
    this.#subjects = answer;
  }

  /** Asks the server whether it knows this session. Never rejects. */
  async ping(connection: Connection, timeout: number): Promise<Verdict> {
    const request = encode(Ping, { connID: encoder.encode(this.connId) });
    try {
      const answer = await connection.request(this.subjects.pingRequests, request, timeout, PingResponse.read);
      return answer.error === "" ? "alive" : "gone";
    } catch (error) {
      const code = error instanceof NatsError ? error.code : undefined;
      if (code === "PERMISSIONS") {
        this.#mayPing = false;
        return "denied";
      }
      return code === "NO_RESPONDERS" ? "no-responders" : "timeout";
    }
  }

  // Why: docs/decisions.md#a-session-is-closed-only-while-it-lives
  /**
   * Tells the server that the session ends. Without it the server finds out by missing heartbeats. Call it only for a
   * session that is alive: the request carries only the client ID, and it would end the session of a successor, too.
   * Never rejects.
   */
  async close(connection: Connection): Promise<void> {
    const request = encode(CloseRequest, { clientID: this.#settings.clientId });
    try {
      await connection.request(this.subjects.closeRequests, request, this.#settings.requestTimeout, CloseResponse.read);
    } catch {
      // The server finds out by missing heartbeats.
    }
    this.abandon();
  }

  #heartbeatReceiver(connection: Connection): Receiver {
    return {
      deliver: (delivery) => {
        const reply = delivery.reply();
        if (subjectRule(reply, false) === undefined) connection.publish(reply, EMPTY);
      },
      denied: (error) => {
        this.#denied = error;
      },
    };
  }
}

/** @throws TypeError for a subject that cannot be one: the client would write the subjects of its peer to the wire */
function readConnectResponse(bytes: Uint8Array, start: number, end: number): ConnectResponse {
  const answer = ConnectResponse.read(bytes, start, end);
  if (answer.error !== "") return answer;
  const { pubPrefix, subRequests, unsubRequests, closeRequests, subCloseRequests, pingRequests } = answer;
  const subjects = [pubPrefix, subRequests, unsubRequests, closeRequests, subCloseRequests];
  if (pingRequests !== "") subjects.push(pingRequests);
  for (const subject of subjects) {
    const rule = subjectRule(subject, false);
    if (rule !== undefined) throw new TypeError(`a subject of the server's ${rule}`);
  }
  return answer;
}

/** The code of a refusal. A refusal that may pass is `NO_SERVER` (seen: texts of raft while there is no leader). */
function codeOf(answer: AnswerClass): StreamingErrorCode {
  if (answer === "in-use") return "CLIENT_ID_IN_USE";
  return answer === "permanent" ? "REFUSED" : "NO_SERVER";
}

function notRegistered(settings: Settings, error: unknown): StreamingError {
  const { clientId, clusterId } = settings;
  const reason = error instanceof NatsError ? error.reason : "an unexpected failure";
  const failure = (code: StreamingErrorCode, text: string): StreamingError =>
    new StreamingError(code, `register ${clientId}: ${text}`, error);
  switch (error instanceof NatsError ? error.code : undefined) {
    case "NO_RESPONDERS":
      return failure("NO_SERVER", `no streaming server answers for cluster ID ${clusterId}`);
    case "TIMEOUT":
      return failure("NO_SERVER", `no answer from a streaming server of cluster ID ${clusterId}`);
    case "PERMISSIONS":
      return failure("NOT_PERMITTED", reason);
    default:
      return failure("CONNECT_FAILED", reason);
  }
}
