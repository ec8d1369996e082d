import { describe, expect, test } from "vitest";
import { Outbox } from "../../src/core-nats/outbox.ts";
import { bytesOf, concat, latin1, sameBytes } from "../support/bytes.ts";
import { forEachSeed } from "../support/random.ts";

const KIB = 1024;

/** Takes writes, and lets go of them when told to: a socket whose peer may be slow. */
class SlowSink {
  /** A copy of each write, made at once. */
  readonly copies: Uint8Array[] = [];
  readonly writes: Uint8Array[] = [];
  readonly #written: (() => void)[] = [];

  write(bytes: Uint8Array, written: () => void): void {
    this.copies.push(bytes.slice());
    this.writes.push(bytes);
    this.#written.push(written);
  }

  /** The oldest writes have been taken over. */
  take(count = Infinity): void {
    for (const written of this.#written.splice(0, Math.min(count, this.#written.length))) written();
  }

  untaken(list: readonly Uint8Array[]): Uint8Array[] {
    return list.slice(list.length - this.#written.length);
  }

  get bytes(): Uint8Array {
    return concat(this.copies);
  }

  get text(): string {
    return latin1(this.bytes);
  }
}

function nothing(): void {}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** As a publisher does: the line, and then the payload into the buffer. */
function send(outbox: Outbox, head: string, token: number, payload: Uint8Array): void {
  const at = outbox.begin(bytesOf(head), token, payload.length, payload.length);
  outbox.bytes.set(payload, at);
}

/** The same, with headers before the payload. */
function sendWithHeaders(outbox: Outbox, head: string, headers: Uint8Array, payload: Uint8Array): void {
  const at = outbox.beginWithHeaders(bytesOf(head), headers.length, headers.length + payload.length);
  outbox.bytes.set(headers, at);
  outbox.bytes.set(payload, at + headers.length);
}

describe("the outbox", () => {
  test("writes the operations of one turn at once, in the order of the calls", async () => {
    const sink = new SlowSink();
    const outbox = new Outbox(sink, nothing);
    outbox.line("PING");
    outbox.pub(bytesOf("PUB a "), bytesOf("12345"));
    send(outbox, "PUB b.c ack.", 0x0f, bytesOf("67"));
    send(outbox, "PUB d ", -1, new Uint8Array(0));
    outbox.line("SUB ä 1");
    expect(sink.writes).toHaveLength(0);
    expect(outbox.pending).toBeGreaterThan(0);
    await turn();
    expect(sink.writes).toHaveLength(1);
    expect(sink.bytes).toEqual(
      bytesOf("PING\r\nPUB a 5\r\n12345\r\nPUB b.c ack.0f 2\r\n67\r\nPUB d 0\r\n\r\nSUB ä 1\r\n"),
    );
    sink.take();
    expect(outbox.pending).toBe(0);
    await turn();
    expect(sink.writes).toHaveLength(1);
  });

  test("writes at once when told to, and nothing twice", async () => {
    const sink = new SlowSink();
    const outbox = new Outbox(sink, nothing);
    outbox.line("PING");
    outbox.flush();
    outbox.flush();
    await turn();
    expect(sink.text).toBe("PING\r\n");
  });

  test("writes a size of any number of digits", async () => {
    for (const size of [0, 1, 9, 10, 99, 100, 999, 1_000, 9_999, 10_000, 32_768, 32_769, 99_999, 100_000, 1_048_576]) {
      const sink = new SlowSink();
      const outbox = new Outbox(sink, nothing);
      outbox.pub(bytesOf("PUB a "), new Uint8Array(size).fill(120));
      outbox.flush();
      expect(sink.text === `PUB a ${size}\r\n${"x".repeat(size)}\r\n`).toBe(true);
    }
  });

  test("writes an HPUB with both sizes, of any number of digits", () => {
    const sizes = [0, 1, 9, 10, 99, 100, 999, 1_000, 65_535];
    for (const size of [...sizes, 256 * KIB - 40, 256 * KIB, 999_999, 1_048_576]) {
      for (const headerSize of sizes) {
        const sink = new SlowSink();
        const outbox = new Outbox(sink, nothing);
        outbox.line("PING");
        const headers = new Uint8Array(headerSize).fill(104);
        sendWithHeaders(outbox, "HPUB a ", headers, new Uint8Array(size).fill(112));
        outbox.line("PONG");
        outbox.flush();
        const line = `HPUB a ${headerSize} ${headerSize + size}`;
        const expected = `PING\r\n${line}\r\n${"h".repeat(headerSize)}${"p".repeat(size)}\r\nPONG\r\n`;
        expect(sink.text === expected, line).toBe(true);
      }
    }
  });

  test("writes the same bytes for any sizes and any turns, while written buffers are reused late or soon", async () => {
    await forEachSeed(20, async (random) => {
      const sink = new SlowSink();
      const outbox = new Outbox(sink, nothing);
      const expected: Uint8Array[] = [];
      for (let i = 0; i < 200; i++) {
        const payload = new Uint8Array(random.int(0, random.pick([8, 200, 20 * KIB, 40 * KIB]))).fill(
          random.int(32, 126),
        );
        switch (random.int(0, 4)) {
          case 0:
            outbox.line("PING");
            expected.push(bytesOf("PING\r\n"));
            break;
          case 1:
            outbox.pub(bytesOf("PUB some.subject "), payload);
            expected.push(bytesOf(`PUB some.subject ${payload.length}\r\n`), payload.slice(), bytesOf("\r\n"));
            // It was copied: the caller may do with its bytes what it likes.
            payload.fill(0);
            break;
          case 2:
            if (payload.length <= 20 * KIB) send(outbox, "PUB s a.", i, payload);
            else {
              const at = outbox.begin(bytesOf("PUB s a."), i, payload.length, 10);
              outbox.bytes.set(payload.subarray(0, 10), at);
              outbox.attach(payload.subarray(10));
            }
            expected.push(
              bytesOf(`PUB s a.${i.toString(16).padStart(2, "0")} ${payload.length}\r\n`),
              payload,
              bytesOf("\r\n"),
            );
            break;
          case 3: {
            const header = new Uint8Array(random.int(0, 200)).fill(random.int(32, 126));
            sendWithHeaders(outbox, "HPUB s reply ", header, payload);
            const sizes = `${header.length} ${header.length + payload.length}`;
            expected.push(bytesOf(`HPUB s reply ${sizes}\r\n`), header, payload, bytesOf("\r\n"));
            break;
          }
          default:
            if (random.bool()) await turn();
            sink.take(random.int(0, 3));
        }
      }
      outbox.flush();
      expect(sameBytes(sink.bytes, concat(expected))).toBe(true);
      // What was handed over is the same until it has been taken: no buffer was reused before that.
      expect(sameBytes(concat(sink.untaken(sink.writes)), concat(sink.untaken(sink.copies)))).toBe(true);
    });
  });

  test("copies what it is given, of any size: it may change before it has been taken over", () => {
    for (const size of [10, 32 * KIB, 32 * KIB + 1, 200 * KIB]) {
      const sink = new SlowSink();
      const outbox = new Outbox(sink, nothing);
      const payload = new Uint8Array(size).fill(120);
      outbox.pub(bytesOf("PUB a "), payload);
      outbox.flush();
      payload.fill(0);
      expect(latin1(concat(sink.writes)) === `PUB a ${size}\r\n${"x".repeat(size)}\r\n`).toBe(true);
    }
  });

  test("does not touch what it has written until that is taken over", () => {
    const sink = new SlowSink();
    const outbox = new Outbox(sink, nothing);
    for (let i = 0; i < 100; i++) {
      send(outbox, "PUB a ", -1, new Uint8Array(8 * KIB).fill(i));
      if (i % 7 === 0) outbox.flush();
    }
    outbox.flush();
    expect(sink.writes.length).toBeGreaterThan(10);
    expect(sameBytes(concat(sink.writes), sink.bytes)).toBe(true);
  });

  test("uses the same few buffers over and over while the peer keeps up", () => {
    const sink = new SlowSink();
    const outbox = new Outbox(sink, nothing);
    for (let i = 0; i < 1_000; i++) {
      send(outbox, "PUB a ", -1, new Uint8Array(10 * KIB));
      sink.take();
    }
    expect(new Set(sink.writes.map((bytes) => bytes.buffer)).size).toBeLessThanOrEqual(2);
  });

  test("holds back above a mark, and calls once when half of that has been taken over", () => {
    const sink = new SlowSink();
    let calls = 0;
    const outbox = new Outbox(sink, () => calls++);
    let sent = 0;
    while (!outbox.full) {
      send(outbox, "PUB a ", -1, new Uint8Array(10 * KIB));
      sent++;
    }
    expect(outbox.pending).toBeLessThan(2 * KIB * KIB);
    expect(sent).toBeGreaterThan(50);
    // Acks, heartbeats and pings are taken all the same.
    outbox.line("PONG");
    outbox.flush();
    expect(sink.text.endsWith("PONG\r\n")).toBe(true);
    while (calls === 0) {
      expect(outbox.full).toBe(true);
      sink.take(1);
    }
    expect(outbox.pending).toBeLessThanOrEqual((KIB * KIB) / 2);
    expect(outbox.full).toBe(false);
    sink.take();
    expect(calls).toBe(1);
    expect(outbox.pending).toBe(0);
  });

  test("does not tie up a buffer for each of many small operations while the peer reads nothing", async () => {
    const sink = new SlowSink();
    const outbox = new Outbox(sink, nothing);
    for (let i = 0; i < 1_000; i++) {
      outbox.line("PONG");
      await turn();
    }
    const buffers = (): number => new Set(sink.writes.map((bytes) => bytes.buffer)).size;
    expect(buffers()).toBeLessThanOrEqual(16);
    // All of it leaves as soon as something is taken, without anything more being sent.
    sink.take(1);
    expect(sink.text).toBe("PONG\r\n".repeat(1_000));
    sink.take();
    expect(outbox.pending).toBe(0);
    outbox.line("PING");
    await turn();
    expect(sink.text.endsWith("PONG\r\nPING\r\n")).toBe(true);
  });

  test("keeps a bounded number of buffers after a backlog", () => {
    const sink = new SlowSink();
    const outbox = new Outbox(sink, nothing);
    for (let i = 0; i < 500; i++) send(outbox, "PUB a ", -1, new Uint8Array(20 * KIB));
    outbox.flush();
    sink.take();
    const before = sink.writes.length;
    const old = new Set(sink.writes.map((bytes) => bytes.buffer));
    for (let i = 0; i < 500; i++) send(outbox, "PUB a ", -1, new Uint8Array(20 * KIB));
    outbox.flush();
    const reused = sink.writes.slice(before).filter((bytes) => old.has(bytes.buffer));
    expect(reused.length).toBeGreaterThan(0);
    expect(reused.length).toBeLessThanOrEqual(20);
  });

  test("sends nothing after it was closed, and tells nothing", async () => {
    const sink = new SlowSink();
    let calls = 0;
    const outbox = new Outbox(sink, () => calls++);
    while (!outbox.full) send(outbox, "PUB a ", -1, new Uint8Array(10 * KIB));
    const writes = sink.writes.length;
    outbox.close();
    outbox.line("PING");
    outbox.pub(bytesOf("PUB a "), new Uint8Array(100 * KIB));
    outbox.flush();
    await turn();
    sink.take();
    expect(sink.writes).toHaveLength(writes);
    expect(calls).toBe(0);
  });
});
