import { sleep } from "../core-nats/async.ts";
import { ClientConnection } from "./client-connection.ts";
import type { Socket } from "./listener.ts";
import type { Subjects } from "./subjects.ts";

/**
 * How many times 10 ms a client has to answer. In pieces: clients are part of this process, and when the process stands
 * still only one of the pieces passes.
 */
const PATIENCE = 10;

/** The connections of all clients. */
export class Connections {
  /** How many operations have come in, but PING and PONG. */
  traffic = 0;
  readonly #subjects: Subjects;
  readonly #all = new Set<ClientConnection>();
  #paused = false;

  constructor(subjects: Subjects) {
    this.#subjects = subjects;
  }

  /** Adds a client's connection, until it ends. `info` is what the server says of itself. */
  add(socket: Socket, info: { max_payload: number }): void {
    const traffic = (): number => this.traffic++;
    const closed = (): boolean => this.#all.delete(connection);
    const connection = new ClientConnection(socket, this.#subjects, info, traffic, closed);
    this.#all.add(connection);
    connection.pause(this.#paused);
  }

  all(): ClientConnection[] {
    return [...this.#all];
  }

  /** While paused they read nothing. */
  pause(paused: boolean): void {
    if (paused !== this.#paused) for (const connection of this.#all) connection.pause(paused);
    this.#paused = paused;
  }

  /** Resolves when all clients have taken what they were sent, or after 100 ms; at once while paused. */
  async reached(): Promise<void> {
    const enough = new AbortController();
    const connections = this.#paused ? [] : this.all();
    const reached = Promise.all(connections.map((connection) => connection.reached())).then(() => enough.abort());
    for (let i = 0; i < PATIENCE && !enough.signal.aborted; i++) {
      await Promise.race([reached, sleep(10, enough.signal)]);
    }
    enough.abort();
  }
}
