import { createSocket } from "node:dgram";
import type { Socket } from "node:dgram";

const encoder = new TextEncoder();

/** Sends statsd counters by UDP: each counter is a line "NAME:COUNT|c", and a packet holds several lines. */
export class Statsd {
  readonly #socket: Socket;
  readonly #host: string;
  readonly #port: number;
  readonly #sent = new Map<string, number>();

  /** `address` is HOST:PORT, where HOST is an IPv4 address. */
  constructor(address: string) {
    const parts = /^([\d.]+):(\d{1,5})$/.exec(address);
    if (parts === null) throw new Error(`a statsd server is 127.0.0.1:8125 or the like, not ${address}`);
    this.#host = parts[1]!;
    this.#port = Number(parts[2]);
    this.#socket = createSocket("udp4");
    // A statsd server that does not listen must not end the program.
    this.#socket.on("error", () => undefined);
  }

  /** Sends how much each total has grown since the last call. Resolves when the system has taken the packet. */
  send(totals: { readonly [name: string]: number }): Promise<void> {
    const lines: string[] = [];
    for (const [name, total] of Object.entries(totals)) {
      const count = total - (this.#sent.get(name) ?? 0);
      if (count > 0) lines.push(`${name}:${count}|c`);
      this.#sent.set(name, total);
    }
    if (lines.length === 0) return Promise.resolve();
    const packet = encoder.encode(lines.join("\n"));
    return new Promise((resolve) => this.#socket.send(packet, this.#port, this.#host, () => resolve()));
  }

  close(): void {
    this.#socket.close();
  }
}
