import { describe, expect, test } from "vitest";
import { endOf, failure, fake, Mailbox, open, pair, problems } from "../support/connections.ts";
import { FakeServer } from "../support/raw.ts";

describe("what the server refuses", () => {
  test.each([
    ["Unknown Protocol Operation", "PROTOCOL"],
    ["maximum control line exceeded", "PROTOCOL"],
    ["Maximum Payload Violation", "PROTOCOL"],
    ["invalid client protocol", "PROTOCOL"],
    ["no responders requires headers support", "PROTOCOL"],
    ["maximum connections exceeded", "SERVER"],
    ["maximum account active connections exceeded", "SERVER"],
    ["Authentication Timeout", "SERVER"],
    ["Stale Connection", "SERVER"],
    ["Secure Connection - TLS Required", "SERVER"],
    ["Connection throttling is active. Please try again later.", "SERVER"],
    ["attempted to connect to route port", "AUTHORIZATION"],
    ["Authorization Violation", "AUTHORIZATION"],
    ["User Authentication Expired", "AUTHORIZATION"],
    ["User Authentication Revoked", "AUTHORIZATION"],
    ["Account Authentication Expired", "AUTHORIZATION"],
    ["something of a later version", "SERVER"],
  ])("%s, and a close: that is the reason, before and after the connection is open", async (said, code) => {
    const expected = (server: FakeServer): object => ({ code, reason: `127.0.0.1:${server.port}: ${said}` });
    const early = await fake({ greet: false });
    const attempt = failure(open(early.url));
    const link = await early.link();
    link.send(`INFO {}\r\n-ERR '${said}'\r\n`);
    link.end();
    expect(await attempt).toMatchObject(expected(early));

    const late = await pair();
    late.link.send(`-ERR '${said}'\r\n`);
    late.link.end();
    expect(await endOf(late.connection)).toMatchObject(expected(late.server));
    expect(problems).toEqual([]);
  });

  test("an error that no close follows is told, and is not the reason of what happens later", async () => {
    const { connection, link } = await pair();
    link.send("-ERR 'something of a later version'\r\n");
    await connection.flush();
    expect(problems).toMatchObject([{ code: "SERVER" }]);
    link.end();
    expect((await endOf(connection)).code).toBe("CONNECTION_LOST");
  });

  test.each(["Invalid Subject", "Invalid Publish Subject", "Failed Account Registration"])(
    "%s: is told, and the link stays",
    async (said) => {
      const { connection, link } = await pair();
      link.send(`-ERR '${said}'\r\n`);
      await connection.flush();
      expect(problems).toMatchObject([{ code: "SERVER", reason: said }]);
    },
  );

  test.each([
    ["a.b", '"a.b"'],
    ["a.b", '"a.b" using queue "q"'],
    ["a.b", '"a.b" (sid "2")'],
    ["a.b", '"a.b", too many tokens'],
    ['say."hi"\\now', '"say.\\"hi\\"\\\\now"'],
    ["zero\u200bwidth.\u{e0001}ü", '"zero\\u200bwidth.\\U000e0001ü"'],
  ])(
    "a subscription to %s, told as %s: its receiver is told, nobody else, and the link stays",
    async (subject, quoted) => {
      const { connection, link } = await pair();
      const [denied, other] = [new Mailbox(), new Mailbox()];
      connection.subscribe(subject, denied);
      connection.subscribe("a.c", other);
      link.send(`-ERR 'Permissions Violation for Subscription to ${quoted}'\r\n`);
      await connection.flush();
      expect(denied.denials).toMatchObject([{ code: "PERMISSIONS" }]);
      expect(other.denials).toEqual([]);
      expect(problems).toEqual([]);
      expect(connection.ended.aborted).toBe(false);
    },
  );

  test("a subscription too many: the newest is the one", async () => {
    const { connection, link } = await pair();
    const boxes = [new Mailbox(), new Mailbox(), new Mailbox()];
    for (const [i, box] of boxes.entries()) connection.subscribe(`a.${i}`, box);
    link.send("-ERR 'maximum subscriptions exceeded'\r\n-ERR 'Maximum Subscriptions Exceeded'\r\n");
    await connection.flush();
    expect(boxes.map(({ denials }) => denials.length)).toEqual([0, 1, 1]);
  });

  test("a publish that nobody waits for is told, or taken by whoever knows it", async () => {
    const { connection, link } = await pair();
    const asked: string[] = [];
    link.send(`-ERR 'Permissions Violation for Publish to "a"'\r\n`);
    await connection.flush();
    expect(problems).toMatchObject([{ code: "PERMISSIONS", reason: 'Permissions Violation for Publish to "a"' }]);
    connection.publishDenied = (subject) => asked.push(subject) > 0;
    link.send(`-ERR 'Permissions Violation for Publish to "b"'\r\n`);
    await connection.flush();
    expect(asked).toEqual(["b"]);
    expect(problems).toHaveLength(1);
  });
});
