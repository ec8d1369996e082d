import { expect, test } from "vitest";
import { rfc3339 } from "../../src/bridge/copied-message.ts";
import { HeaderWriter } from "../../src/bridge/header-writer.ts";
import { Random } from "../support/random.ts";

function expectBlocks(first: string, offset: -1 | 0, messages: readonly (readonly [number, bigint])[]): void {
  const writer = new HeaderWriter(first, offset);
  for (const [sequence, time] of messages) {
    const number = `Nats-Streaming-Sequence: ${sequence}`;
    const expected = `${first}${sequence + offset}\r\n${number}\r\nNats-Streaming-Timestamp: ${rfc3339(time)}`;
    expect(new TextDecoder().decode(writer.write(sequence, time))).toBe(`NATS/1.0\r\n${expected}\r\n\r\n`);
  }
}

test("a header writer writes what text would be, where numbers get another digit and seconds change", () => {
  const time = 1_795_837_239_999_999_998n;
  const edges = [1, 2, 8, 9, 10, 11, 99, 100, 101, 999, 1_000, 1_001, 9_999_999, 10_000_000, Number.MAX_SAFE_INTEGER];
  const messages = edges.flatMap((sequence, i) => [
    [sequence, time + BigInt(i)] as const,
    [sequence, time - 1_000_000_000n] as const,
    [sequence, 0n] as const,
  ]);
  expectBlocks("Nats-Expected-Last-Sequence: ", -1, messages);
  expectBlocks("Nats-Msg-Id: stan:test-cluster:orders.é:", 0, messages);
});

test("a header writer writes what text would be, for runs of numbers and times that go on and back", () => {
  const random = new Random(17);
  for (let run = 0; run < 50; run++) {
    let sequence = random.int(1, random.pick([20, 2_000, 2 ** 40]));
    let time = BigInt(random.int(0, 2_000_000_000)) * 1_000_000_000n + BigInt(random.int(0, 999_999_999));
    const messages: [number, bigint][] = [];
    for (let i = 0; i < 100; i++) {
      messages.push([sequence, time]);
      sequence += random.bool(0.9) ? 1 : random.int(1, 1_000);
      time += BigInt(random.pick([1, 1_000, 40_000_000, 900_000_000, -20_000_000]));
      if (time < 0n) time = 0n;
    }
    expectBlocks("Nats-Expected-Last-Sequence: ", random.pick([-1, 0]), messages);
  }
});
