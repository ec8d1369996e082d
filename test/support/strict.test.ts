import { describe, expect, test } from "vitest";
import { bytesOf } from "./bytes.ts";
import { readStrictly } from "./strict.ts";

const hello = 'CONNECT {"verbose":false}\r\n';

describe("the strict reading of what a client writes", () => {
  test("understands each verb", () => {
    const text =
      `${hello}PING\r\nPONG\r\nSUB a.*.> 1\r\nSUB b q 2\r\nUNSUB 1\r\nUNSUB 2 10\r\n` +
      "PUB a 5\r\n\r\nPUB\r\nPUB a r 0\r\n\r\nHPUB a r 2 4\r\nhhpp\r\n";
    expect(readStrictly(bytesOf(text))).toEqual([
      { verb: "CONNECT", json: { verbose: false } },
      { verb: "PING" },
      { verb: "PONG" },
      { verb: "SUB", subject: "a.*.>", sid: "1" },
      { verb: "SUB", subject: "b", queue: "q", sid: "2" },
      { verb: "UNSUB", sid: "1" },
      { verb: "UNSUB", sid: "2", max: 10 },
      { verb: "PUB", subject: "a", payload: bytesOf("\r\nPUB") },
      { verb: "PUB", subject: "a", reply: "r", payload: bytesOf("") },
      { verb: "HPUB", subject: "a", reply: "r", headers: bytesOf("hh"), payload: bytesOf("pp") },
    ]);
  });

  test.each([
    "ping\r\n",
    "PING \r\n",
    "PING\n",
    "PING\r\n\r\n",
    "PING",
    "INFO {}\r\n",
    hello,
    "SUB  a 1\r\n",
    "SUB a\t1\r\n",
    "SUB a x\r\n",
    "SUB a..b 1\r\n",
    "SUB a.>.b 1\r\n",
    "SUB a 1\r\nSUB b 1\r\n",
    "UNSUB 7\r\n",
    "PUB a.* 0\r\n\r\n",
    "PUB > 0\r\n\r\n",
    "PUB a 00\r\n\r\n",
    "PUB a +1\r\nx\r\n",
    "PUB a 1\r\nxx\r\n",
    "PUB a 2\r\nx\r\n",
    "PUB a\u0000 0\r\n\r\n",
    "PUB a\rb 0\r\n\r\n",
    "PUB a b c 0\r\n\r\n",
    "PUB a\r\n",
    "HPUB a 5 4\r\nhhhh\r\n",
    `PUB ${"a".repeat(5000)} 0\r\n\r\n`,
  ])("refuses %j", (text) => {
    expect(() => readStrictly(bytesOf(hello + text))).toThrow(/^at byte \d+: /);
  });

  test("wants CONNECT first", () => {
    expect(() => readStrictly(bytesOf(`PING\r\n${hello}`))).toThrow("CONNECT must come first");
  });

  test("takes any end where the link was cut", () => {
    const text = `${hello}PUB a 5\r\n12345\r\n`;
    for (let end = 0; end < text.length; end++) {
      expect(readStrictly(bytesOf(text.slice(0, end)), true).length).toBe(end < hello.length ? 0 : 1);
    }
  });
});
