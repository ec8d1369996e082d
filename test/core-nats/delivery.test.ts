import { describe, expect, test } from "vitest";
import type { Delivery } from "../../src/core-nats/delivery.ts";
import { Parser } from "../../src/core-nats/parser.ts";
import { binary, collector, every, message, outcome } from "../support/parsing.ts";

describe("a delivery", () => {
  test("is reported where it lies, without copying, and no bytes are held afterwards", () => {
    const chunk = binary("PING\r\nMSG a.b 1 r 5\r\nhello\r\n");
    const places: unknown[] = [];
    const deliveries: Delivery[] = [];
    const parser = new Parser({
      ...collector([]),
      message: (delivery) => {
        deliveries.push(delivery);
        places.push(delivery.bytes === chunk, delivery.head === chunk, delivery.start, delivery.end);
      },
    });
    parser.parse(chunk);
    expect(places).toEqual([true, true, 21, 26]);
    expect(deliveries[0].bytes).toHaveLength(0);
    expect(deliveries[0].head).toHaveLength(0);
  });

  test("is one and the same object each time", () => {
    const deliveries = new Set<Delivery>();
    const parser = new Parser({ ...collector([]), message: (delivery) => deliveries.add(delivery) });
    parser.parse(binary("MSG a 1 1\r\nx\r\nMSG b 2 r 1\r\nx\r\n"));
    parser.parse(binary("HMSG c 3 12 13\r\nNATS/1.0\r\n\r\nx\r\nMSG a 1 1\r\nx"));
    parser.parse(binary("\r\n"));
    expect(deliveries.size).toBe(1);
  });

  test("tells nothing of the one before", () => {
    const text = "HMSG a 9 r 16 17\r\nNATS/1.0 503\r\n\r\nx\r\nMSG b 1 1\r\ny\r\nMSG b 1 0\r\n\r\n";
    const headers = "NATS/1.0 503\r\n\r\n";
    const first = message("a", 9, "x", { reply: "r", status: 503, headers });
    const expected = [first, message("b", 1, "y"), message("b", 1, "")];
    for (let size = 1; size <= text.length; size++) {
      expect(outcome(binary(text), every(size, text.length)).operations, `chunks of ${size}`).toEqual(expected);
    }
  });

  test("gives its headers by name, and those of the one before no more", () => {
    const block = "NATS/1.0\r\nNats-Msg-Id: 7\r\n\r\n";
    const line = `HMSG a 1 ${block.length} ${block.length + 20}`;
    const text = `${line}\r\n${block}Nats-Msg-Id: 8\r\nabcd\r\nMSG b 2 r 1\r\nx\r\n`;
    for (let size = 1; size <= text.length; size++) {
      const read: unknown[] = [];
      const parser = new Parser({
        ...collector([]),
        message: (delivery) => {
          read.push(delivery.header("Nats-Msg-Id"), delivery.header("nats-msg-id"));
          read.push(delivery.start - delivery.headerStart);
        },
      });
      for (const chunk of chunks(text, size)) parser.parse(chunk);
      expect(read, `chunks of ${size}`).toEqual(["7", undefined, block.length, undefined, undefined, 0]);
    }
  });
});

function chunks(text: string, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(text.length / size) }, (_, i) => binary(text.slice(i * size, (i + 1) * size)));
}
