import { describe, expect, test } from "vitest";
import { NatsError } from "../../src/core-nats/errors.ts";
import { bytesOf } from "../support/bytes.ts";
import { range } from "../support/clients.ts";
import { EMPTY, failure, into, pair, problems, text } from "../support/connections.ts";
import type { Frame } from "../support/frames.ts";
import { forEachSeed } from "../support/random.ts";

describe("requests", () => {
  test("a request gets the first answer that can be read; an unreadable one is told", async () => {
    const { connection, link } = await pair();
    const answer = connection.request("ask", bytesOf("question"), 5_000, (bytes, start, end) => {
      const said = text(bytes, start, end);
      if (said === "rubbish") throw new Error("unreadable");
      return said;
    });
    const asked = await link.next(/^PUB ask /);
    link.deliver("1", asked.reply, "rubbish");
    link.deliver("1", asked.reply, "right");
    link.deliver("1", asked.reply, "too late");
    expect(await answer).toBe("right");
    expect(problems).toMatchObject([{ code: "PROTOCOL", reason: "an answer to a request to ask cannot be read" }]);
  });

  test("answers find their requests, whatever their order", async () => {
    const { connection, link } = await pair();
    await forEachSeed(3, async (random) => {
      const questions = Array.from({ length: 200 }, (_, i) => String(i));
      const answers = questions.map((question) => connection.request("ask", bytesOf(question), 5_000, text));
      const asked: Frame[] = [];
      while (asked.length < questions.length) asked.push(await link.next(/^PUB ask /));
      while (asked.length > 0) {
        const [frame] = asked.splice(random.int(0, asked.length - 1), 1);
        link.deliver("1", frame!.reply, frame!.payload);
      }
      expect(await Promise.all(answers)).toEqual(questions);
    });
  });

  test("a request fails at once by a 503, else after its timeout; a late answer is read if it is wanted", async () => {
    const { connection, link } = await pair();
    const refused = failure(connection.request("nobody", EMPTY, 5_000, text));
    link.noResponders("1", (await link.next(/^PUB nobody /)).reply);
    expect(await refused).toMatchObject({ code: "NO_RESPONDERS", reason: "nobody listens on nobody (503)" });

    const late: string[] = [];
    const silent = failure(connection.request("silent", EMPTY, 20, text, into(late)));
    const forgotten = failure(connection.request("silent", EMPTY, 20, text));
    expect(await silent).toMatchObject({ code: "TIMEOUT", reason: "no answer to a request to silent within 20 ms" });
    await forgotten;
    for (let i = 0; i < 2; i++) link.deliver("1", (await link.next(/^PUB silent /)).reply, `late ${i}`);
    link.send("PING\r\n");
    await link.next(/^PONG/);
    expect(late).toEqual(["late 0"]);
  });

  test("of late answers, too, the first is taken that can be read, unless it is a 503", async () => {
    const { connection, link } = await pair();
    const late: string[] = [];
    const read = (bytes: Uint8Array, start: number, end: number): void => {
      if (start === end) throw new Error("unreadable");
      into(late)(bytes, start, end);
    };
    await Promise.all([
      failure(connection.request("slow", EMPTY, 10, text, read)),
      failure(connection.request("gone", EMPTY, 10, text, read)),
    ]);
    const slow = (await link.next(/^PUB slow /)).reply;
    for (const said of ["", "right", "again"]) link.deliver("1", slow, said);
    const { reply } = await link.next(/^PUB gone /);
    link.noResponders("1", reply);
    link.deliver("1", reply, "after a 503");
    await connection.flush();
    expect(late).toEqual(["right"]);
    expect(problems).toMatchObject([{ code: "PROTOCOL", reason: "an answer to a request to slow cannot be read" }]);
  });

  test("of requests that nobody ever answered, the last 1,000 are remembered", async () => {
    const { connection, link } = await pair();
    const late: number[] = [];
    const ask = (i: number): Promise<NatsError> =>
      failure(connection.request("silent", EMPTY, 20, text, () => late.push(i)));
    await Promise.all(range(0, 749).map(ask));
    await Promise.all(range(750, 1_499).map(ask));
    const asked: Frame[] = [];
    while (asked.length < 1_500) asked.push(await link.next(/^PUB silent /));
    for (const { reply } of asked) link.deliver("1", reply, "at last");
    link.send("PING\r\n");
    await link.next(/^PONG/);
    expect(late).toEqual(range(500, 1_499));
  });
});

describe("what the server denies", () => {
  test("a request to a subject fails at once, the others go on, and so does the link", async () => {
    const { connection, link } = await pair();
    const denied = failure(connection.request("secret", EMPTY, 5_000, text));
    const allowed = connection.request("open", EMPTY, 5_000, text);
    await link.next(/^PUB secret /);
    link.send(`-ERR 'Permissions Violation for Publish to "secret"'\r\n`);
    expect(await denied).toMatchObject({ code: "PERMISSIONS" });
    link.deliver("1", (await link.next(/^PUB open /)).reply, "yes");
    expect(await allowed).toBe("yes");
    expect(problems).toEqual([]);
  });

  test("of several requests to a subject, a denial is for the newest, not for one that has timed out", async () => {
    const { connection, link } = await pair();
    const late: string[] = [];
    await failure(connection.request("ask", EMPTY, 10, text, into(late)));
    const { reply } = await link.next(/^PUB ask /);
    const denied = failure(connection.request("ask", EMPTY, 5_000, text));
    await link.next(/^PUB ask /);
    link.send(`-ERR 'Permissions Violation for Publish to "ask"'\r\n`);
    expect((await denied).code).toBe("PERMISSIONS");
    link.deliver("1", reply, "after all");
    await connection.flush();
    expect(late).toEqual(["after all"]);
  });

  test("the inbox for answers: requests fail at once, those under way and those to come", async () => {
    const { connection, link } = await pair();
    const underWay = failure(connection.request("ask", EMPTY, 5_000, text));
    const inbox = await link.next(/^SUB _INBOX/);
    link.send(`-ERR 'Permissions Violation for Subscription to "${inbox.subject}"'\r\n`);
    expect((await underWay).code).toBe("PERMISSIONS");
    expect((await failure(connection.request("ask", EMPTY, 5_000, text))).code).toBe("PERMISSIONS");
    expect(problems).toMatchObject([{ code: "PERMISSIONS" }]);
    expect(connection.ended.aborted).toBe(false);
  });

  test("a reply subject that is reserved: the request fails at once", async () => {
    const { connection, link } = await pair({ inboxPrefix: "_R_" });
    const asked = failure(connection.request("ask", EMPTY, 5_000, text));
    const { reply } = await link.next(/^PUB ask /);
    link.send(`-ERR 'Permissions Violation for Publish with Reply of "${reply}"'\r\n`);
    expect(await asked).toMatchObject({ code: "PERMISSIONS" });
    expect(problems).toEqual([]);
  });
});
