import type { Socket } from "node:net";
import { bytesOf, concat } from "./bytes.ts";
import { type Frame, Framer } from "./frames.ts";

/** Tells the frame that is wanted: by its text (`frame.text`) or by a function. */
export type Wanted = RegExp | ((frame: Frame) => boolean);

/** One end of a link that speaks the NATS protocol by the word of a test. */
export class Link {
  /** Resolves when the link is gone, by either side. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #framer = new Framer();
  readonly #chunks: Uint8Array[] = [];
  #frames: Frame[] = [];
  #waiting: { wanted: Wanted; resolve: (frame: Frame) => void; reject: (error: Error) => void }[] = [];
  #lost: Error | undefined;

  protected constructor(socket: Socket, onFrame: (frame: Frame) => void) {
    this.#socket = socket;
    socket.on("data", (bytes) => {
      this.#chunks.push(bytes);
      try {
        for (const frame of this.#framer.push(bytes)) {
          onFrame(frame);
          this.#give(frame);
        }
      } catch (error) {
        this.#lose(error as Error);
        socket.destroy();
      }
    });
    socket.on("error", (error) => this.#lose(error));
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#lose(new Error("the link is closed"));
        resolve();
      });
    });
  }

  /** Sends exactly this: text as UTF-8, line ends included. */
  send(data: string | Uint8Array): void {
    this.#socket.write(bytesOf(data));
  }

  /**
   * Takes the first frame, received already or still to come, that is wanted; the others stay. Rejects when the link is
   * closed before one came, or after `timeout` milliseconds (10 000).
   */
  next(wanted: Wanted, timeout = 10_000): Promise<Frame> {
    const at = this.#frames.findIndex((frame) => matches(frame, wanted));
    if (at >= 0) return Promise.resolve(this.#frames.splice(at, 1)[0]!);
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      const waiter = {
        wanted,
        resolve: (frame: Frame) => {
          clearTimeout(timer);
          resolve(frame);
        },
        reject: (error: Error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter);
        const seen = this.#frames.map((frame) => frame.text.slice(0, 100)).join("\n");
        reject(new Error(`waited ${timeout} ms in vain for ${String(wanted)}; not taken:\n${seen}`));
      }, timeout);
      this.#waiting.push(waiter);
    });
  }

  /** Takes all frames received so far that nobody has taken. */
  collect(): Frame[] {
    return this.#frames.splice(0);
  }

  /** All bytes received, from the first on. */
  received(): Uint8Array {
    return concat(this.#chunks);
  }

  /** Sends what is written, then ends the link. */
  end(): void {
    this.#socket.end();
  }

  /** Ends the link at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Reads no more (the peer's writes pile up), until `resume`. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  #give(frame: Frame): void {
    const at = this.#waiting.findIndex((waiter) => matches(frame, waiter.wanted));
    if (at < 0) this.#frames.push(frame);
    else this.#waiting.splice(at, 1)[0]!.resolve(frame);
  }

  #lose(error: Error): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }
}

function matches(frame: Frame, wanted: Wanted): boolean {
  return typeof wanted === "function" ? wanted(frame) : wanted.test(frame.text);
}
