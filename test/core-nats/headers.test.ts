import { describe, expect, test } from "vitest";
import { headerBlock, readHeader, readStatus } from "../../src/core-nats/headers.ts";
import { binary } from "../support/parsing.ts";
import { forEachSeed } from "../support/random.ts";

function statusOf(block: string): number {
  // In the middle of other bytes that would read on as a status or a digit.
  const bytes = new TextEncoder().encode(`503 NATS/1.0 503${block}0 503\r\n`);
  const start = 16;
  return readStatus(bytes, start, start + block.length);
}

describe("the status of a header block", () => {
  test("is read as a server sends it when nobody listens", () => {
    expect(statusOf("NATS/1.0 503\r\n\r\n")).toBe(503);
  });

  test("is read with a description and with other headers after it", () => {
    expect(statusOf("NATS/1.0 404 No Messages\r\nKey: Value\r\n\r\n")).toBe(404);
  });

  test("is read after several blanks, and at the very end of the block", () => {
    expect(statusOf("NATS/1.0   100\r\n\r\n")).toBe(100);
    expect(statusOf("NATS/1.0 503")).toBe(503);
  });

  test("is 0 when there is none", () => {
    expect(statusOf("NATS/1.0\r\nStatus: 503\r\n\r\n")).toBe(0);
    expect(statusOf("NATS/1.0 \r\n\r\n")).toBe(0);
    expect(statusOf("NATS/1.0")).toBe(0);
  });

  test.each([
    "",
    "N",
    " ",
    "NATS/1.0 ",
    "NATS/1.0 5",
    "NATS/1.0 50",
    "NATS/1.0 50\r\n\r\n",
    "NATS/1.0 5033\r\n\r\n",
    "NATS/1.0 503x\r\n\r\n",
    "NATS/1.0 -50\r\n\r\n",
    "NATS/1.0 +503\r\n\r\n",
    "NATS/1.0 5e2\r\n\r\n",
    "NATS/1.0 000\r\n\r\n",
    "NATS/1.0\t503\r\n\r\n",
    "NATS/1.1 503\r\n\r\n",
    "nats/1.0 503\r\n\r\n",
    "NATS/1.0503\r\n\r\n",
    "HTTP/1.1 503\r\n\r\n",
    "\0\0\0\0\0\0\0\0 503\r\n\r\n",
  ])("is 0 in a malformed block: %j", (block) => {
    expect(statusOf(block)).toBe(0);
  });
});

function headerOf(block: string, name = "Key"): string | undefined {
  // In the middle of other bytes that would read on as headers.
  const bytes = binary(`NATS/1.0\r\nKey: before\r\n${block}\r\nKey: behind\r\n\r\n`);
  const start = 23;
  return readHeader(bytes, start, start + block.length, name);
}

describe("a header", () => {
  test("is found by its name, wherever it is in the block", () => {
    const block = "NATS/1.0\r\nA: 1\r\nBB: 2\r\nC-c: 3\r\n\r\n";
    expect(["A", "BB", "C-c"].map((name) => headerOf(block, name))).toEqual(["1", "2", "3"]);
    for (const other of ["a", "B", "BBB", "c-c", "C-C", "1", "NATS/1.0", ""]) {
      expect(headerOf(block, other), other).toBeUndefined();
    }
  });

  test("is found behind a status and a description", () => {
    expect(headerOf("NATS/1.0 409 Leadership Change\r\nKey: v\r\n\r\n")).toBe("v");
  });

  test("is the first one, if there are several of that name", () => {
    expect(headerOf("NATS/1.0\r\nkey: a\r\nKey: b\r\nKey: c\r\n\r\n")).toBe("b");
  });

  test("has its value without blanks around it, and with all that is in it", () => {
    expect(headerOf("NATS/1.0\r\nKey:v\r\n\r\n")).toBe("v");
    expect(headerOf("NATS/1.0\r\nKey: \t a: b\tc \t\r\n\r\n")).toBe("a: b\tc");
    expect(headerOf("NATS/1.0\r\nKey: \xc3\xa9\r\n\r\n")).toBe("é");
    expect(headerOf("NATS/1.0\r\nKey: \xff\r\n\r\n")).toBe("\ufffd");
    expect(headerOf("NATS/1.0\r\nKey:\r\n\r\n")).toBe("");
    expect(headerOf("NATS/1.0\r\nKey:   \r\n\r\n")).toBe("");
  });

  test("is found in lines that end in LF alone, as nats.go finds it", () => {
    expect(headerOf("NATS/1.0\nOther: a\nKey: b\n\n")).toBe("b");
  });

  test.each([
    "",
    "N",
    "NATS/1.0",
    "NATS/1.0\r\n",
    "NATS/1.0\r\n\r\n",
    "NATS/1.0 503\r\n\r\n",
    "NATS/1.0\r\nKey",
    "NATS/1.0\r\nKey:",
    "NATS/1.0\r\nKey: cut",
    "NATS/1.0\r\nKey: cut\r",
    "NATS/1.0\r\nKey v\r\n\r\n",
    "NATS/1.0\r\nKey\r\n: v\r\n\r\n",
    "NATS/1.0\r\n Key: v\r\n\r\n",
    "NATS/1.0\r\nKey : v\r\n\r\n",
    "NATS/1.1\r\nKey: v\r\n\r\n",
    "nats/1.0\r\nKey: v\r\n\r\n",
    "HTTP/1.1 200\r\nKey: v\r\n\r\n",
    "Key: v\r\n\r\n",
    "\0\0\0\0\0\0\0\0\r\nKey: v\r\n\r\n",
  ])("is undefined in a block without it, or a malformed one: %j", (block) => {
    expect(headerOf(block)).toBeUndefined();
  });

  test("is a text or undefined in any bytes, and never one from outside the block", async () => {
    const tokens = ["NATS/1.0", "\r\n", "\r\n", "\n", "\r", "Key", "Key:", ":", " ", "\t", "v", "503", "\0", "\xff"];
    let found = 0;
    await forEachSeed(3_000, (random) => {
      let block = random.bool(0.9) ? "NATS/1.0\r\n" : "";
      for (let i = random.int(0, 12); i > 0; i--) block += random.pick(tokens);
      const value = headerOf(block);
      if (value === undefined) return;
      found++;
      expect(block.replaceAll("\xff", "\ufffd")).toContain(value);
    });
    expect(found).toBeGreaterThan(20);
  });
});

describe("a header block", () => {
  const textOf = (block: Uint8Array): string => new TextDecoder("utf-8", { fatal: true }).decode(block);

  test("is made of names and values, in their order, in UTF-8", () => {
    expect(textOf(headerBlock([]))).toBe("NATS/1.0\r\n\r\n");
    expect(textOf(headerBlock([["A", "é: x"], ["b-!~", ""], ["A", "2"]]))).toBe(
      "NATS/1.0\r\nA: é: x\r\nb-!~: \r\nA: 2\r\n\r\n",
    );
    expect(textOf(headerBlock(new Map([["Key", "v"]])))).toBe("NATS/1.0\r\nKey: v\r\n\r\n");
  });

  test("is read as it was made", async () => {
    await forEachSeed(200, (random) => {
      const characters = ["a", "B", "é", "€", "😀", " ", "\t", ":", "\0", "\x7f", "-"];
      const text = (): string => Array.from({ length: random.int(0, 20) }, () => random.pick(characters)).join("");
      const fields = Array.from({ length: random.int(0, 8) }, () => {
        const name = Array.from({ length: random.int(1, 3) }, () => random.pick(["a", "A", "-", "~", "!"])).join("");
        // Blanks around a value are no part of it.
        return [name, text().replace(/^[ \t]+|[ \t]+$/g, "")] as const;
      });
      const block = headerBlock(fields);
      const bytes = new Uint8Array(block.length + 5).fill(0x0a);
      bytes.set(block, 3);
      for (const [name] of fields) {
        const first = fields.find((field) => field[0] === name)?.[1];
        expect(readHeader(bytes, 3, 3 + block.length, name)).toBe(first);
      }
      expect(readHeader(bytes, 3, 3 + block.length, "none")).toBeUndefined();
    });
  });

  test.each(["", " ", "a b", "a:", ":", "a\r", "a\n", "a\r\nb", "a\t", "\0", "\x7f", "é"])(
    "is refused with a bad name: %j",
    (name) => {
      expect(() => headerBlock([["Good", "x"], [name, "x"]])).toThrow(TypeError);
      expect(() => headerBlock([[name, "x"]])).toThrow("printable ASCII");
    },
  );

  test.each(["\r", "\n", "a\r\nInjected: b", "a\r\n\r\n"])("is refused with a line break in a value: %j", (value) => {
    expect(() => headerBlock([["Key", value]])).toThrow(
      new TypeError("the header Key must have no line break in its value"),
    );
  });
});
