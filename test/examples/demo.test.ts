import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePorts } from "../support/ports.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
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

interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the demo; `out` is what it has printed so far. */
function start(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let err = "";
  child.stdout!.setEncoding("utf8").on("data", (text) => (out += text));
  child.stderr!.setEncoding("utf8").on("data", (text) => (err += text));
  const finished = new Promise<Run>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, out, err }));
  });
  return { finished, out: () => out, kill: (signal: string) => child.kill(signal) };
}

/** Runs the demo to its end. */
function demo(args: readonly string[], env: Record<string, string> = {}): Promise<Run> {
  return start(args, env).finished;
}

function fileOf(name: string, content: string | Uint8Array): string {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

/** What a failure looks like: nothing on stdout, one line with the reason, exit code 1. */
function failure(reason: RegExp): Run {
  return { code: 1, out: "", err: expect.stringMatching(new RegExp(`^demo: [^\n]*${reason.source}[^\n]*\n$`)) as string };
}

describeWithServer("the demo", () => {
  const server = serverForSuite();

  test("without arguments starts a server of its own and takes a file of the repository", async () => {
    const run = await demo([]);
    expect(run).toMatchObject({ code: 0, err: "" });
    expect(run.out).toMatch(/^package-lock\.json: [\d,]{5,} lines .*\n[\d,]{5,} messages .* received and equal .* messages\/s\n$/);
  });

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
    const clients = await server().monitor<{ total: number }>("streaming/clientsz");
    expect(clients?.total).toBe(0);
    const channel = await server().monitor<{ subscriptions?: unknown[] }>("streaming/channelsz?channel=demo&subs=1");
    expect(channel?.subscriptions ?? []).toEqual([]);
  });

  test("an interruption ends it with code 130, and its client and durable leave the server", async () => {
    const file = fileOf("long.txt", "a line\n".repeat(2_000_000));
    const run = start([file, "--server", server().url]);
    await until("it publishes", async () => {
      const channel = await server().monitor<{ msgs: number }>("streaming/channelsz?channel=demo");
      return run.out().includes("long.txt") && (channel?.msgs ?? 0) > 20_000;
    });
    run.kill("SIGINT");
    expect(await run.finished).toMatchObject({ code: 130, err: "demo: interrupted\n" });
    const clients = await server().monitor<{ total: number }>("streaming/clientsz");
    expect(clients?.total).toBe(0);
    const channel = await server().monitor<{ subscriptions?: unknown[] }>("streaming/channelsz?channel=demo&subs=1");
    expect(channel?.subscriptions ?? []).toEqual([]);
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
});

test("an unreachable server, a missing file, an empty file and unknown options end it with the reason and code 1", async () => {
  const [port] = await freePorts(1);
  const small = fileOf("a-line.txt", "a\n");
  const [unreachable, missing, empty, unknown] = await Promise.all([
    demo([small, "--server", `nats://127.0.0.1:${port}`]),
    demo([join(folder, "missing.txt"), "--server", "nats://127.0.0.1:1"]),
    demo([fileOf("empty.txt", ""), "--server", "nats://127.0.0.1:1"]),
    demo(["--sever", "nats://127.0.0.1:1"]),
  ]);
  expect(unreachable).toEqual(failure(/cannot connect to 127\.0\.0\.1:\d+/));
  expect(missing).toEqual(failure(/cannot read .*missing\.txt/));
  expect(empty).toEqual(failure(/empty\.txt is empty/));
  expect(unknown).toEqual(failure(/Unknown option '--sever'/));
});

test("without a server to start it says what is missing, and what to do", async () => {
  const run = await demo([], { NATS_STREAMING_SERVER: join(folder, "no-such-server") });
  expect(run).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^demo: no server to run: nats-streaming-server 0\.25\.6: .*no-such-server.* use a running server by --server\n$/),
  });
});
