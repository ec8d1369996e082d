/** One thing that a client said. Fields that its verb does not have are absent. */
export interface Said {
  readonly verb: "CONNECT" | "PING" | "PONG" | "SUB" | "UNSUB" | "PUB" | "HPUB";
  readonly subject?: string;
  readonly reply?: string;
  readonly queue?: string;
  readonly sid?: string;
  /** The number of messages after which an UNSUB takes effect. */
  readonly max?: number;
  readonly headers?: Uint8Array;
  readonly payload?: Uint8Array;
  /** What CONNECT says. */
  readonly json?: Record<string, unknown>;
}

/**
 * Reads all bytes that a client wrote on one link and throws at the first deviation from the strictest reading of
 * the NATS client protocol: upper-case verbs, single blanks, CRLF, sizes in plain digits, publish subjects without
 * wildcards, lines of at most 4096 bytes, CONNECT once and first, no sid used twice, no UNSUB of an unknown one.
 * The bytes must end where a frame ends, unless `cut` says that the link was cut.
 */
export function readStrictly(bytes: Uint8Array, cut = false): Said[] {
  const said: Said[] = [];
  const sids = new Set<string>();
  let at = 0;
  while (at < bytes.length) {
    const lineEnd = findLineEnd(bytes, at);
    if (lineEnd < 0) {
      if (cut) return said;
      fail(bytes, at, "ends inside a line");
    }
    try {
      const line = utf8.decode(bytes.subarray(at, lineEnd));
      const { next, frame } = readFrame(line, bytes, lineEnd + 2);
      if (next > bytes.length && cut) return said;
      demand(next <= bytes.length, "ends inside a payload");
      demand((frame.verb === "CONNECT") === (said.length === 0), "CONNECT must come first and once");
      if (frame.verb === "SUB") {
        demand(!sids.has(frame.sid!), `sid ${frame.sid} is in use`);
        sids.add(frame.sid!);
      }
      if (frame.verb === "UNSUB") demand(sids.has(frame.sid!), `UNSUB of sid ${frame.sid}, which was never subscribed`);
      said.push(frame);
      at = next;
    } catch (error) {
      fail(bytes, at, (error as Error).message);
    }
  }
  return said;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const carriageReturn = 13;
const newline = 10;

function readFrame(line: string, bytes: Uint8Array, body: number): { next: number; frame: Said } {
  const verb = /^[A-Z]*/.exec(line)![0];
  const args = line.slice(verb.length);
  switch (verb) {
    case "CONNECT": {
      demand(args.startsWith(" {") && args.endsWith("}"), "CONNECT must be followed by one blank and a JSON object");
      return { next: body, frame: { verb, json: JSON.parse(args) as Record<string, unknown> } };
    }
    case "PING":
    case "PONG":
      demand(args === "", `${verb} must stand alone`);
      return { next: body, frame: { verb } };
    case "SUB": {
      const [subject, ...others] = words(args, 2, 3);
      const sid = others.pop()!;
      const queue = others.pop();
      checkSubject(subject!, true);
      number(sid);
      if (queue === undefined) return { next: body, frame: { verb, subject: subject!, sid } };
      checkSubject(queue, false);
      return { next: body, frame: { verb, subject: subject!, queue, sid } };
    }
    case "UNSUB": {
      const [sid, max] = words(args, 1, 2);
      number(sid!);
      return { next: body, frame: max === undefined ? { verb, sid: sid! } : { verb, sid: sid!, max: number(max) } };
    }
    case "PUB":
    case "HPUB": {
      const sizes = verb === "PUB" ? 1 : 2;
      const all = words(args, 1 + sizes, 2 + sizes);
      const subject = all.shift()!;
      const total = number(all.pop()!);
      const head = verb === "PUB" ? 0 : number(all.pop()!);
      const reply = all.pop();
      checkSubject(subject, false);
      if (reply !== undefined) checkSubject(reply, false);
      demand(head <= total, "the headers are larger than the whole");
      const end = body + total;
      if (end + 2 <= bytes.length) {
        demand(bytes[end] === carriageReturn && bytes[end + 1] === newline, "no CRLF where the payload must end");
      }
      const frame = {
        verb,
        subject,
        ...(reply === undefined ? {} : { reply }),
        ...(verb === "PUB" ? {} : { headers: bytes.slice(body, body + head) }),
        payload: bytes.slice(body + head, end),
      } as const;
      return { next: end + 2, frame };
    }
    default:
      throw new Error("not a verb that a client may say");
  }
}

/** The arguments behind a verb, each after exactly one blank. */
function words(args: string, least: number, most: number): string[] {
  demand(args.startsWith(" "), "no blank behind the verb");
  const all = args.slice(1).split(" ");
  demand(
    all.every((word) => word !== ""),
    "more than one blank",
  );
  demand(all.length >= least && all.length <= most, `${all.length} arguments`);
  return all;
}

function number(digits: string): number {
  demand(/^(0|[1-9][0-9]{0,8})$/.test(digits), `not a plain number: ${digits}`);
  return Number(digits);
}

function checkSubject(subject: string, wildcards: boolean): void {
  const tokens = subject.split(".");
  for (const [i, token] of tokens.entries()) {
    demand(token !== "", "a subject with an empty token");
    if (wildcards && (token === "*" || (token === ">" && i === tokens.length - 1))) continue;
    demand(!/[*>]/.test(token), "a wildcard where none may be");
    demand(!/[\u0000-\u0020\u007f]/.test(token), "a control byte or blank in a subject");
  }
}

function findLineEnd(bytes: Uint8Array, from: number): number {
  const at = bytes.indexOf(newline, from);
  if (at < 0) {
    if (bytes.length - from > 4096 + 8) fail(bytes, from, "a line longer than 4096 bytes");
    return -1;
  }
  if (at === from || bytes[at - 1] !== carriageReturn) fail(bytes, from, "a line that does not end with CRLF");
  if (at - from > 4096 + 8) fail(bytes, from, "a line longer than 4096 bytes");
  return at - 1;
}

function demand(condition: boolean, problem: string): asserts condition {
  if (!condition) throw new Error(problem);
}

function fail(bytes: Uint8Array, at: number, problem: string): never {
  const excerpt = JSON.stringify(String.fromCharCode(...bytes.subarray(at, at + 60)));
  throw new Error(`at byte ${at}: ${problem}: ${excerpt}`);
}
