import type { Socket } from "node:net";
import { builtin } from "../core-nats/builtin.ts";

export type { Socket } from "node:net";

/** A TCP port that accepts connections. */
export interface Listener {
  readonly port: number;
  /** Accepts no more connections. Resolves when the accepted ones are closed, too. */
  close(): Promise<void>;
}

/** Listens; rejects with the host's error. Port 0 stands for a free port. The server meets the network here. */
export async function listen(host: string, port: number, accept: (socket: Socket) => void): Promise<Listener> {
  for (let tries = 1; ; tries++) {
    // The host would choose from the range of outgoing connections. There a client that keeps dialling while nobody
    // listens may connect to itself.
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
