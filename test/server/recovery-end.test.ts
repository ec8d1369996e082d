import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { fresh } from "../support/clients.ts";
import { Proxy } from "../support/proxy.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

const root = join(__dirname, "..", "..");
const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-end-"));

beforeAll(() => {
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  spawnSync(process.execPath, [compiler, "-p", "src", "--outDir", folder], { encoding: "utf8", cwd: root });
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** What a child process does: it works, waits until its link is spoilt, ends its client, and says what is left. */
const program = `
const { connect } = require(process.argv[1]);
const [, , url, clientId, spoilt, end] = process.argv;
const stray = [];
process.on("unhandledRejection", (error) => stray.push(String(error)));
process.on("uncaughtException", (error) => stray.push(String(error)));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
(async () => {
  const client = await connect({
    clusterId: "test-cluster", clientId, servers: url, onStatus() {},
    requestTimeout: 1_000, publishTimeout: 60_000, pingInterval: 1_000,
  });
  for (const options of [{}, { durable: "d" }, { queue: "q" }, { queue: "q", durable: "d" }]) {
    await client.subscribe(clientId, () => undefined, { ackWait: 1_000, ...options });
  }
  const messages = await client.messages(clientId);
  messages.next().catch(() => undefined);
  await client.publish(clientId, "one");
  process.stdout.write("ready\\n");
  if (spoilt === "cut") while (client.state === "registered") await pause(5);
  if (spoilt === "deaf") await pause(200);
  const pending = Promise.allSettled([1, 2, 3].map((n) => client.publish(clientId, String(n))));
  const report = end === "drain" ? await client.drain({ timeout: 500 }) : await client.close();
  const codes = (await pending).map((result) => result.reason?.code ?? "stored");
  // A socket that was ended is gone when its peer has heard of it, or after a second.
  const left = () => process.getActiveResourcesInfo().filter((kind) => !["PipeWrap", "TTYWrap"].includes(kind));
  const limit = performance.now() + 5_000;
  while (left().length > 0 && performance.now() < limit) await new Promise((resolve) => setImmediate(resolve));
  const { state } = client;
  const unconfirmed = report?.unconfirmed;
  process.stdout.write(JSON.stringify({ state, unconfirmed, codes, kinds: left(), stray }) + "\\n");
})();
`;

interface Left {
  readonly state: string;
  readonly unconfirmed?: number;
  readonly codes: readonly string[];
  readonly kinds: readonly string[];
  readonly stray: readonly string[];
}

describeWithServer("when a client has ended, nothing of it is left", () => {
  const server = serverForSuite();

  async function run(spoilt: "sound" | "cut" | "deaf", end: "close" | "drain"): Promise<Left> {
    const proxy = await Proxy.start(server().port);
    onTestFinished(() => proxy.stop());
    const args = [join(folder, "index.js"), proxy.url, fresh("end"), spoilt, end];
    const child = spawn(process.execPath, ["-e", program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    let out = "";
    let err = "";
    child.stdout!.setEncoding("utf8").on("data", (text) => (out += text));
    child.stderr!.setEncoding("utf8").on("data", (text) => (err += text));
    await until("it works", () => out.startsWith("ready\n"));
    if (spoilt === "cut") {
      proxy.refuse();
      proxy.cut();
    }
    if (spoilt === "deaf") proxy.blackHole();
    // It ends by itself: nothing keeps it alive.
    await until("it has exited", () => child.exitCode !== null);
    expect(err).toBe("");
    expect(child.exitCode).toBe(0);
    return JSON.parse(out.slice("ready\n".length)) as Left;
  }

  const closed = { state: "closed", kinds: [], stray: [] };
  const three = (code: string): string[] => [code, code, code];

  test("by close()", async () => {
    expect(await run("sound", "close")).toEqual({ ...closed, codes: three("UNCONFIRMED") });
  });

  test("by drain()", async () => {
    expect(await run("sound", "drain")).toEqual({ ...closed, unconfirmed: 0, codes: three("stored") });
  });

  test("by close() in the midst of a recovery", async () => {
    expect(await run("cut", "close")).toEqual({ ...closed, codes: three("CLOSED") });
  });

  test("by drain() while the server is gone, when its time is up", async () => {
    expect(await run("cut", "drain")).toEqual({ ...closed, unconfirmed: 0, codes: three("CLOSED") });
  });

  test("by close() in a black hole", async () => {
    expect(await run("deaf", "close")).toEqual({ ...closed, codes: three("UNCONFIRMED") });
  });

  test("by drain() in a black hole, when its time is up", async () => {
    expect(await run("deaf", "drain")).toEqual({ ...closed, unconfirmed: 3, codes: three("UNCONFIRMED") });
  });
});
