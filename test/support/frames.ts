import { concat, latin1 } from "./bytes.ts";

/** One protocol message of the NATS protocol, of either direction. Fields that its verb does not have are empty. */
export class Frame {
  /** In upper case. */
  readonly verb: string;
  /** What follows the verb in its line: the JSON of INFO and CONNECT, the text of -ERR. */
  readonly rest: string;
  readonly subject: string;
  readonly reply: string;
  readonly sid: string;
  readonly queue: string;
  readonly headers: Uint8Array;
  readonly payload: Uint8Array;
  /** All of its bytes as they came. */
  readonly raw: Uint8Array;

  constructor(line: Line, raw: Uint8Array, body: Uint8Array) {
    this.verb = line.verb;
    this.rest = line.rest;
    this.subject = line.subject;
    this.reply = line.reply;
    this.sid = line.sid;
    this.queue = line.queue;
    this.headers = body.subarray(0, line.headerSize);
    this.payload = body.subarray(line.headerSize);
    this.raw = raw;
  }

  /** All of it but the last line end, one character for each byte. */
  get text(): string {
    return latin1(this.raw).replace(/\r?\n$/, "");
  }
}

const longestLine = 1024 * 1024;
const newline = 10;

/**
 * Cuts a stream of NATS protocol bytes of either direction into frames. Written for tests, on its own: it shares
 * nothing with the library's parser, and takes any order of verbs. Throws at a line that is not of the protocol.
 */
export class Framer {
  #pieces: Uint8Array[] = [];
  #length = 0;
  /** No frame can be complete before this many bytes are there. */
  #needed = 1;

  /** The number of bytes that belong to a frame which is not complete. */
  get pending(): number {
    return this.#length;
  }

  /**
   * The bytes of the frame that is not complete; after an error, all bytes since the last `push` that succeeded
   * too.
   */
  unfinished(): Uint8Array {
    return concat(this.#pieces);
  }

  /** Takes the next bytes of the stream and returns the frames that they complete. */
  push(bytes: Uint8Array): Frame[] {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
    if (this.#length < this.#needed) return [];
    const all = concat(this.#pieces);
    const frames: Frame[] = [];
    let at = 0;
    this.#needed = 1;
    for (;;) {
      const lineEnd = all.indexOf(newline, at);
      if (lineEnd < 0) {
        if (all.length - at > longestLine) throw new Error("a line without end");
        break;
      }
      const line = readLine(latin1(all.subarray(at, lineEnd)).replace(/\r$/, ""));
      const end = lineEnd + 1 + (line.total < 0 ? 0 : line.total + 2);
      if (end > all.length) {
        this.#needed = end - at;
        break;
      }
      const raw = all.slice(at, end);
      const body = line.total < 0 ? raw.subarray(raw.length) : raw.subarray(lineEnd + 1 - at, raw.length - 2);
      frames.push(new Frame(line, raw, body));
      at = end;
    }
    this.#pieces = at < all.length ? [all.subarray(at)] : [];
    this.#length = all.length - at;
    return frames;
  }
}

interface Line {
  verb: string;
  rest: string;
  subject: string;
  reply: string;
  sid: string;
  queue: string;
  headerSize: number;
  /** The size of headers and payload together; -1 for a verb without. */
  total: number;
}

function readLine(text: string): Line {
  const [, word = "", rest = ""] = /^(\S*)[ \t]*(.*)$/.exec(text) ?? [];
  const verb = word.toUpperCase();
  const line: Line = { verb, rest, subject: "", reply: "", sid: "", queue: "", headerSize: 0, total: -1 };
  const args = rest.split(/[ \t]+/).filter((arg) => arg !== "");
  switch (verb) {
    case "INFO":
    case "CONNECT":
    case "PING":
    case "PONG":
    case "+OK":
    case "-ERR":
      return line;
    case "SUB":
      line.subject = args[0] ?? "";
      line.sid = args.at(-1) ?? "";
      line.queue = args.length > 2 ? args[1]! : "";
      return line;
    case "UNSUB":
      line.sid = args[0] ?? "";
      return line;
    case "PUB":
    case "HPUB":
    case "MSG":
    case "HMSG": {
      line.subject = args.shift() ?? "";
      if (verb.endsWith("MSG")) line.sid = args.shift() ?? "";
      line.total = size(args.pop());
      if (verb.startsWith("H")) line.headerSize = size(args.pop());
      line.reply = args.shift() ?? "";
      return line;
    }
    default:
      throw new Error(`not a verb of the protocol: ${JSON.stringify(word.slice(0, 20))}`);
  }
}

function size(digits: string | undefined): number {
  if (digits === undefined || !/^\d{1,9}$/.test(digits)) throw new Error(`not a size: ${digits}`);
  return Number(digits);
}
