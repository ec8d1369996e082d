import { createServer, type Server } from "node:net";

/**
 * TCP ports of 127.0.0.1 that nothing listens on. They are below the range that systems take client ports from: a
 * client that keeps dialling a port of that range while its server is down sooner or later gets the same number for its
 * own end and connects to itself.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const { server, port } = await listen();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    ports.add(port);
  }
  return [...ports];
}

/** A TCP server that listens on 127.0.0.1, on the given or a free port. */
export async function listen(port?: number): Promise<{ server: Server; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const chosen = port ?? randomPort();
    const server = createServer({ noDelay: true });
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(chosen, "127.0.0.1", resolve);
      });
      return { server, port: chosen };
    } catch (error) {
      if (port !== undefined || attempt === 20) throw error;
    }
  }
}

/** "from-to" in TEST_PORTS: two runs at once on one machine need ports of their own, since a server that restarts wants its own again. */
const [from, to] = (process.env["TEST_PORTS"] ?? "10000-31999").split("-").map(Number);

function randomPort(): number {
  return from + Math.floor(Math.random() * (to - from + 1));
}
