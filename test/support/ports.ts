import { createServer, type Server } from "node:net";

/**
 * The ports of 127.0.0.1 that tests use, "from-to". They are below the range that systems take client ports from: a
 * client that keeps dialling a port of that range while its server is down sooner or later gets the same number for its
 * own end and connects to itself. And they are above those that the embedded server chooses from.
 */
const [FIRST, LAST] = (process.env["TEST_PORTS"] ?? "30000-32699").split("-").map(Number);

/**
 * The ports are shared out to processes in blocks, since a server that is down wants its own again: with ports that
 * anybody takes at random, another run on the same machine took one now and then (seen: the route port of a cluster's
 * member, which then died right after its start, so that the next leader that was killed had no successor). A process
 * that listens on a block's first port has the block, for as long as it lives.
 */
const BLOCK = 50;

/** The ports of all blocks that this process has, in the order in which they are given out. */
const ports: number[] = [];
const held: Server[] = [];
let given = 0;

/**
 * TCP ports of 127.0.0.1 that nothing listens on, and that no other run of tests takes. Each call gives others, as long
 * as there are any.
 */
export async function freePorts(count: number): Promise<number[]> {
  const free: number[] = [];
  while (free.length < count) {
    const { server, port } = await listen();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    free.push(port);
  }
  return free;
}

/** A TCP server that listens on 127.0.0.1, on the given or a free port. */
export async function listen(port?: number): Promise<{ server: Server; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const chosen = port ?? (await nextPort());
    try {
      return { server: await listenOn(chosen), port: chosen };
    } catch (error) {
      if (port !== undefined || attempt === 2 * BLOCK) throw error;
    }
  }
}

async function nextPort(): Promise<number> {
  if (given === ports.length) await takeBlock();
  // Where there is no other block, the oldest ones again.
  if (given === ports.length) given = 0;
  return ports[given++]!;
}

/** Takes a block that nobody has, if there is one. */
async function takeBlock(): Promise<void> {
  const count = Math.floor((LAST! - FIRST! + 1) / BLOCK);
  const start = Math.floor(Math.random() * count);
  for (let i = 0; i < count; i++) {
    const first = FIRST! + ((start + i) % count) * BLOCK;
    try {
      held.push((await listenOn(first)).unref());
    } catch {
      continue;
    }
    for (let port = first + 1; port < first + BLOCK; port++) ports.push(port);
    return;
  }
  if (ports.length === 0) throw new Error(`all blocks of the ports ${FIRST}-${LAST} are taken (see TEST_PORTS)`);
}

function listenOn(port: number): Promise<Server> {
  const server = createServer({ noDelay: true });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}
