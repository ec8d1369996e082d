import { connect, type Server, type Socket } from "node:net";
import { bytesOf, concat } from "./bytes.ts";
import type { Frame } from "./frames.ts";
import { Link } from "./link.ts";
import { listen } from "./ports.ts";

/** A minimal NATS client that shares nothing with the library. It answers PINGs by itself. */
export class RawClient extends Link {
  #sid = 0;
  #inbox = "";

  private constructor(socket: Socket) {
    super(socket, (frame) => {
      if (frame.verb === "PING") this.send("PONG\r\n");
    });
  }

  /** Opens a link only; nothing is sent. */
  static dial(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, noDelay: true });
      const client = new RawClient(socket);
      socket.once("connect", () => resolve(client));
      socket.once("error", reject);
    });
  }

  /** Opens a link and introduces itself; resolves once the server has accepted. */
  static async connect(port: number, fields: Record<string, unknown> = {}): Promise<RawClient> {
    const client = await RawClient.dial(port);
    await client.next(/^INFO /);
    const said = { verbose: false, pedantic: false, protocol: 1, headers: true, no_responders: true, ...fields };
    client.send(`CONNECT ${JSON.stringify(said)}\r\n`);
    await client.flush();
    return client;
  }

  /** Resolves once the server has handled all that was sent before. */
  async flush(): Promise<void> {
    this.send("PING\r\n");
    await this.next(/^PONG/);
  }

  publish(subject: string, payload: string | Uint8Array = "", reply = ""): void {
    const bytes = bytesOf(payload);
    const head = `PUB ${subject} ${reply === "" ? "" : `${reply} `}${bytes.length}\r\n`;
    this.send(concat([bytesOf(head), bytes, bytesOf("\r\n")]));
  }

  /** Subscribes and returns the sid. */
  subscribe(subject: string, queue = ""): string {
    const sid = String(++this.#sid);
    this.send(`SUB ${subject} ${queue === "" ? "" : `${queue} `}${sid}\r\n`);
    return sid;
  }

  /** Publishes with a reply subject of its own and takes the answer: a MSG, or the HMSG of a 503. */
  request(subject: string, payload: string | Uint8Array = ""): Promise<Frame> {
    if (this.#inbox === "") {
      this.#inbox = `_INBOX.raw${Math.random().toString(36).slice(2)}`;
      this.subscribe(`${this.#inbox}.*`);
    }
    const reply = `${this.#inbox}.${++this.#sid}`;
    this.publish(subject, payload, reply);
    return this.next((frame) => frame.subject === reply);
  }
}

/** The server's end of a link to a `FakeServer`. */
export class FakeLink extends Link {
  constructor(socket: Socket, onFrame: (frame: Frame, link: FakeLink) => void) {
    super(socket, (frame) => onFrame(frame, this));
  }

  /** Delivers a message, as a server does. */
  deliver(sid: string, subject: string, payload: string | Uint8Array = "", reply = ""): void {
    const bytes = bytesOf(payload);
    const head = `MSG ${subject} ${sid} ${reply === "" ? "" : `${reply} `}${bytes.length}\r\n`;
    this.send(concat([bytesOf(head), bytes, bytesOf("\r\n")]));
  }

  /** Tells that nobody listens on the subject of a publish with this reply subject. */
  noResponders(sid: string, reply: string): void {
    this.send(`HMSG ${reply} ${sid} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n`);
  }
}

/** How a `FakeServer` behaves. */
export interface FakeServerOptions {
  readonly port?: number | undefined;
  /**
   * Fields of INFO beyond the usual ones; it then greets and answers CONNECT (when verbose) and PING by itself.
   * False: it says nothing unless told to.
   */
  readonly greet?: Record<string, unknown> | false | undefined;
  /** Called for each frame, before it can be taken by `next`. */
  readonly onFrame?: ((frame: Frame, link: FakeLink) => void) | undefined;
}

/** A scripted NATS server, for what a real one does not do on demand. */
export class FakeServer {
  readonly port: number;
  /** All links so far, in order, closed ones too. */
  readonly links: FakeLink[] = [];
  readonly #server: Server;
  #taken = 0;
  #waiting: (() => void)[] = [];

  private constructor(server: Server, port: number, options: FakeServerOptions) {
    this.#server = server;
    this.port = port;
    server.on("connection", (socket) => {
      const link = new FakeLink(socket, (frame, link) => {
        if (options.greet !== false) answer(frame, link);
        options.onFrame?.(frame, link);
      });
      if (options.greet !== false) link.send(`INFO ${JSON.stringify({ ...usualInfo, port, ...options.greet })} \r\n`);
      this.links.push(link);
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
  }

  /** Starts to listen on 127.0.0.1. By default it greets and answers CONNECT and PING by itself. */
  static async start(options: FakeServerOptions = {}): Promise<FakeServer> {
    const { server, port } = await listen(options.port);
    return new FakeServer(server, port, options);
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** The next link that has not been asked for, open already or still to come. */
  async link(): Promise<FakeLink> {
    const at = this.#taken++;
    while (this.links.length <= at) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.links[at]!;
  }

  /** Ends all links and listens no more. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const link of this.links) link.destroy();
    await closed;
  }
}

const usualInfo = {
  server_id: "FAKE",
  version: "2.10.29",
  proto: 1,
  host: "127.0.0.1",
  headers: true,
  max_payload: 1048576,
};

function answer(frame: Frame, link: FakeLink): void {
  if (frame.verb === "PING") link.send("PONG\r\n");
  if (frame.verb !== "CONNECT") return;
  const { verbose = true } = JSON.parse(frame.rest) as { verbose?: boolean };
  if (verbose) link.send("+OK\r\n");
}
