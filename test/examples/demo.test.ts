import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StreamingServer as EmbeddedServer } from "../../src/testing/server.ts";
import { channelPage } from "../support/monitor.ts";
import { freePorts } from "../support/ports.ts";
import { type Ended, start } from "../support/program.ts";
import { StreamingServer as RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

const root = join(__dirname, "..", "..");
const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-demo-"));
const program = join(folder, "build", "examples", "demo.js");

beforeAll(() => {
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  // Not into build/, where others may be running what this would overwrite.
  spawnSync(process.execPath, [compiler, "-p", "bench", "--outDir", join(folder, "build")], { encoding: "utf8", cwd: root });
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Runs the demo to its end. */
function demo(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return start(program, args, env).ended;
}

function fileOf(name: string, content: string | Uint8Array): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

/** What a failure looks like: nothing on stdout, one line with the reason, exit code 1. */
function failure(reason: RegExp): Ended {
  return { code: 1, signal: null, out: "", err: expect.stringMatching(new RegExp(`^demo: [^\n]*${reason.source}[^\n]*\n$`)) as string };
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
      return { clients: clients!.total, subscriptions: channel?.subscriptions?.length ?? 0, messages: channel?.msgs ?? 0 };
    },
    stop: () => server.stop(),
  };
}

/** What the first and the last line say when all went well with a file of the repository. */
const WELL = /^package-lock\.json: [\d,]{5,} lines by way of (.*) at nats:.*\n[\d,]{5,} messages .* received and equal .* messages\/s\n$/;

test("without arguments the demo takes a file of the repository, and needs nothing but Node", async () => {
  const run = await demo([], { PATH: "", HOME: folder, XDG_CACHE_HOME: folder });
  expect(run).toMatchObject({ code: 0, err: "" });
  expect(WELL.exec(run.out)?.[1]).toBe("the server for tests");
});

describeWithServer("the demo with --real", () => {
  test("starts a nats-streaming-server of its own", async () => {
    const run = await demo(["--real"]);
    expect(run).toMatchObject({ code: 0, err: "" });
    expect(WELL.exec(run.out)?.[1]).toBe("nats-streaming-server 0.25.6");
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
    expect(run.out).toContain("odd.txt: 4 lines");
    expect(run.out).toContain("4 messages published, stored, received and equal");
  });

  test("leaves no client and no durable on the server, and tells its messages from another run's", async () => {
    const file = fileOf("numbers.txt", Array.from({ length: 3_000 }, (_, i) => `${i}\n`).join(""));
    const runs = await Promise.all([demo([file, "--server", server().url]), demo([file, "--server", server().url])]);
    for (const run of runs) {
      expect(run).toMatchObject({ code: 0, err: "" });
      expect(run.out).toContain("3,000 messages published, stored, received and equal");
    }
    expect(await server().holds()).toMatchObject({ clients: 0, subscriptions: 0 });
  });

  test("an interruption ends it with code 130, and its client and durable leave the server", async () => {
    const file = fileOf("long.txt", "a line\n".repeat(2_000_000));
    const before = (await server().holds()).messages;
    const run = start(program, [file, "--server", server().url]);
    await until("it publishes", async () => (await server().holds()).messages > before + 20_000);
    run.kill("SIGINT");
    expect(await run.ended).toMatchObject({ code: 130, err: "demo: interrupted\n" });
    expect(await server().holds()).toMatchObject({ clients: 0, subscriptions: 0 });
  });

  test("prints no credentials of a server's URL", async () => {
    const file = fileOf("one.txt", "a\n");
    const run = await demo([file, "--server", server().url.replace("//", "//user:canary@")]);
    expect(run).toMatchObject({ code: 0, err: "" });
    expect(run.out).toContain(`by way of ${server().url},`);
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

test("an unreachable server, a missing file, an empty file and wrong options end it with the reason and code 1", async () => {
  const [port] = await freePorts(1);
  const small = fileOf("a-line.txt", "a\n");
  const [unreachable, missing, empty, unknown, both] = await Promise.all([
    demo([small, "--server", `nats://127.0.0.1:${port}`]),
    demo([join(folder, "missing.txt"), "--server", "nats://127.0.0.1:1"]),
    demo([fileOf("empty.txt", ""), "--server", "nats://127.0.0.1:1"]),
    demo(["--sever", "nats://127.0.0.1:1"]),
    demo(["--real", "--server", "nats://127.0.0.1:1"]),
  ]);
  expect(unreachable).toEqual(failure(/cannot connect to 127\.0\.0\.1:\d+/));
  expect(missing).toEqual(failure(/cannot read .*missing\.txt/));
  expect(empty).toEqual(failure(/empty\.txt is empty/));
  expect(unknown).toEqual(failure(/Unknown option '--sever'/));
  expect(both).toMatchObject({ code: 1, out: expect.stringMatching(/^usage: /) as string });
});

test("without a real server to start it says what is missing, and what to do", async () => {
  const run = await demo(["--real"], { NATS_STREAMING_SERVER: join(folder, "no-such-server") });
  const reason = /^demo: no server to run: nats-streaming-server 0\.25\.6: .*no-such-server.* by --server, or leave out --real\n$/;
  expect(run).toMatchObject({ code: 1, err: expect.stringMatching(reason) as string });
});
