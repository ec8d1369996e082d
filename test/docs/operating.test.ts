import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { metricsText } from "../../src/monitoring/lag-report.ts";
import { Since } from "../../src/monitoring/positions.ts";
import { cli } from "../support/cli.ts";
import { open, range } from "../support/clients.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { root } from "../support/tarball.ts";
import { until } from "../support/until.ts";

const PAGE = join(root, "docs", "operating.md");
/** What each picture of the page is printed by. With UPDATE=1 the pictures are made anew. */
const PICTURES: Readonly<Record<string, readonly string[]>> = {
  channels: ["channels"],
  subs: ["subs"],
  clients: ["clients"],
  lag: ["lag", "orders.eu"],
  doctor: ["doctor", "--listen", "0s"],
  dead: ["dead", "orders.dead"],
  plan: ["bridge", "plan", "--channels", "orders.eu"],
};
/** The commands that connect to the monitoring port alone, and the one that does not need it. */
const MONITOR_ALONE = ["channels", "subs", "clients", "lag"];
const NO_MONITOR = ["dead"];

const page = (): string => readFileSync(PAGE, "utf8");
const found = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map((match) => match[1]!);

test("docs/operating.md has each finding of doctor, and no other", () => {
  const source = readFileSync(join(root, "src", "monitoring", "findings.ts"), "utf8");
  const codes = found(/FindingCode =\n([^;]*);/.exec(source)![1]!, /"(\w+)"/g);
  expect(codes.length).toBeGreaterThan(10);
  expect(found(page(), /^\| `([A-Z_]+)` \|/gm).sort()).toEqual(codes.sort());
});

test("docs/operating.md has rules and panels of metrics that lag --serve has", () => {
  const server = { cluster_id: "c", version: "0.25.6", state: "STANDALONE", clients: 0 };
  const text = metricsText({ server: server as never, channels: [], positions: [] }, new Since());
  const metrics = found(text, /^# TYPE (\w+) /gm);
  const named = new Set(found(page(), /\b(nats_streaming_\w+)/g));
  expect(named.size).toBeGreaterThan(4);
  expect(metrics).toEqual(expect.arrayContaining([...named]));
  expect(() => void JSON.parse(/^```json\n([^]*?)^```$/m.exec(page())![1]!)).not.toThrow();
});

describeWithServer("docs/operating.md", () => {
  const stan = forSuite(() => RealServer.start({ store: "file" }));
  const nats = forSuite(() => NatsServer.start({ jetstream: true }));

  /** Waits until the server shows the subscriptions of all channels so: name, last sent, pending, lag. */
  async function untilSubs(...wanted: readonly (readonly [string, number, number, number])[]): Promise<void> {
    await until(`the server shows ${JSON.stringify(wanted)}`, async () => {
      const { out } = await run(["subs", "--json"]);
      const all = JSON.parse(out) as { name: string; lastSent: number; pending: number; lag: number }[];
      const shown = all.map(({ name, lastSent, pending, lag }) => [name, lastSent, pending, lag]);
      return JSON.stringify(shown) === JSON.stringify(wanted);
    }, 20_000);
  }

  /** Channels, consumers that are well, gone and slow, and dead letters. */
  async function fill(): Promise<void> {
    const shop = await open(stan(), { clientId: "shop-1" });
    const billing = await open(stan(), { clientId: "billing-1" });
    const gone = await open(stan(), { clientId: "reports-1" });
    await shop.publishMany("orders.eu", range(1, 40).map((i) => `order ${i}`.padEnd(128)));
    await gone.subscribe("orders.eu", () => undefined, { durable: "daily", startAt: "first" });
    // Its acks and its close travel by different subscriptions of the server: the acks come first.
    await untilSubs(["reports-1/daily", 40, 0, 0]);
    await gone.close();
    await shop.publishMany("orders.eu", range(41, 60).map((i) => `order ${i}`.padEnd(128)));
    await billing.subscribe("orders.eu", () => undefined, { durable: "billing", startAt: "first" });
    await shop.subscribe("orders.eu", () => undefined, {
      ...{ queue: "workers", durable: "d", startAt: "first", manualAck: true, maxInFlight: 10 },
    });
    await billing.subscribe("payments", () => Promise.reject(new Error("card declined")), {
      ...{ durable: "p", startAt: "first", maxDeliver: 1, deadLetter: "orders.dead" },
    });
    await shop.publishMany("payments", ["one", "two"]);
    await untilSubs(
      ["billing-1/billing", 60, 0, 0],
      ["d:workers", 10, 10, 60],
      ["reports-1/daily", 40, 0, 20],
      ["billing-1/p", 2, 0, 0],
    );
  }

  const run = (args: readonly string[]): ReturnType<typeof cli> => {
    const [name] = args as [string];
    const monitor = NO_MONITOR.includes(name) ? [] : ["--monitor", `http://127.0.0.1:${stan().monitorPort}`];
    const env = { NATS_URL: stan().url, NATS_TO_URL: nats().url };
    return cli([...args, ...monitor], MONITOR_ALONE.includes(name) ? {} : { env });
  };

  test("shows what the commands print", async () => {
    await fill();
    let text = page();
    for (const [name, args] of Object.entries(PICTURES)) {
      const { out } = await run(args);
      const block = new RegExp(`^\`\`\`text ${name}\\n([^]*?)^\`\`\`$`, "m");
      expect(block.exec(text), name).not.toBeNull();
      if (process.env["UPDATE"] === "1") text = text.replace(block, () => `\`\`\`text ${name}\n${out}\`\`\``);
      else expect(block.exec(text)![1], name).toBe(out);
    }
    if (process.env["UPDATE"] === "1") writeFileSync(PAGE, text);
  }, 60_000);
}, ["streaming", "nats"]);
