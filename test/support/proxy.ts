import { connect, type Server, type Socket } from "node:net";
import { type Frame, Framer } from "./frames.ts";
import { listen } from "./ports.ts";

/** From the client to the server is up. */
export type Direction = "up" | "down";

interface Eater {
  readonly wants: (frame: Frame) => boolean;
  readonly direction: Direction;
  readonly count: number;
  readonly done: (eaten: Frame[]) => void;
  readonly eaten: Frame[];
}

/** A TCP proxy in front of a NATS server, which spoils links on demand. */
export class Proxy {
  readonly port: number;
  readonly #server: Server;
  readonly #targetPort: number;
  readonly #links = new Set<Link>();
  readonly #state: State = { refusing: false, stalled: false, deaf: new Set(), delay: 0, eaters: [] };
  #opened = 0;

  private constructor(server: Server, port: number, targetPort: number) {
    this.#server = server;
    this.port = port;
    this.#targetPort = targetPort;
    server.on("connection", (client) => this.#open(client));
  }

  /** Listens on a free port of 127.0.0.1 and forwards to the target port there. */
  static async start(targetPort: number): Promise<Proxy> {
    const { server, port } = await listen();
    return new Proxy(server, port, targetPort);
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** How many links are open. */
  get links(): number {
    return this.#links.size;
  }

  /** How many links there have been, refused ones not counted. */
  get opened(): number {
    return this.#opened;
  }

  /** Cuts all links; bytes under way are lost. New ones may come. */
  cut(): void {
    for (const link of this.#links) link.destroy();
  }

  /** From now on ends each new link at once. */
  refuse(): void {
    this.#state.refusing = true;
  }

  accept(): void {
    this.#state.refusing = false;
  }

  /** Stops to forward, both ways, new links too. Nothing is lost: bytes wait in the network buffers until `go`. */
  stall(): void {
    this.#state.stalled = true;
    for (const link of this.#links) link.flow();
  }

  go(): void {
    this.#state.stalled = false;
    for (const link of this.#links) link.flow();
  }

  /**
   * Swallows what comes from now on, in one direction or both, on all links: bytes and, as a cable that is cut
   * does, the end of a link.
   */
  blackHole(direction: Direction | "both" = "both"): void {
    if (direction !== "down") this.#state.deaf.add("up");
    if (direction !== "up") this.#state.deaf.add("down");
  }

  /** Forwards what comes from now on later by so many milliseconds, in each direction. Order is kept. */
  delay(milliseconds: number): void {
    this.#state.delay = milliseconds;
  }

  /**
   * Swallows the next `count` frames of a direction that the function wants. Resolves with them once they are eaten.
   * Frames are those of plain NATS; a link with anything else (TLS) is forwarded whole.
   */
  eat(wants: (frame: Frame) => boolean, direction: Direction, count = 1): Promise<Frame[]> {
    return new Promise((done) => this.#state.eaters.push({ wants, direction, count, done, eaten: [] }));
  }

  /**
   * Back to normal: forwards, accepts, does not delay, and eats nothing more. A link that has lost bytes in a black
   * hole is cut, since what follows would not be the protocol.
   */
  heal(): void {
    const state = this.#state;
    state.refusing = false;
    state.deaf.clear();
    state.delay = 0;
    state.eaters.length = 0;
    for (const link of this.#links) if (link.damaged) link.destroy();
    this.go();
  }

  /** Cuts all links and listens no more. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.cut();
    await closed;
  }

  #open(client: Socket): void {
    if (this.#state.refusing) {
      client.on("error", () => undefined);
      client.resetAndDestroy();
      return;
    }
    this.#opened++;
    const server = connect({ host: "127.0.0.1", port: this.#targetPort, noDelay: true });
    const link: Link = new Link(client, server, this.#state, () => this.#links.delete(link));
    this.#links.add(link);
  }
}

/** What the proxy does at the moment; shared by its links. */
interface State {
  refusing: boolean;
  stalled: boolean;
  readonly deaf: Set<Direction>;
  delay: number;
  readonly eaters: Eater[];
}

/** A client's link and its continuation to the server. When one end ends, so does the other. */
class Link {
  readonly #ends: readonly Socket[];
  readonly #state: State;
  readonly #streams: readonly Stream[];

  constructor(client: Socket, server: Socket, state: State, gone: () => void) {
    this.#ends = [client, server];
    this.#state = state;
    this.#streams = [new Stream("up", client, server, state), new Stream("down", server, client, state)];
    for (const end of this.#ends) {
      end.on("error", () => undefined);
      end.on("close", () => {
        if (this.#ends.every((end) => end.destroyed)) gone();
      });
    }
    this.flow();
  }

  /** Whether bytes were swallowed in the midst of the stream. */
  get damaged(): boolean {
    return this.#streams.some((stream) => stream.damaged);
  }

  /** Reads, unless stalled. */
  flow(): void {
    for (const end of this.#ends) {
      if (this.#state.stalled) end.pause();
      else end.resume();
    }
  }

  destroy(): void {
    for (const end of this.#ends) end.destroy();
  }
}

/** The bytes of one direction of a link. */
class Stream {
  damaged = false;
  readonly #direction: Direction;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #state: State;
  /** Undefined once the bytes turned out not to be the NATS protocol. */
  #framer: Framer | undefined = new Framer();
  /** How many bytes of the incomplete frame are forwarded already. */
  #ahead = 0;
  #delayed = 0;
  #lastDelayed: Promise<void> = Promise.resolve();

  constructor(direction: Direction, from: Socket, to: Socket, state: State) {
    this.#direction = direction;
    this.#from = from;
    this.#to = to;
    this.#state = state;
    from.on("data", (bytes) => {
      if (state.deaf.has(direction)) this.damaged = true;
      else for (const piece of this.#spared(bytes)) this.#forward(piece);
    });
    from.on("close", () => {
      if (state.deaf.has(direction)) this.damaged = true;
      else void this.#lastDelayed.then(() => to.destroySoon());
    });
    to.on("drain", () => {
      if (!state.stalled) from.resume();
    });
  }

  /** What the eaters leave of the stream, as far as it can go on now. */
  #spared(bytes: Uint8Array): Uint8Array[] {
    const framer = this.#framer;
    if (framer === undefined) return [bytes];
    const eaters = this.#state.eaters.some((eater) => eater.direction === this.#direction);
    const level = this.#ahead === framer.pending;
    let frames: Frame[];
    try {
      frames = framer.push(bytes);
    } catch {
      this.#framer = undefined;
      return [framer.unfinished().subarray(this.#ahead)];
    }
    if (level && !eaters) {
      this.#ahead = framer.pending;
      return [bytes];
    }
    const spared: Uint8Array[] = [];
    for (const frame of frames) {
      // Too late for a frame whose beginning has gone on.
      if (this.#ahead > 0 || !this.#eat(frame)) spared.push(frame.raw.subarray(this.#ahead));
      this.#ahead = 0;
    }
    if (!eaters) {
      spared.push(framer.unfinished().subarray(this.#ahead));
      this.#ahead = framer.pending;
    }
    return spared;
  }

  #eat(frame: Frame): boolean {
    const { eaters } = this.#state;
    const eater = eaters.find((eater) => eater.direction === this.#direction && eater.wants(frame));
    if (eater === undefined) return false;
    eater.eaten.push(frame);
    if (eater.eaten.length === eater.count) {
      eaters.splice(eaters.indexOf(eater), 1);
      eater.done(eater.eaten);
    }
    return true;
  }

  #forward(bytes: Uint8Array): void {
    const { delay } = this.#state;
    if (delay === 0 && this.#delayed === 0) {
      this.#write(bytes);
      return;
    }
    const due = performance.now() + delay;
    this.#delayed++;
    this.#lastDelayed = this.#lastDelayed.then(async () => {
      await new Promise<void>((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
      this.#delayed--;
      this.#write(bytes);
    });
  }

  #write(bytes: Uint8Array): void {
    if (bytes.length > 0 && !this.#to.destroyed && !this.#to.write(bytes)) this.#from.pause();
  }
}
