import { describe, expect, test } from "vitest";
import { NatsError } from "../../src/core-nats/errors.ts";
import { Parser } from "../../src/core-nats/parser.ts";
import { latin1 } from "../support/bytes.ts";
import { binary, collector, every, everyByte, failureIn, message, operationsIn, outcome } from "../support/parsing.ts";
import type { Operation } from "../support/parsing.ts";
import { Random } from "../support/random.ts";

const MIB = 1024 * 1024;

/** Numbers below `limit`, the same for the same seed. */
function randomNumbers(seed: number): (limit: number) => number {
  const random = new Random(seed);
  return (limit) => random.int(0, limit - 1);
}

function randomEnds(random: (limit: number) => number, length: number): number[] {
  const most = 1 + random(random(2) === 0 ? 8 : 400);
  const ends: number[] = [];
  for (let end = random(most + 1); end < length; end += random(most + 1)) ends.push(end);
  return ends;
}

const longInfo = `{"connect_urls":["${"10.0.0.1:4222,".repeat(330)}"], "max_payload" : 1048576}`;

const noResponders = { status: 503, headers: "NATS/1.0 503\r\n\r\n" };
const key503 = { headers: "NATS/1.0\r\nKey: 503\r\n\r\n", key: "503" };
const mixed = { status: 404, headers: "NATS/1.0 404 None\r\nkey:b\r\nKey:\t\xc3\xa9 c \r\nKey: d\r\n\r\n", key: "é c" };

/** A stream with everything in it, and what it says. */
const parts: [text: string, operation: Operation][] = [
  [`INFO ${longInfo} \r\n`, ["info", longInfo]],
  ["+OK\r\n", ["ok"]],
  ["PONG\r\n", ["pong"]],
  ["MSG a.b 1 5\r\nhello\r\n", message("a.b", 1, "hello")],
  ["MSG a.b 1 5\r\nworld\r\n", message("a.b", 1, "world")],
  ["MSG a.b 999999999999999 reply.to 5\r\nhello\r\n", message("a.b", 999999999999999, "hello", { reply: "reply.to" })],
  ["MSG a 2 0\r\n\r\n", message("a", 2, "")],
  ["MSG a 2 17 0\r\n\r\n", message("a", 2, "", { reply: "17" })],
  ["MSG a 2 17\r\nMSG a 2 1\r\nx\r\n\r\n\0\r\n", message("a", 2, "MSG a 2 1\r\nx\r\n\r\n\0")],
  ["HMSG _INBOX.1.2 3 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", message("_INBOX.1.2", 3, "", noResponders)],
  ["HMSG h 4 r 22 27\r\nNATS/1.0\r\nKey: 503\r\n\r\nhello\r\n", message("h", 4, "hello", { reply: "r", ...key503 })],
  [`HMSG h 4 r 48 48\r\n${mixed.headers}\r\n`, message("h", 4, "", { reply: "r", ...mixed })],
  ["HMSG h 4 0 5\r\nhello\r\n", message("h", 4, "hello")],
  ["HMSG h 4 7 12\r\ngarbagehello\r\n", message("h", 4, "hello", { headers: "garbage" })],
  ["ping\r\n", ["ping"]],
  ["PING  abc\r\n", ["ping"]],
  ["PoNg\n", ["pong"]],
  ["+ok fine\r\n", ["ok"]],
  ["Msg  \t a.b\t 1  \t 5 \t \r\nhello\r\n", message("a.b", 1, "hello")],
  ["msg a.b 1 5\nhello\r\n", message("a.b", 1, "hello")],
  ["hMSG a.b 1 12 14\nNATS/1.0\r\n\r\nhi\r\n", message("a.b", 1, "hi", { headers: "NATS/1.0\r\n\r\n" })],
  ["MSG a.b 01 005\r\nhello\r\n", message("a.b", 1, "hello")],
  ["MSG __proto__ 1 constructor 9\r\n__proto__\r\n", message("__proto__", 1, "__proto__", { reply: "constructor" })],
  ["MSG x\0\x01\x0b\x0c.y 1 1\r\nz\r\n", message("x\0\x01\x0b\x0c.y", 1, "z")],
  ["MSG x\ry\r 1 r\r 1\r\nz\r\n", message("x\ry\r", 1, "z", { reply: "r\r" })],
  ["MSG caf\xc3\xa9.\xff 1 2\r\n\xff\xfe\r\n", message("café.\ufffd", 1, "\xff\xfe")],
  ["-ERR 'Unknown Protocol Operation'\r\n", ["error", "Unknown Protocol Operation"]],
  [`-ERR 'Permissions Violation for Publish to "it's"'\r\n`, ["error", `Permissions Violation for Publish to "it's"`]],
  ["-err \t ' Stale Connection ' \t\r\n", ["error", "Stale Connection"]],
  ["-ERR bare words\n", ["error", "bare words"]],
  ["-ERR '\xff\xc3'\r\n", ["error", "\ufffd\ufffd"]],
  ["-ERR\r\n", ["error", ""]],
  ["-ERR ''\r\n", ["error", ""]],
  ["INFO {}\r\n", ["info", "{}"]],
  ['info\t{"a": [1,  2]}\n', ["info", '{"a": [1,  2]}']],
  ["PING\r\n", ["ping"]],
];
const stream = binary(parts.map(([text]) => text).join(""));
const said = parts.map(([, operation]) => operation);

describe("a stream of operations", () => {
  test.each(parts)("%j", (text, operation) => {
    expect(operationsIn(text)).toEqual([operation]);
  });

  test("is the same in one chunk", () => {
    expect(outcome(stream, [])).toEqual({ operations: said, failure: undefined });
  });

  test("is the same in two chunks, wherever the cut is", () => {
    for (const cut of everyByte(stream.length)) {
      const { operations, failure } = outcome(stream, [cut]);
      if (failure !== undefined || operations.length !== said.length) expect.fail(`cut at ${cut}: ${failure}`);
      expect(operations, `cut at ${cut}`).toEqual(said);
    }
  });

  test("is the same in chunks of any one size", () => {
    for (let size = 1; size < stream.length; size++) {
      expect(outcome(stream, every(size, stream.length)), `chunks of ${size}`).toEqual({
        operations: said,
        failure: undefined,
      });
    }
  });

  test("is the same with empty chunks in it", () => {
    const ends = [...everyByte(stream.length)].flatMap((end) => [end, end]);
    expect(outcome(stream, ends).operations).toEqual(said);
  });

  test("of random messages is the same in random chunks", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = randomNumbers(seed);
      const pick = <T>(from: readonly T[]): T => from[random(from.length)];
      const word = (): string => {
        const length = 1 + random(random(10) === 0 ? 900 : 30);
        return Array.from({ length }, () => pick([..."ab.*>_-09\0\x7f\r'MSG"])).join("");
      };
      const texts: string[] = [];
      const expected: Operation[] = [];
      for (let i = 0; i < 30; i++) {
        const payload = latin1(Uint8Array.from({ length: random(random(5) === 0 ? 3000 : 40) }, () => random(256)));
        const blank = (): string => pick([" ", " ", " ", "\t", "  "]);
        const lineEnd = pick(["\r\n", "\r\n", "\n"]);
        const subject = word();
        const reply = random(3) === 0 ? word() : "";
        const sid = random(1_000_000);
        const replyPart = reply === "" ? "" : reply + blank();
        const kind = random(10);
        if (kind < 6) {
          texts.push(`MSG${blank()}${subject}${blank()}${sid}${blank()}${replyPart}${payload.length}${lineEnd}`);
          texts.push(`${payload}\r\n`);
          expected.push(message(subject, sid, payload, { reply }));
        } else if (kind < 8) {
          const status = random(2) === 0 ? 0 : 100 + random(900);
          const key = random(2) === 0 ? word().replaceAll("\r", "") : undefined;
          const field = key === undefined ? "" : `Key:${blank()}${key}\r\n`;
          const first = status === 0 ? "NATS/1.0" : `NATS/1.0 ${status}`;
          const header = `${first}\r\nPad: ${"x".repeat(random(50))}\r\n${field}\r\n`;
          const total = header.length + payload.length;
          texts.push(`HMSG ${subject} ${sid}${blank()}${replyPart}${header.length}${blank()}${total}${lineEnd}`);
          texts.push(`${header}${payload}\r\n`);
          expected.push(message(subject, sid, payload, { reply, status, headers: header, key }));
        } else {
          const [text, operation] = pick(parts);
          texts.push(text);
          expected.push(operation);
        }
      }
      const bytes = binary(texts.join(""));
      const { operations, failure } = outcome(bytes, randomEnds(random, bytes.length));
      // Not by one toEqual: random bytes would fill the screen.
      expect(failure, `seed ${seed}`).toBeUndefined();
      expect(operations.length, `seed ${seed}`).toBe(expected.length);
      const wrong = operations.findIndex((operation, i) => JSON.stringify(operation) !== JSON.stringify(expected[i]));
      if (wrong >= 0) expect(operations[wrong], `seed ${seed}, operation ${wrong}`).toEqual(expected[wrong]);
    }
  });
});

describe("bytes that are not the protocol", () => {
  test.each([
    // Unknown operations, and those that only a client sends.
    ["FOO bar\r\n", 'unknown operation: "FOO bar"'],
    ["PUB a 1\r\nx\r\n", 'unknown operation: "PUB a 1"'],
    ["CONNECT {}\r\n", 'unknown operation: "CONNECT {}"'],
    ["MSGS a 1 0\r\n\r\n", 'unknown operation: "MSGS a 1 0"'],
    ["MS\r\n", 'unknown operation: "MS"'],
    ["INFO{}\r\n", 'unknown operation: "INFO{}"'],
    ["\x0bOK\r\n", 'unknown operation: "?OK"'],
    ["\0MSG a 1 0\r\n\r\n", 'unknown operation: "?MSG a 1 0"'],
    ["\x16\x03\x01\x02\0\n", 'unknown operation: "?????"'],
    ["HTTP/1.1 400 Bad Request\r\n\r\n", 'unknown operation: "HTTP/1.1 400 Bad Request"'],
    ["caf\xc3\xa9 \x1b[31m\r\n", 'unknown operation: "caf? ?[31m"'],
    [`${"long".repeat(20)}\r\n`, `unknown operation: "${"long".repeat(8)}"`],
    // Lines that begin with nothing.
    ["\r\n", "a line that does not begin with an operation"],
    ["\n", "a line that does not begin with an operation"],
    [" PING\r\n", "a line that does not begin with an operation"],
    ["\tPING\r\n", "a line that does not begin with an operation"],
    ["\rPING\r\n", "a line that does not begin with an operation"],
    // Missing and extra arguments.
    ["INFO\r\n", 'missing text: "INFO"'],
    ["INFO  \r\n", 'missing text: "INFO"'],
    ["MSG\r\n", 'wrong number of arguments: "MSG"'],
    ["MSG a\r\n", 'wrong number of arguments: "MSG a"'],
    ["MSG a 1\r\n", 'wrong number of arguments: "MSG a 1"'],
    ["MSG  1 5\r\nhello\r\n", 'wrong number of arguments: "MSG  1 5"'],
    ["MSG a  5\r\nhello\r\n", 'wrong number of arguments: "MSG a  5"'],
    ["MSG a 1 \r\n\r\n", 'wrong number of arguments: "MSG a 1"'],
    ["MSG a 1 b 2 3\r\n", 'wrong number of arguments: "MSG a 1 b 2 3"'],
    ["MSG a 1 b 2 3 4 5 6 7\r\n", 'wrong number of arguments: "MSG a 1 b 2 3 4 5 6 7"'],
    ["HMSG a 1 2\r\n", 'wrong number of arguments: "HMSG a 1 2"'],
    ["HMSG a 1 b 0 0 0\r\n", 'wrong number of arguments: "HMSG a 1 b 0 0 0"'],
    // Numbers.
    ["MSG a x 0\r\n\r\n", 'malformed subscription number: "MSG a x 0"'],
    ["MSG a -1 0\r\n\r\n", 'malformed subscription number: "MSG a -1 0"'],
    ["MSG a 1.5 0\r\n\r\n", 'malformed subscription number: "MSG a 1.5 0"'],
    ["MSG a 1234567890123456 0\r\n\r\n", 'malformed subscription number: "MSG a 1234567890123456 0"'],
    ["MSG a 1 -5\r\nhello\r\n", 'malformed size: "MSG a 1 -5"'],
    ["MSG a 1 +5\r\nhello\r\n", 'malformed size: "MSG a 1 +5"'],
    ["MSG a 1 5.0\r\nhello\r\n", 'malformed size: "MSG a 1 5.0"'],
    ["MSG a 1 0x5\r\nhello\r\n", 'malformed size: "MSG a 1 0x5"'],
    ["MSG a 1 5\0\r\nhello\r\n", 'malformed size: "MSG a 1 5?"'],
    ["MSG a 1 5\r\r\nhello\r\n", 'malformed size: "MSG a 1 5?"'],
    ["MSG a 1 \xb2\r\nhello\r\n", 'malformed size: "MSG a 1 ?"'],
    ["MSG a 1 0000000005\r\nhello\r\n", 'malformed size: "MSG a 1 0000000005"'],
    ["MSG s 1 99999999999\r\n", 'malformed size: "MSG s 1 99999999999"'],
    ["MSG s 1 4294967296\r\n", 'malformed size: "MSG s 1 4294967296"'],
    ["MSG s 1 18446744073709551616\r\n", 'malformed size: "MSG s 1 18446744073709551616"'],
    ["MSG s 1 999999999\r\n", '999999999 bytes where 1048576 are the most: "MSG s 1 999999999"'],
    ["MSG s 1 1048577\r\n", '1048577 bytes where 1048576 are the most: "MSG s 1 1048577"'],
    ["HMSG a 1 x 5\r\nhello\r\n", 'malformed size: "HMSG a 1 x 5"'],
    ["HMSG a 1 -1 5\r\nhello\r\n", 'malformed size: "HMSG a 1 -1 5"'],
    ["HMSG a 1 6 5\r\nhello\r\n", 'header larger than the whole: "HMSG a 1 6 5"'],
    // Payloads that do not end where they should.
    ["MSG a 1 4\r\nsecret\r\n", "a payload of 4 bytes without CRLF after it"],
    ["MSG a 1 7\r\nsecret\r\nPING\r\n", "a payload of 7 bytes without CRLF after it"],
    ["MSG a 1 6\r\nsecret\n\n", "a payload of 6 bytes without CRLF after it"],
    ["MSG a 1 6\r\nsecret\r\r\n", "a payload of 6 bytes without CRLF after it"],
    ["MSG a 1 6\r\nsecret\nPING\r\n", "a payload of 6 bytes without CRLF after it"],
    ["HMSG a 1 2 6\r\nsecretPING\r\n", "a payload of 6 bytes without CRLF after it"],
    ["MSG a 1 0\r\nPING\r\n", "a payload of 0 bytes without CRLF after it"],
    ["MSG a 1 6\r\nsecret\r\n\r\n", "a line that does not begin with an operation"],
  ])("are refused with what is wrong, however they are cut: %j", (text, why) => {
    expect(failureIn(`PING\r\n${text}`)).toBe(why);
    expect(failureIn(text)).toBe(why);
  });

  test("are refused after what was before them has been reported, and before what is after them", () => {
    const { operations, failure } = outcome(binary("PING\r\nMSG a 1 1\r\nx\r\nBAD\r\nPING\r\n"), []);
    expect(operations).toEqual([["ping"], message("a", 1, "x")]);
    expect(failure).toBe('unknown operation: "BAD"');
  });

  test("end the parser: nothing more is reported", () => {
    const operations: Operation[] = [];
    const parser = new Parser(collector(operations));
    expect(() => parser.parse(binary("BAD\r\n"))).toThrow(NatsError);
    expect(parser.parse(binary("PING\r\n"))).toBe(0);
    expect(operations).toEqual([]);
  });

  test("are refused as a NatsError, or make sense, when they are random; and never depend on the chunks", () => {
    const tokens = ["MSG", "HMSG", "INFO", "PING", "PONG", "+OK", "-ERR", "msg", " ", " ", " ", "\t", "\r\n", "\r\n"];
    tokens.push("\n", "\r", "0", "1", "2", "5", "16", "-1", "1e3", "4096", "99999999999", "a.b", "__proto__", "'");
    tokens.push("MSG a 1 2\r\nhi\r\n", "MSG a 1 r 2\r\nhi\r\n", "HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n");
    let failures = 0;
    let tooLong = 0;
    let reported = 0;
    for (let seed = 1; seed <= 5000; seed++) {
      const random = randomNumbers(seed);
      let text = "";
      for (let i = random(25); i >= 0; i--) {
        text += random(12) === 0 ? String.fromCharCode(random(256)) : tokens[random(tokens.length)];
        // With a second one a line is too long.
        if (random(50) === 0) text += "x".repeat(4_500);
      }
      const bytes = binary(text);
      const options = { maxPayload: 4000 };
      const whole = outcome(bytes, [], options);
      expect(outcome(bytes, randomEnds(random, bytes.length), options), `seed ${seed}: ${text}`).toEqual(whole);
      reported += whole.operations.length;
      if (whole.failure !== undefined) failures++;
      if (whole.failure?.startsWith("a line of more than")) tooLong++;
    }
    // All kinds did come up.
    expect(failures).toBeGreaterThan(1000);
    expect(tooLong).toBeGreaterThan(20);
    expect(reported).toBeGreaterThan(500);
  });

  test("in the middle of a good stream are refused or make sense, wherever a byte is changed", () => {
    const random = randomNumbers(7);
    for (let at = longInfo.length; at < stream.length; at++) {
      const changed = stream.slice();
      changed[at] = random(256);
      const whole = outcome(changed, []);
      expect(outcome(changed, randomEnds(random, changed.length)), `byte ${at} made ${changed[at]}`).toEqual(whole);
    }
  });
});

describe("limits", () => {
  test("a line may be as long as the limit, its end included", () => {
    const ofLength = (length: number): string => `MSG ${"s".repeat(length - 10)} 1 0\r\n\r\n`;
    expect(operationsIn(ofLength(8192))).toHaveLength(1);
    expect(failureIn(ofLength(8193))).toBe("a line of more than 8192 bytes");
    expect(failureIn(`PING ${"x".repeat(8190)}\r\n`)).toBe("a line of more than 8192 bytes");
  });

  test("INFO and -ERR have a limit of their own", () => {
    const long = "x".repeat(MIB - 9);
    const texts = binary(`info ${long}xx\r\n-ERR '${long}'\r\n`);
    const tooLong = ["INFO ", "-ERR "].map((verb) => binary(`${verb}${long}xxx\r\n`));
    for (const size of [1_000, 100_000, 2 * MIB]) {
      const { operations, failure } = outcome(texts, every(size, texts.length));
      expect(failure).toBeUndefined();
      expect(operations).toEqual([
        ["info", `${long}xx`],
        ["error", long],
      ]);
      for (const text of tooLong) {
        const failure = "a line of more than 1048576 bytes";
        expect(outcome(text, every(size, text.length))).toEqual({ operations: [], failure });
      }
    }
  });

  test("a line without end is refused at the limit", () => {
    expect(failureIn("x".repeat(8192))).toBe("none");
    expect(failureIn("x".repeat(8193))).toBe("a line of more than 8192 bytes");
    for (const verb of ["INFO ", "-ERR "]) {
      const text = binary(verb + "x".repeat(MIB - 4));
      for (const size of [1_000, 2 * MIB]) {
        expect(outcome(text.subarray(0, MIB), every(size, MIB)).failure).toBeUndefined();
        expect(outcome(text, every(size, text.length)).failure).toBe("a line of more than 1048576 bytes");
      }
    }
  });

  test("a message may be as large as maxPayload, headers included", () => {
    expect(operationsIn("MSG a 1 5\r\nhello\r\n", { maxPayload: 5 })).toHaveLength(1);
    const tooMuch = '6 bytes where 5 are the most: "MSG a 1 6"';
    expect(failureIn("MSG a 1 6\r\n", { maxPayload: 5 })).toBe(tooMuch);
    expect(failureIn("MSG a 1 6\r\nsecret\r\n", { maxPayload: 5 })).toBe(tooMuch);
    expect(failureIn("HMSG a 1 3 6\r\n", { maxPayload: 5 })).toBe('6 bytes where 5 are the most: "HMSG a 1 3 6"');
  });

  test("maxPayload can be changed between messages", () => {
    const operations: Operation[] = [];
    const parser = new Parser({ ...collector(operations), info: () => (parser.maxPayload = 2_000_000) });
    parser.parse(binary("INFO {}\r\nMSG a 1 1500000\r\n"));
    parser.parse(new Uint8Array(1_500_000).fill(0x78));
    parser.parse(binary("\r\n"));
    expect(operations).toHaveLength(1);
  });
});

describe("stop", () => {
  const text = "PING\r\nMSG a 1 1\r\nx\r\nMSG a 1 r 1\r\ny\r\nHMSG a 1 12 13\r\nNATS/1.0\r\n\r\nz\r\n+OK\r\nPONG\r\n";
  const calls = 6;

  test("from within any operation leaves the rest unparsed, and parse says where it ends", () => {
    for (const size of [1, 2, 7, text.length]) {
      for (let stopAt = 1; stopAt <= calls; stopAt++) {
        const operations: Operation[] = [];
        const stopping = (): void => {
          if (operations.length === stopAt) parser.stop();
        };
        const inner = collector(operations);
        const parser: Parser = new Parser({
          info: (json) => (inner.info(json), stopping()),
          message: (delivery) => (inner.message(delivery), stopping()),
          ping: () => (inner.ping(), stopping()),
          pong: () => (inner.pong(), stopping()),
          ok: () => (inner.ok(), stopping()),
          error: (why) => (inner.error(why), stopping()),
        });
        let parsed = 0;
        for (let at = 0; at < text.length; at += size) parsed += parser.parse(binary(text.slice(at, at + size)));
        const upTo = operationsIn(text.slice(0, parsed));
        expect(operations, `chunks of ${size}`).toHaveLength(stopAt);
        expect(upTo).toEqual(operations);
        expect(text.slice(0, parsed).endsWith("\r\n")).toBe(true);
      }
    }
  });

  test("from outside ends a message that is not complete", () => {
    const operations: Operation[] = [];
    const parser = new Parser(collector(operations));
    expect(parser.parse(binary("MSG a 1 5\r\nhel"))).toBe(14);
    parser.stop();
    expect(parser.parse(binary("lo\r\nBAD\r\n"))).toBe(0);
    expect(operations).toEqual([]);
  });

  test("comes of itself when an operation throws, and what it throws is passed on", () => {
    const operations: Operation[] = [];
    const parser = new Parser({
      ...collector(operations),
      ping: () => {
        throw new RangeError("mine");
      },
    });
    expect(() => parser.parse(binary("PING\r\nPONG\r\n"))).toThrow(new RangeError("mine"));
    expect(parser.parse(binary("PONG\r\n"))).toBe(0);
    expect(operations).toEqual([]);
  });
});
