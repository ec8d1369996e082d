import { expect, test } from "vitest";
import { headerOf, parseRfc3339, rfc3339 } from "../../src/bridge/copied-message.ts";
import { Random } from "../support/random.ts";

test("a time is written with all nine digits, and read again", () => {
  expect(rfc3339(0n)).toBe("1970-01-01T00:00:00.000000000Z");
  expect(rfc3339(1_795_837_239_000_000_001n)).toBe("2026-11-28T03:40:39.000000001Z");
  const random = new Random(3);
  for (let i = 0; i < 500; i++) {
    const time = BigInt(random.int(0, 4_000_000_000)) * 1_000_000_000n + BigInt(random.int(0, 999_999_999));
    expect(parseRfc3339(rfc3339(time))).toBe(time);
  }
});

test("a time is read with fewer digits and another zone too, as stan2js writes it", () => {
  expect(parseRfc3339("2026-11-28T03:40:39Z")).toBe(1_795_837_239_000_000_000n);
  expect(parseRfc3339("2026-11-28T03:40:39.5Z")).toBe(1_795_837_239_500_000_000n);
  expect(parseRfc3339("2026-11-28T04:40:39.000000001+01:00")).toBe(1_795_837_239_000_000_001n);
  for (const text of ["", "yesterday", "2026-11-28", "2026-13-28T03:40:39Z", "2026-11-28T03:40:39"]) {
    expect(parseRfc3339(text), text).toBeUndefined();
  }
});

test("a reply is one line in a header", () => {
  expect(headerOf("import-7 é")).toBe("import-7 é");
  expect(headerOf(" a\r\nNats-Msg-Id: x\r\n")).toBe("a  Nats-Msg-Id: x");
});
