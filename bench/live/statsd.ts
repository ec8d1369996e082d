import { createSocket } from "node:dgram";
import type { Socket } from "node:dgram";

const encoder = new TextEncoder();

/** Sends statsd counters over UDP: "NAME:COUNT|c", several in a packet, a line for each. */
export class Statsd {
  readonly #socket: Socket;
  readonly #host: string;
  readonly #port: number;
  readonly #sent = new Map<string, number>();

  /** `address` is HOST:PORT, by the host's number. */
  constructor(address: string) {
    const parts = /^([\d.]+):(\d{1,5})$/.exec(address);
    if (parts === null) throw new Error(`a statsd server is 127.0.0.1:8125 or the like, not ${address}`);
    this.#host = parts[1]!;
    this.#port = Number(parts[2]);
    this.#socket = createSocket("udp4");
    // Nobody listens: statistics are no reason to end.
    this.#socket.on("error", () => undefined);
  }

  /** Counts by how much each total has grown since the last call. Resolves when the packet has been handed to the system. */
  send(totals: { readonly [name: string]: number }): Promise<void> {
    const lines: string[] = [];
    for (const [name, total] of Object.entries(totals)) {
      const count = total - (this.#sent.get(name) ?? 0);
      if (count > 0) lines.push(`${name}:${count}|c`);
      this.#sent.set(name, total);
    }
    if (lines.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#socket.send(encoder.encode(lines.join("\n")), this.#port, this.#host, () => resolve()));
  }

  close(): void {
    this.#socket.close();
  }
}
