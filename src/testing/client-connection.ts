import { Outbox } from "../core-nats/outbox.ts";
import { encoder } from "../core-nats/text.ts";
import type { Socket } from "./listener.ts";
import { Violation, digits, json, parse, words } from "./operations.ts";
import { covers, isSubject } from "./subjects.ts";
import type { Interest, Subjects } from "./subjects.ts";

/** One client's connection, as the NATS server has it. */
export class ClientConnection {
  readonly #socket: Socket;
  readonly #subjects: Subjects;
  readonly #traffic: () => void;
  readonly #outbox: Outbox;
  readonly #maxPayload: number;
  /** The bytes that came in and are not a whole operation yet. */
  #left = new Uint8Array(0);
  readonly #interests = new Map<string, Interest & { delivered: number; max: number }>();
  readonly #pongs: (() => void)[] = [];
  #ended = false;
  #connected = false;
  #noResponders = false;

  /** Sends INFO. Calls `traffic` for every operation but PING and PONG, and `closed` when the socket is closed. */
  constructor(
    socket: Socket,
    subjects: Subjects,
    info: { max_payload: number },
    traffic: () => void,
    closed: () => void,
  ) {
    this.#socket = socket;
    this.#subjects = subjects;
    this.#traffic = traffic;
    this.#outbox = new Outbox({ write: (bytes, written) => socket.write(bytes, written) }, () => {});
    this.#maxPayload = info.max_payload;
    this.#outbox.line(`INFO ${JSON.stringify(info)} `);
    socket.on("data", (bytes) => this.#parse(bytes));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.cut();
      closed();
    });
  }

  /** Whether the client would get what is published to this subject. */
  hears(subject: string): boolean {
    return [...this.#interests.values()].some((interest) => covers(interest.subject, subject));
  }

  /** Resolves when the client has taken everything that it was sent, as its PONG says, or when the connection ends. */
  reached(): Promise<void> {
    if (!this.#connected || this.#ended) return Promise.resolve();
    this.#outbox.line("PING");
    return new Promise((resolve) => this.#pongs.push(resolve));
  }

  /** Sends exactly these bytes, behind everything that was sent before. */
  send(bytes: Uint8Array): void {
    this.#outbox.flush();
    this.#socket.write(bytes);
  }

  /** While paused it reads nothing. */
  pause(paused: boolean): void {
    if (paused) this.#socket.pause();
    else this.#socket.resume();
  }

  /** Ends the connection now. Sends nothing more. */
  cut(): void {
    this.#end();
    this.#socket.destroy();
  }

  #parse(chunk: Uint8Array): void {
    if (this.#ended) return;
    const bytes = new Uint8Array(this.#left.length + chunk.length);
    bytes.set(this.#left);
    bytes.set(chunk, this.#left.length);
    try {
      this.#left = bytes.slice(parse(bytes, this.#maxPayload, this.#perform));
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      if (error.message !== "") this.#outbox.line(`-ERR '${error.message}'`);
      this.#outbox.flush();
      this.#end();
      this.#socket.end();
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#outbox.close();
    for (const interest of this.#interests.values()) this.#subjects.remove(interest);
    this.#interests.clear();
    for (const resolve of this.#pongs) resolve();
  }

  readonly #perform = (verb: string, rest: string, payload: Uint8Array): void => {
    if (verb === "PONG") this.#pongs.shift()?.();
    else if (verb === "PING") this.#outbox.line("PONG");
    else if (verb === "CONNECT") this.#connect(json(rest));
    else if (verb === "-ERR") throw new Violation("");
    else if (verb === "PUB" || verb === "SUB" || verb === "UNSUB") {
      this.#traffic();
      const [first, ...others] = words(rest, verb === "UNSUB" ? 1 : 2, verb === "UNSUB" ? 2 : 3);
      const optional = others.length === 2 ? others[0] : "";
      if (verb === "PUB") this.#publish(first, optional, payload);
      else if (verb === "SUB") this.#subscribe(first, optional, others.at(-1)!);
      else this.#unsubscribe(first, digits(others[0] ?? "0"));
    } else if (verb !== "INFO" && verb !== "+OK") throw new Violation("Unknown Protocol Operation");
  };

  #connect({ protocol = 0, headers, no_responders }: Record<string, unknown>): void {
    if (protocol !== 0 && protocol !== 1) throw new Violation("invalid client protocol");
    if (no_responders === true && headers !== true) throw new Violation("no responders requires headers support");
    this.#noResponders = no_responders === true;
    this.#connected = true;
  }

  #publish(subject: string, reply: string, payload: Uint8Array): void {
    const reached = this.#subjects.publish(subject, reply, payload);
    if (reached > 0 || reply === "" || !this.#noResponders) return;
    // The requester gets a 503 if it has a subscription of its own for the answer.
    const own = [...this.#interests].find(([, interest]) => interest.queue === "" && covers(interest.subject, reply));
    if (own !== undefined) this.#outbox.line(`HMSG ${reply} ${own[0]} 16 16\r\nNATS/1.0 503\r\n\r\n`);
  }

  #subscribe(subject: string, queue: string, sid: string): void {
    if (!isSubject(subject)) return this.#outbox.line("-ERR 'Invalid Subject'");
    if (this.#interests.has(sid)) return;
    const deliver = (to: string, reply: string, payload: Uint8Array): void => {
      if (++interest.delivered === interest.max) this.#remove(sid, interest);
      this.#message(`MSG ${to} ${sid} ${reply === "" ? "" : `${reply} `}`, payload);
    };
    const interest = { subject, queue, delivered: 0, max: 0, deliver };
    this.#interests.set(sid, interest);
    this.#subjects.add(interest);
  }

  /** Ends an interest after `max` messages since its SUB. 0 ends it now. */
  #unsubscribe(sid: string, max: number): void {
    const interest = this.#interests.get(sid);
    if (interest === undefined) return;
    interest.max = max;
    if (interest.delivered >= max) this.#remove(sid, interest);
  }

  #remove(sid: string, interest: Interest): void {
    this.#interests.delete(sid);
    this.#subjects.remove(interest);
  }

  #message(head: string, payload: Uint8Array): void {
    this.#traffic();
    this.#outbox.pub(encoder.encode(head), payload);
  }
}
