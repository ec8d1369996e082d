import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cli } from "../support/cli.ts";
import { open, range } from "../support/clients.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { root } from "../support/tarball.ts";
import { until } from "../support/until.ts";

const PAGE = join(root, "docs", "operating.md");
/** What each picture of the page is printed by. With UPDATE=1 the pictures are made anew. */
const PICTURES: Readonly<Record<string, readonly string[]>> = {
  channels: ["channels"],
  subs: ["subs"],
  clients: ["clients"],
  doctor: ["doctor", "--listen", "0s"],
  dead: ["dead", "orders.dead"],
};

describeWithServer("docs/operating.md", () => {
  const stan = forSuite(() => RealServer.start({ store: "file" }));

  /** Channels, consumers that are well, gone and slow, and dead letters. */
  async function fill(): Promise<void> {
    const shop = await open(stan(), { clientId: "shop-1" });
    const billing = await open(stan(), { clientId: "billing-1" });
    const gone = await open(stan(), { clientId: "reports-1" });
    await shop.publishMany("orders.eu", range(1, 40).map((i) => `order ${i}`.padEnd(128)));
    const left = await gone.subscribe("orders.eu", () => undefined, { durable: "daily", startAt: "first" });
    await until("reports have all", () => left.stats().acknowledged === 40);
    await gone.close();
    await shop.publishMany("orders.eu", range(41, 60).map((i) => `order ${i}`.padEnd(128)));
    const well = await billing.subscribe("orders.eu", () => undefined, { durable: "billing", startAt: "first" });
    const slow = await shop.subscribe("orders.eu", () => undefined, {
      ...{ queue: "workers", durable: "d", startAt: "first", manualAck: true, maxInFlight: 10 },
    });
    const failing = await billing.subscribe("payments", () => Promise.reject(new Error("card declined")), {
      ...{ durable: "p", startAt: "first", maxDeliver: 1, deadLetter: "orders.dead" },
    });
    await shop.publishMany("payments", ["one", "two"]);
    await until("all is as it is to be", async () => {
      const { out } = await run(["subs", "--json"]);
      const all = JSON.parse(out) as { name: string; pending: number; lag: number }[];
      const of = (name: string): number | undefined => all.find((one) => one.name === name)?.pending;
      return well.stats().acknowledged === 60 && slow.stats().received === 10 && failing.stats().acknowledged === 2
        && of("billing-1/billing") === 0 && of("billing-1/p") === 0;
    });
  }

  const run = (args: readonly string[]): ReturnType<typeof cli> => {
    const monitor = `http://127.0.0.1:${stan().monitorPort}`;
    const needs = { channels: false, subs: false, clients: false, doctor: true, dead: true }[args[0]!];
    const access = needs === true ? ["-s", stan().url] : [];
    return cli([...args, ...access, ...(args[0] === "dead" ? [] : ["--monitor", monitor])]);
  };

  test("shows what the commands print", async () => {
    await fill();
    let text = readFileSync(PAGE, "utf8");
    for (const [name, args] of Object.entries(PICTURES)) {
      const { out } = await run(args);
      const block = new RegExp(`^\`\`\`text ${name}\\n([^]*?)^\`\`\`$`, "m");
      expect(block.exec(text), name).not.toBeNull();
      if (process.env["UPDATE"] === "1") text = text.replace(block, () => `\`\`\`text ${name}\n${out}\`\`\``);
      else expect(block.exec(text)![1], name).toBe(out);
    }
    if (process.env["UPDATE"] === "1") writeFileSync(PAGE, text);
  }, 30_000);
});
