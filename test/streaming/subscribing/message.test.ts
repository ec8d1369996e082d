import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { SubscribeOptions } from "../../../src/index.ts";
import { Message } from "../../../src/index.ts";
import { Ack, type MsgProto } from "../../../src/testing/messages.ts";
import { bytesOf } from "../../support/bytes.ts";
import { open, Received } from "../../support/clients.ts";
import { FakeStreaming, msgProto } from "../../support/fake-streaming.ts";
import { until } from "../../support/until.ts";

/** A piece of the host's pool, with what it may be aligned by. */
const POOL = Buffer.poolSize + 64;

let fake: FakeStreaming;

beforeEach(async () => {
  fake = await FakeStreaming.start();
  onTestFinished(() => fake.stop());
});

/** The messages of a subscription that are delivered so. */
async function receive(
  changes: Partial<MsgProto>[],
  options: SubscribeOptions = { manualAck: true },
): Promise<Message[]> {
  const client = await open(fake);
  const received = new Received();
  await client.subscribe("fake", received.handler, options);
  changes.forEach((change, i) => fake.deliver(msgProto({ sequence: BigInt(i + 1), ...change })));
  return received.until(changes.length);
}

describe("a message", () => {
  test("has all that the server says of it", async () => {
    const [message] = await receive([
      {
        sequence: 2n ** 53n - 1n,
        reply: "änswer to me",
        data: Uint8Array.of(0, 1, 255),
        timestamp: 1_234_567_890_123_456_789n,
        redelivered: true,
        redeliveryCount: 3,
      },
    ]);
    expect(message).toBeInstanceOf(Message);
    expect(message).toMatchObject({
      subject: "fake",
      sequence: 2 ** 53 - 1,
      reply: "änswer to me",
      timestamp: 1_234_567_890_123_456_789n,
      redelivered: true,
      redeliveryCount: 3,
    });
    expect(message.data).toEqual(Uint8Array.of(0, 1, 255));
    expect(message.time.toISOString()).toBe("2009-02-13T23:31:30.123Z");
  });

  test("of nothing has empty data and no reply", async () => {
    const [message] = await receive([{ data: new Uint8Array(0), timestamp: 0n }]);
    expect(message).toMatchObject({ reply: "", timestamp: 0n, redelivered: false, redeliveryCount: 0 });
    expect(message.data.length).toBe(0);
    expect(message.text()).toBe("");
  });

  test.each([0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 62n + 1n, 2n ** 63n - 1n, -1n, -(2n ** 40n)])(
    "tells the timestamp %s exactly",
    async (timestamp) => {
      const [message] = await receive([{ timestamp }]);
      expect(message.timestamp).toBe(timestamp);
    },
  );

  test("has bytes of its own, which stay when more messages come", async () => {
    const messages = await receive(Array.from({ length: 200 }, (_, i) => ({ data: new Uint8Array(300).fill(i) })));
    messages.forEach(({ data }, i) => {
      expect(data.length).toBe(300);
      expect(data.every((byte) => byte === i)).toBe(true);
      // Kept for long, it keeps little else: never what was read from the socket.
      expect(data.buffer.byteLength).toBeLessThanOrEqual(POOL);
    });
    messages[0].data.fill(99);
    expect(messages[1].data[0]).toBe(1);
  });

  /** Messages of this length, each filled with one of these bytes. */
  const filled = (length: number, ...bytes: number[]): Partial<MsgProto>[] =>
    bytes.map((byte) => ({ data: new Uint8Array(length).fill(byte) }));

  const sizes = [0, 1, 64, 65, 4095, 4096, 70_000];
  test.each(sizes)("has %d bytes of its own, as an array of the plain type", async (length) => {
    const [one, two] = await receive(filled(length, 1, 2));
    one.data.fill(3);
    expect(Object.getPrototypeOf(two.data)).toBe(Uint8Array.prototype);
    expect([two.data.length, two.data.every((byte) => byte === 2)]).toEqual([length, true]);
    if (length <= 64 || length >= 4096) expect(two.data.buffer.byteLength).toBe(length);
  });

  const pooled = [65, 1_000];
  test.each(pooled)("of %d bytes takes along what lies beside it when cloned; its slice does not", async (length) => {
    const [one, two] = await receive(filled(length, 1, 2));
    const clones = [one, two].map(({ data }) => structuredClone(data));
    for (const clone of clones) expect(clone.buffer.byteLength).toBeGreaterThanOrEqual(8 * 1024);
    // A clone has the bytes of the other message. (The second may lie in a new piece.)
    const foreign = clones.map((clone, i) => new Uint8Array(clone.buffer).filter((byte) => byte === 2 - i));
    const found = foreign.map((bytes) => bytes.length >= length);
    expect(found).toContain(true);
    const alone = structuredClone(one.data.slice());
    expect(alone.buffer.byteLength).toBe(length);
    expect(alone).toEqual(new Uint8Array(length).fill(1));
    const transferred = one.data.slice();
    expect(structuredClone(transferred, { transfer: [transferred.buffer] })).toEqual(alone);
  });

  test("does not lose its bytes when those of another are transferred to a worker", async () => {
    const [one, two] = await receive([{ data: new Uint8Array(100).fill(1) }, { data: new Uint8Array(100).fill(2) }]);
    // Newer hosts refuse, older ones copy.
    try {
      structuredClone(one.data, { transfer: [one.data.buffer] });
    } catch {}
    expect(two.data).toEqual(new Uint8Array(100).fill(2));
    const [three] = await receive([{ data: new Uint8Array(100).fill(3) }]);
    expect(three.data).toEqual(new Uint8Array(100).fill(3));
  });

  test("reads as text and as JSON", async () => {
    const messages = await receive([
      { data: bytesOf("Grüße €𝄞") },
      { data: bytesOf('{"a":[1,"ä"]}') },
      { data: Uint8Array.of(0x61, 0xff, 0x62) },
      { data: Uint8Array.of(0xef, 0xbb, 0xbf, 0x61) },
      { data: bytesOf("no JSON") },
    ]);
    expect(messages[0].text()).toBe("Grüße €𝄞");
    expect(messages[1].json<{ a: unknown[] }>().a).toEqual([1, "ä"]);
    expect(messages[2].text()).toBe("a\ufffdb");
    expect(messages[3].text()).toBe("\ufeffa");
    expect(() => messages[4].json()).toThrow(SyntaxError);
  });

  test("is acknowledged once, on its subscription's ack inbox, and false says that this is too late", async () => {
    const client = await open(fake);
    const received = new Received();
    const subscription = await client.subscribe("fake", received.handler, { manualAck: true });
    fake.deliver(msgProto({ sequence: 5n }));
    fake.deliver(msgProto({ sequence: 6n }));
    const [five, six] = await received.until(2);
    expect(five.ack()).toBe(true);
    expect(five.ack()).toBe(true);
    await until("the ack is there", () => fake.others.length > 0);
    await subscription.close();
    expect(six.ack()).toBe(false);
    expect(five.ack()).toBe(false);
    await client.close();
    expect(fake.others.map(({ subject, payload }) => [subject, Ack.read(payload)])).toEqual([
      [fake.held[0].ackInbox, { subject: "fake", sequence: 5n }],
    ]);
  });

  test("shares no memory on a host that has no pool, as Bun", async () => {
    const allocUnsafe = vi.spyOn(Buffer, "allocUnsafe").mockImplementation((size) => Buffer.allocUnsafeSlow(size));
    onTestFinished(() => allocUnsafe.mockRestore());
    // Those that come first may fill what is left of a piece of the pool.
    const messages = await receive(filled(500, ...Array.from({ length: 20 }, (_, i) => i)));
    for (const { data } of messages.slice(-9)) expect(data.buffer.byteLength).toBe(500);
    for (const [i, { data }] of messages.entries()) expect(data).toEqual(new Uint8Array(500).fill(i));
  });
});
