import { spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Statsd } from "../../bench/live/statsd.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

const root = join(__dirname, "..", "..");
const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-live-"));
const program = join(folder, "build", "bench", "live.js");
const NAMES = ["pubd", "recvd", "ackd"] as const;
type Counts = Record<(typeof NAMES)[number], number>;

/** A statsd that does nothing but add up. */
async function listen() {
  const socket = createSocket("udp4");
  const counts: Record<string, number> = {};
  const odd: string[] = [];
  socket.on("message", (bytes) => {
    for (const line of new TextDecoder().decode(bytes).split("\n")) {
      const [, name, count] = /^(\w+):(\d+)\|c$/.exec(line) ?? [];
      if (name === undefined) odd.push(line);
      else counts[name] = (counts[name] ?? 0) + Number(count);
    }
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return { counts, odd, address: `127.0.0.1:${socket.address().port}`, close: () => socket.close() };
}

test("statsd is sent by how much each total has grown, and nothing when none has", async () => {
  const listener = await listen();
  const statsd = new Statsd(listener.address);
  try {
    await statsd.send({ pubd: 0, recvd: 0 });
    await statsd.send({ pubd: 5, recvd: 2 });
    await statsd.send({ pubd: 5, recvd: 2 });
    await statsd.send({ pubd: 12, recvd: 3 });
    await until("both packets have come", () => listener.counts["pubd"] === 12);
    expect(listener.counts).toEqual({ pubd: 12, recvd: 3 });
    expect(listener.odd).toEqual([]);
  } finally {
    statsd.close();
    listener.close();
  }
});

test("the dashboard has a graph for each counter that is sent", () => {
  const dashboard = JSON.parse(readFileSync(join(root, "bench", "live", "dashboard.json"), "utf8")) as {
    panels: { targets: { query: string }[] }[];
  };
  const measured = dashboard.panels.flatMap(({ targets }) => targets.map(({ query }) => /FROM "(\w+)"/.exec(query)?.[1]));
  expect(measured).toEqual(NAMES);
});

describeWithServer("the live program", () => {
  const server = serverForSuite();

  beforeAll(() => {
    const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
    // Not into build/, where others may be running what this would overwrite.
    spawnSync(process.execPath, [compiler, "-p", "bench", "--outDir", join(folder, "build")], { encoding: "utf8", cwd: root });
  });

  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs the program until it has counted some messages of each kind, as `seen` tells, and ends it as Ctrl-C does. */
  async function run(args: readonly string[], look: (out: () => string) => Promise<void>): Promise<Counts> {
    const all = [program, "--server", server().url, "--in-flight", "8", ...args];
    const child = spawn(process.execPath, all, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    child.stdout!.setEncoding("utf8").on("data", (text) => (out += text));
    child.stderr!.setEncoding("utf8").on("data", (text) => (out += text));
    const code = new Promise<number | null>((resolve) => child.once("close", resolve));
    try {
      await look(() => out);
    } finally {
      child.kill("SIGINT");
    }
    expect([await code, out]).toEqual([0, expect.stringMatching(/^pubd \d+ recvd \d+ ackd \d+$/m)]);
    const [pubd, recvd, ackd] = /^pubd (\d+) recvd (\d+) ackd (\d+)$/m.exec(out)!.slice(1).map(Number) as [number, number, number];
    return { pubd, recvd, ackd };
  }

  test("sends statsd the same totals as it prints, and has had back all that it published", async () => {
    const listener = await listen();
    try {
      const totals = await run(["--statsd", listener.address], async () => {
        await until("something was counted", () => NAMES.every((name) => (listener.counts[name] ?? 0) > 0));
      });
      await until("the last packet has come", () => NAMES.every((name) => listener.counts[name] === totals[name]));
      expect(listener.counts).toEqual(totals);
      expect(listener.odd).toEqual([]);
      expect(totals.pubd).toBeGreaterThan(0);
      expect(totals).toEqual({ pubd: totals.pubd, recvd: totals.pubd, ackd: totals.pubd });
    } finally {
      listener.close();
    }
  });

  test("serves a page, and on it each second's counts", async () => {
    await run(["--page", "--port", "0"], async (out) => {
      const url = await until("the page is there", () => /^page: (\S+)$/m.exec(out())?.[1]);
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:/);
      const page = await fetch(url);
      const text = await page.text();
      expect(text).toContain("<polyline");
      for (const name of NAMES) expect(text).toContain(name);
      expect((await fetch(`${url}other`)).status).toBe(404);
      const leave = new AbortController();
      const events = await fetch(`${url}events`, { signal: leave.signal });
      let received = "";
      for await (const chunk of events.body) {
        received += new TextDecoder().decode(chunk);
        if (/"pubd":[1-9]/.test(received)) break;
      }
      leave.abort();
      const [, json] = /^data: (.*"pubd":[1-9].*)$/m.exec(received)!;
      expect(Object.keys(JSON.parse(json!) as object)).toEqual(NAMES);
    });
  });
});
