import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import type { Message } from "../../src/index.ts";
import { StreamingServer as EmbeddedServer } from "../../src/testing/server.ts";
import { embedded, fresh, open, Received } from "../support/clients.ts";
import { drawn, Examples } from "../support/examples.ts";
import { channelPage } from "../support/monitor.ts";
import type { Program } from "../support/program.ts";
import { forEachSeed } from "../support/random.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

const examples = new Examples();

/** A server, and how many messages a channel of it holds. */
interface Server {
  readonly url: string;
  count(channel: string): Promise<number>;
  stop(): Promise<void>;
}

async function embeddedServer(): Promise<Server> {
  const server = await EmbeddedServer.start();
  return { url: server.url, count: async (channel) => server.messages(channel).length, stop: () => server.stop() };
}

async function realServer(): Promise<Server> {
  const server = await RealServer.start({ args: ["-mc", "0"] });
  return {
    url: server.url,
    count: async (channel) => (await channelPage(server, channel))?.msgs ?? 0,
    stop: () => server.stop(),
  };
}

/** Where to go on, as it was printed last; `before` if it was not. */
function nextOf(err: string, before: number): number {
  return Number([...err.matchAll(/--from (\d+)/g)].at(-1)?.[1] ?? before);
}

const linesOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `line ${i + 1} of ${count}`);

describe("load-file, with an embedded server", () => suite(embeddedServer));
describeWithServer("load-file, with nats-streaming-server", () => suite(realServer));

function suite(startServer: () => Promise<Server>): void {
  const server = forSuite(startServer);
  const load = (file: string, channel: string, args: readonly string[] = [], env = {}): Program =>
    examples.run("load-file", [file, channel, "--server", server().url, ...args], env);
  /** All that a channel holds, fetched far ahead: it may be much. */
  async function stored(channel: string): Promise<Message[]> {
    const got = new Received();
    const client = await open(server());
    await client.subscribe(channel, got.handler, { startAt: "first", maxInFlight: 10_000 });
    await until("all is read", async () => got.all.length === (await server().count(channel)), 30_000);
    await client.close();
    return got.all;
  }

  /** Each line is there, as often as may be, and tells its number. */
  async function expectAll(file: string, channel: string, lines: readonly string[]): Promise<void> {
    const missing = new Map(lines.map((text, i) => [`${basename(file)}:${i + 1}`, text]));
    const expected = new Map(missing);
    const messages = await stored(channel);
    expect(messages.filter((message) => expected.get(message.reply) !== message.text())).toEqual([]);
    for (const { reply } of messages) missing.delete(reply);
    expect([...missing.keys()]).toEqual([]);
  }

  test("stores every line, of any length and of any bytes, in the order of the file, with its number", async () => {
    const channel = fresh("channel");
    const lines = Array.from({ length: 2_000 }, (_, i) => `${i} ${"x".repeat((i * 37) % 500)}`);
    lines[1_000] = "y".repeat(200_000);
    const file = examples.file("lines.txt", lines.join("\n"));
    const { code, out } = await load(file, channel).ended;
    expect(code).toBe(0);
    expect(out).toMatch(/^2,000 lines stored in \S+ in \d+\.\d s\n$/);
    const messages = await stored(channel);
    expect(messages.map((message) => message.text())).toEqual(lines);
    expect(messages.map((message) => message.reply)).toEqual(lines.map((_, i) => `lines.txt:${i + 1}`));
  });

  test("stops at a line that cannot be stored, and says where to go on", async () => {
    const channel = fresh("channel");
    const file = examples.file("large.txt", `one\ntwo\n${"x".repeat(1_100_000)}\nfour\n`);
    const { code, err } = await load(file, channel).ended;
    expect(code).toBe(1);
    expect(err).toMatch(/^load-file: publish \S+: .*max_payload.*; go on with --from 2\n$/);
    expect(await server().count(channel)).toBe(2);
    const next = await load(file, channel, ["--from", "3"]).ended;
    expect(next).toMatchObject({ code: 0, out: expect.stringMatching(/^1 lines stored/) as string });
    expect((await stored(channel)).map((message) => message.text())).toEqual(["one", "two", "four"]);
  });

  const long = { timeout: 120_000 };
  test("killed at random moments, and begun again from what it has printed, it leaves out no line", long, async () => {
    const lines = linesOf(30_000);
    const file = examples.file("killed.txt", lines.join("\n"));
    let kills = 0;
    await forEachSeed(2, async (random) => {
      const channel = fresh("channel");
      const last = kills + 5;
      let from = 0;
      for (let code: number | null = null; code !== 0; ) {
        const run = load(file, channel, ["--from", String(from)], examples.terminal(80));
        let over = false;
        void run.ended.then(() => (over = true));
        if (kills < last) {
          // Mostly after it has come further, sometimes before it has begun.
          if (random.bool(0.8)) await until("it says how far it is", () => over || nextOf(run.err(), from) > from);
          await new Promise<void>((resolve) => setTimeout(resolve, random.int(0, 150)));
          run.kill("SIGKILL");
        }
        const { err, ...ended } = await run.ended;
        code = ended.code;
        if (code !== 0) {
          expect({ signal: ended.signal, err }).toEqual({
            signal: "SIGKILL",
            err: expect.not.stringContaining("load-file:") as string,
          });
          kills++;
        }
        from = nextOf(err, from);
      }
      await expectAll(file, channel, lines);
    });
    expect(kills).toBeGreaterThan(0);
  });

  test("interrupted, it says where to go on, and goes on there", { timeout: 60_000 }, async () => {
    const lines = linesOf(20_000);
    const file = examples.file("interrupted.txt", lines.join("\n"));
    const channel = fresh("channel");
    const run = load(file, channel);
    await until("some are stored", async () => (await server().count(channel)) > 0);
    run.kill("SIGINT");
    const { code, err } = await run.ended;
    expect(code).toBe(130);
    expect(err).toMatch(/load-file: interrupted; go on with --from \d+\n$/);
    expect((await load(file, channel, ["--from", String(nextOf(err, NaN))]).ended).code).toBe(0);
    await expectAll(file, channel, lines);
  });

  test("told to leave out more lines than there are, it says so", async () => {
    const channel = fresh("channel");
    const file = examples.file("three.txt", "1\n2\n3\n");
    expect(await load(file, channel, ["--from", "3"]).ended).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^0 lines stored/) as string,
    });
    const run = await load(file, channel, ["--from", "4"]).ended;
    expect(run).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringMatching(/^load-file: .*three\.txt has 3 lines only\n$/) as string,
    });
  });
}

describe("load-file, with a server that does what it is told to", () => {
  test("the first of 100 lines is refused, and it is to go on with that one", async () => {
    const server = await embedded();
    const lines = linesOf(100);
    const file = examples.file("hundred.txt", lines.join("\n"));
    server.refuse("publish", "disk full");
    const run = await examples.run("load-file", [file, "c", "--server", server.url]).ended;
    const err =
      /^load-file: publish c: disk full; \d+ items are stored, among them all before item 0 .*; go on with --from 0\n$/;
    expect(run).toMatchObject({ code: 1, out: "", err: expect.stringMatching(err) });
    const before = server.messages("c").map(({ text }) => text);
    expect(before[0]).toBe("line 2 of 100");
    expect((await examples.run("load-file", [file, "c", "--server", server.url, "--from", "0"]).ended).code).toBe(0);
    expect(server.messages("c").map(({ text }) => text)).toEqual([...before, ...lines]);
  });

  const long = { timeout: 60_000 };
  test("where stderr is no terminal it prints where to go on; killed then, it leaves out no line", long, async () => {
    const server = await embedded();
    const lines = linesOf(20_000);
    const file = examples.file("long.txt", lines.join("\n"));
    const run = examples.run("load-file", [file, "c", "--server", server.url]);
    await until("some are stored", () => server.messages("c").length > 0);
    // Until its next line is due.
    server.pause();
    await until("it says where to go on", () => nextOf(run.err(), 0) > 0);
    run.kill("SIGKILL");
    const { err } = await run.ended;
    server.resume();
    expect(err).toMatch(/^(load-file: go on with --from \d+; \d+ %(, \d+ s left)?\n)+$/);
    const next = nextOf(err, NaN);
    expect(
      (await examples.run("load-file", [file, "c", "--server", server.url, "--from", String(next)]).ended).code,
    ).toBe(0);
    expect(new Set(server.messages("c").map(({ text }) => text))).toEqual(new Set(lines));
  });

  test("on a terminal of 40 columns one row says where to go on and how much is done, also after Ctrl-C", async () => {
    const server = await embedded();
    const file = examples.file("long.txt", linesOf(200_000).join("\n"));
    const run = examples.run("load-file", [file, "c", "--server", server.url], examples.terminal(40));
    await until("it has drawn", () => drawn(run.err()).length > 3);
    server.pause();
    let over = false;
    void run.ended.then(() => (over = true));
    await until("it has ended", () => (over ? true : run.kill("SIGINT")));
    const { code, err } = await run.ended;
    expect(code).toBe(130);
    const lines = drawn(err);
    const last = lines.pop()!;
    for (const line of lines) expect(line.length, line).toBeLessThan(40);
    expect(lines.some((line) => /^go on with --from \d+; \d+ %, \d+ s/.test(line))).toBe(true);
    expect(last).toMatch(/^load-file: interrupted; go on with --from \d+\n$/);
  });

  test("a missing file and a folder are told before anything is asked of the server", async () => {
    for (const [file, reason] of [["missing.txt", "no such file or directory"], [".", "it is a folder"]] as const) {
      const run = await examples.run("load-file", [file, "c", "--server", "nats://127.0.0.1:1"]).ended;
      expect(run).toMatchObject({ code: 1, out: "", err: `load-file: cannot read ${file}: ${reason}\n` });
    }
  });
});
