import type { Socket } from "node:net";
import { builtin } from "../core-nats/builtin.ts";

export type { Socket } from "node:net";

/** A TCP port that takes connections. */
export interface Listener {
  readonly port: number;
  /** Takes no more connections. Resolves when those that it took are gone too. */
  close(): Promise<void>;
}

/** Listens; rejects with the host's error. Port 0: a free one. This is where the embedded server meets the network. */
export async function listen(host: string, port: number, accept: (socket: Socket) => void): Promise<Listener> {
  for (let tries = 1; ; tries++) {
    // Not left to the host: it would choose from the range of outgoing connections, in which a client that keeps
    // dialling while nobody listens may meet itself.
    const chosen = port === 0 ? 10_000 + Math.floor(Math.random() * 20_000) : port;
    const server = builtin.net.createServer({ noDelay: true }).on("connection", accept);
    try {
      await new Promise<void>((resolve, reject) => server.on("error", reject).listen(chosen, host, resolve));
      return { port: chosen, close: () => new Promise((resolve) => server.close(() => resolve())) };
    } catch (error) {
      if (port !== 0 || tries === 20) throw error;
    }
  }
}
