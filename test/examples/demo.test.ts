import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { StreamingServer as EmbeddedServer } from "../../src/testing/server.ts";
import { drawn, Examples } from "../support/examples.ts";
import { channelPage } from "../support/monitor.ts";
import { freePorts } from "../support/ports.ts";
import type { Ended } from "../support/program.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

const examples = new Examples();
const { folder } = examples;

/** Runs the demo to its end. */
function demo(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return examples.run("demo", args, env).ended;
}

function fileOf(name: string, content: string | Uint8Array): string {
  return examples.file(name, content);
}

/** What a failure looks like: nothing on stdout, one line with the reason, exit code 1. */
function failure(reason: RegExp): Ended {
  return {
    code: 1,
    signal: null,
    out: "",
    err: expect.stringMatching(new RegExp(`^demo: [^\n]*${reason.source}[^\n]*\n$`)) as string,
  };
}

/** A server, and how much there is of what a run may leave behind, and in the channel of the demo. */
interface Server {
  readonly url: string;
  holds(): Promise<{ clients: number; subscriptions: number; messages: number }>;
  stop(): Promise<void>;
}

async function embedded(): Promise<Server> {
  const server = await EmbeddedServer.start();
  return {
    url: server.url,
    async holds() {
      const [subscriptions, messages] = [server.subscriptions("demo"), server.messages("demo")];
      return { clients: server.clients.length, subscriptions: subscriptions.length, messages: messages.length };
    },
    stop: () => server.stop(),
  };
}

async function real(): Promise<Server> {
  const server = await RealServer.start();
  return {
    url: server.url,
    async holds() {
      const clients = await server.monitor<{ total: number }>("streaming/clientsz");
      const channel = await channelPage(server, "demo");
      return {
        clients: clients!.total,
        subscriptions: channel?.subscriptions?.length ?? 0,
        messages: channel?.msgs ?? 0,
      };
    },
    stop: () => server.stop(),
  };
}

/**
 * Checks what is printed of a run with a file of the repository and a server of its own. The moments are those of the
 * run.
 */
function expectWell({ code, out, err }: Ended, server: string): void {
  expect({ code, err }, out).toEqual({ code: 0, err: "" });
  const [head, steps, result] = out.split("\n\n");
  expect(head).toMatch(/^package-lock\.json: 1,\d{3} lines\./);
  expect(head).toContain(`\nServer: ${server}, nats://127.0.0.1:`);
  const events = [
    /^Line 1: its handler fails, on purpose\./,
    /^\d+ lines stored, \d+ on their way: the link is cut, for 300 ms\.$/,
    /^The client is back after \d\.\d\d s, by itself/,
    /^Line 1 came again after \d\.\d\d s, and is handled\.$/,
  ];
  for (const event of events) {
    const lines = steps!.split("\n").filter((line) => event.test(line));
    expect(lines, event.source).toHaveLength(1);
  }
  expect(steps!.split("\n")).toHaveLength(events.length);
  expect(result).toMatch(/^(1,\d{3}) lines published, \1 handled, 0 lost: what came back is equal to the file\.\n/);
}

test("without arguments the demo needs nothing but Node, and shows an outage and a redelivery", async () => {
  const run = await demo([], { PATH: "", HOME: folder, XDG_CACHE_HOME: folder });
  expectWell(run, "the one for tests, in this process");
});

describeWithServer("the demo with --real", () => {
  test("starts a nats-streaming-server of its own", async () => {
    expectWell(await demo(["--real"]), "nats-streaming-server 0.25.6");
  });
});

describe("the demo, with an embedded server", () => suite(embedded));
describeWithServer("the demo, with nats-streaming-server", () => suite(real));

function suite(startServer: () => Promise<Server>): void {
  const server = forSuite(startServer);

  test("takes a file's lines as they are: empty, not UTF-8, without an end", async () => {
    const file = fileOf("odd.txt", Uint8Array.from([0x61, 10, 10, 0xff, 0, 13, 10, 0x62]));
    const run = await demo([file, "--server", server().url]);
    expect(run).toMatchObject({ code: 0, err: "" });
    expect(run.out).toContain("odd.txt: 4 lines.");
    expect(run.out).toContain("4 lines published, 4 handled, 0 lost: what came back is equal to the file.");
    expect(run.out).not.toContain("the link is cut");
  });

  test("leaves no client and no durable on the server, and tells its messages from another run's", async () => {
    const file = fileOf("numbers.txt", Array.from({ length: 3_000 }, (_, i) => `${i}\n`).join(""));
    const runs = await Promise.all([demo([file, "--server", server().url]), demo([file, "--server", server().url])]);
    for (const run of runs) {
      expect(run).toMatchObject({ code: 0, err: "" });
      expect(run.out).toContain("3,000 lines published, 3,000 handled, 0 lost");
    }
    expect(await server().holds()).toMatchObject({ clients: 0, subscriptions: 0 });
  });

  test("an interruption ends it with code 130, and its client and durable leave the server", async () => {
    const file = fileOf("long.txt", "a line\n".repeat(2_000_000));
    const before = (await server().holds()).messages;
    const run = examples.run("demo", [file, "--server", server().url]);
    await until("it publishes", async () => (await server().holds()).messages > before + 2_000);
    run.kill("SIGINT");
    expect(await run.ended).toMatchObject({ code: 130, err: "demo: interrupted\n" });
    expect(await server().holds()).toMatchObject({ clients: 0, subscriptions: 0 });
  });

  test("when nobody reads its output any more, it ends without a word, and leaves the server as well", async () => {
    const file = fileOf("long.txt", "a line\n".repeat(2_000_000));
    const run = examples.run("demo", [file, "--server", server().url]);
    await run.printed(/\n/);
    // What it prints next is that the first line has come again.
    run.leave();
    expect(await run.ended).toMatchObject({ code: 1, signal: null, err: "" });
    expect(await server().holds()).toMatchObject({ clients: 0, subscriptions: 0 });
  });

  test("prints no credentials of a server's URL", async () => {
    const file = fileOf("one.txt", "a\n");
    const run = await demo([file, "--server", server().url.replace("//", "//user:canary@")]);
    expect(run).toMatchObject({ code: 0, err: "" });
    expect(run.out).toContain(`Server: ${server().url}\n`);
    expect(run.out).not.toContain("canary");
  });

  test("a line that is too large for the server is named as the reason", async () => {
    const file = fileOf("large.txt", "x".repeat(1_100_000));
    const run = await demo([file, "--server", server().url]);
    expect(run).toMatchObject({ code: 1, err: expect.stringMatching(/^demo: publish demo: .*max_payload.*\n$/) });
  });

  test("a wrong cluster ID is told as such", async () => {
    const file = fileOf("small.txt", "a\n");
    const run = await demo([file, "--server", server().url, "--cluster", "no-such-cluster"]);
    expect(run).toEqual(failure(/no streaming server answers for cluster ID no-such-cluster/));
  });
}

test("an unreachable server, a missing or empty file and wrong options end it with the reason and code 1", async () => {
  const [port] = await freePorts(1);
  const small = fileOf("a-line.txt", "a\n");
  const [unreachable, missing, empty, unknown, both, files] = await Promise.all([
    demo([small, "--server", `nats://127.0.0.1:${port}`]),
    demo([join(folder, "missing.txt"), "--server", "nats://127.0.0.1:1"]),
    demo([fileOf("empty.txt", ""), "--server", "nats://127.0.0.1:1"]),
    demo(["--sever", "nats://127.0.0.1:1"]),
    demo(["--real", "--server", "nats://127.0.0.1:1"]),
    demo(["a.txt", "b.txt"]),
  ]);
  expect(unreachable).toEqual(failure(/cannot connect to 127\.0\.0\.1:\d+/));
  expect(missing).toEqual(failure(/cannot read .*missing\.txt: no such file or directory/));
  expect(empty).toEqual(failure(/empty\.txt is empty/));
  const usage = (reason: string) =>
    expect.stringMatching(new RegExp(`^demo: ${reason}\nusage: npm run demo `)) as string;
  expect(unknown).toMatchObject({ code: 1, out: "", err: usage("unknown option --sever; did you mean --server\\?") });
  expect(both).toMatchObject({ code: 1, out: "", err: usage("--real and --server exclude each other") });
  expect(files).toMatchObject({ code: 1, out: "", err: usage("one argument too many: b\\.txt") });
});

describe("on a terminal of 40 columns", () => {
  const server = forSuite(embedded);

  test("the demo draws in one row how much is done and how long the rest takes, and leaves nothing of it", async () => {
    const file = fileOf("some.txt", "a line\n".repeat(20_000));
    const run = await demo([file, "--server", server().url], examples.terminal(40));
    const lines = drawn(run.err);
    expect(lines.some((line) => /^\d+ %, \d+ (s|min) left; [\d,]+ of 20,000 h/.test(line))).toBe(true);
    for (const line of lines) expect(line.length, line).toBeLessThan(40);
    expect(lines.at(-1)).toBe("");
    expect(run.code).toBe(0);
  });

  test("Ctrl-C twice ends the demo at once, and the cursor is at the beginning of a line", async () => {
    const own = await EmbeddedServer.start();
    onTestFinished(() => own.stop());
    const file = fileOf("long.txt", "a line\n".repeat(2_000_000));
    const run = examples.run("demo", [file, "--server", own.url], examples.terminal(40));
    await until("it draws", () => drawn(run.err()).length > 2);
    // It would wait for an answer.
    own.pause();
    let over = false;
    void run.ended.then(() => (over = true));
    await until("it has ended", () => (over ? true : run.kill("SIGINT")));
    const { code, err } = await run.ended;
    expect(code).toBe(130);
    expect(err).toMatch(/(\r\x1b\[K|\n)$/);
  });
});

test("without a real server to start it says what is missing, and what to do", async () => {
  const run = await demo(["--real"], { NATS_STREAMING_SERVER: join(folder, "no-such-server") });
  const reason =
    /^demo: no server to run: nats-streaming-server 0\.25\.6: .*no-such-server.* by --server, or leave out --real\n$/;
  expect(run).toMatchObject({ code: 1, err: expect.stringMatching(reason) as string });
});
