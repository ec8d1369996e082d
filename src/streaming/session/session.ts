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
 * What a ping says of a session. Only `gone` is final: `nobody` (a 503: no leader, a standby, a server that is down)
 * and `silent` mean that nobody in charge was reached; `denied`, that the NATS server does not let us ask.
 */
export type Verdict = "alive" | "gone" | "no-responders" | "timeout" | "denied";

/**
 * One registration with the streaming server: its client ID, a connection ID and a heartbeat inbox, both fresh. It
 * outlives connections; whether it is still known is for the server to say, to a ping.
 */
export class Session {
  readonly connId = nuid();
  readonly #inbox: string;
  readonly #settings: Settings;
  #subjects: ConnectResponse | undefined;
  #mayPing = true;
  #heard: { connection: Connection; sid: number } | undefined;
  #denied: NatsError | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#inbox = `${settings.inboxPrefix}.${nuid()}`;
  }

  /** The subjects that the server gave out; they differ from server to server. */
  get subjects(): ConnectResponse {
    if (this.#subjects === undefined) throw new Error("not registered");
    return this.#subjects;
  }

  /** False for a server of protocol 0, and once a ping was denied: nothing tells whether such a session still lives. */
  get canPing(): boolean {
    return this.#mayPing && this.#subjects !== undefined && this.#subjects.pingRequests !== "";
  }

  /** Answers heartbeats on this connection from now on. */
  open(connection: Connection): void {
    this.#heard = { connection, sid: connection.subscribe(this.#inbox, this.#heartbeats(connection)) };
  }

  /** Never answers a heartbeat again: an answer would keep the server from registering anybody else under the client ID. */
  abandon(): void {
    this.#heard?.connection.unsubscribe(this.#heard.sid);
    this.#heard = undefined;
  }

  /**
   * Registers: the heartbeat inbox is open and known to the server before it is asked. Once `ending` has ended nothing is
   * asked. Rejects with a `StreamingError`; the session must then be abandoned, since the request may still be carried out.
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
      if (!(await settledWithin(requestTimeout, flushed, ending))) throw new NatsError("TIMEOUT", `no PONG within ${requestTimeout} ms`);
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

  /** Asks whether the server knows this session. Never rejects. */
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
   * Takes leave, so that the server need not find out by missing heartbeats. Only for a session known to be alive: the
   * request carries nothing but the client ID, and would end a successor's session as well. Never rejects.
   */
  async close(connection: Connection): Promise<void> {
    const request = encode(CloseRequest, { clientID: this.#settings.clientId });
    try {
      await connection.request(this.subjects.closeRequests, request, this.#settings.requestTimeout, CloseResponse.read);
    } catch {
      // The server will miss the heartbeats.
    }
    this.abandon();
  }

  #heartbeats(connection: Connection): Receiver {
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

/** The subjects come from a peer and go back onto the wire: an answer with impossible ones is no answer. */
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

/** What is not refused for good (seen: the words of raft, while there is no leader) is nobody's answer, and passes. */
function codeOf(answer: AnswerClass): StreamingErrorCode {
  if (answer === "in-use") return "CLIENT_ID_IN_USE";
  return answer === "permanent" ? "REFUSED" : "NO_SERVER";
}

function notRegistered(settings: Settings, error: unknown): StreamingError {
  const { clientId, clusterId } = settings;
  const reason = error instanceof NatsError ? error.reason : "an unexpected failure";
  switch (error instanceof NatsError ? error.code : undefined) {
    case "NO_RESPONDERS":
      return new StreamingError("NO_SERVER", `register ${clientId}: no streaming server answers for cluster ID ${clusterId}`, error);
    case "TIMEOUT":
      return new StreamingError("NO_SERVER", `register ${clientId}: no answer from a streaming server of cluster ID ${clusterId}`, error);
    case "PERMISSIONS":
      return new StreamingError("NOT_PERMITTED", `register ${clientId}: ${reason}`, error);
    default:
      return new StreamingError("CONNECT_FAILED", `register ${clientId}: ${reason}`, error);
  }
}
