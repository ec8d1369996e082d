import { describe, expect, test } from "vitest";
import { readStatus } from "../../src/core-nats/headers.ts";

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
