import { describe, expect, test } from "vitest";
import { deadLetterReply, readDeadLetter } from "../../../src/streaming/subscribing/dead-letter.ts";
import type { Message } from "../../../src/streaming/subscribing/message.ts";
import { forEachSeed } from "../../support/random.ts";

const original = { subject: "orders", sequence: 7, timestamp: 1_700_000_000_000_000_001n, reply: "id-1" };

/** What is read back from the reply of a dead letter. */
function readBack(message: Partial<typeof original>, deliveries: number, error: string): unknown {
  const { reply } = deadLetterReply({ ...original, ...message } as Message, deliveries, error);
  expect(reply.length).toBeLessThanOrEqual(1_024);
  return readDeadLetter({ reply });
}

describe("a dead letter", () => {
  test("says what it was", () => {
    const { subject: channel, sequence, timestamp, reply } = original;
    const error = "no such order";
    expect(readBack({}, 3, error)).toEqual({ channel, sequence, timestamp, deliveries: 3, error, reply });
  });

  test("has the beginning of a long error, and the whole original reply", () => {
    const reply = "r".repeat(900);
    const beginning = expect.stringMatching(/^x{10,}$/) as string;
    expect(readBack({ reply }, 1, "x".repeat(5_000))).toMatchObject({ reply, error: beginning });
  });

  test("has no reply where that does not fit, and says so", () => {
    const message = { ...original, reply: "r".repeat(1_000) } as Message;
    const { reply, replyKept } = deadLetterReply(message, 1, "failed");
    expect(replyKept).toBe(false);
    expect(readDeadLetter({ reply })).toMatchObject({ reply: undefined, error: "failed" });
  });

  test("fits whatever characters it has", () => {
    forEachSeed(200, (random) => {
      const text = (most: number): string => random.text(random.int(0, most), 'a"\\\n\u0001é€😀');
      const known = { subject: random.text(random.int(1, 100)), reply: text(1_024) };
      const error = text(3_000);
      const { replyKept } = deadLetterReply({ ...original, ...known } as Message, 2, error);
      const read = readBack(known, 2, error) as { reply: string | undefined; error: string };
      expect(read.reply).toBe(replyKept ? known.reply : undefined);
      expect(error.startsWith(read.error)).toBe(true);
    });
  });

  const incomplete = ['{"dead":2}', '{"dead":1,"s":1}', '{"dead":1,"c":"a","s":1,"t":"x","n":1,"e":""}'];
  test.each(["", "id-1", "{}", "null", "[1]", ...incomplete])(
    "is not any message with the reply %j",
    (reply) => {
      expect(readDeadLetter({ reply })).toBeUndefined();
    },
  );
});
