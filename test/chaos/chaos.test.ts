import { afterAll, beforeAll, expect, test } from "vitest";
import { binaries } from "../support/binaries.ts";
import { Random } from "../support/random.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";
import { scenarios } from "./scenarios.ts";
import { storm } from "./storm.ts";

// The 45-second version. `npm run chaos` runs everything, for as long as you like.
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e6));

/** Each with the seconds for which things go wrong; what is begun is finished. */
const chosen: readonly (readonly [name: string, seconds: number])[] = [
  ["links cut", 3],
  ["links stalled, delayed, deaf in one direction", 1],
  ["black hole, then replaced by another", 1],
  ["memory store, SIGKILL and restart", 2],
  ["file store, SIGKILL and restart", 2],
  ["backoff, dead letters and keys, file store restarted", 2],
  ["answers eaten", 2],
  ["answers to the end of a subscription eaten", 1],
  ["raft cluster, leader SIGKILL", 1],
  ["nats-server bounced under a streaming server", 1],
];

for (const [i, [name, seconds]] of chosen.entries()) {
  const scenario = scenarios.find((other) => other.name === name);
  describeWithServer(
    `chaos, seed ${seed}`,
    () => {
      const strays: unknown[] = [];
      const stray = (error: unknown): void => void strays.push(error);
      beforeAll(() => {
        process.on("unhandledRejection", stray);
        process.on("uncaughtException", stray);
      });
      afterAll(() => {
        process.off("unhandledRejection", stray);
        process.off("uncaughtException", stray);
      });
      const promises = "nothing is lost, nothing is run twice at once, no publish lies";
      test(`${name}: ${promises} (repeat with SEED=${seed})`, async () => {
        const result = await scenario!.run(new Random(seed + i), seconds);
        expect(result.violations.join("\n")).toBe("");
        expect(result.lost).toBe(0);
        expect(result.recoveries).toHaveLength(result.outages);
        expect(strays).toEqual([]);
      }, 90_000);
    },
    scenario?.needs ?? ["streaming"],
  );
}

describeWithServer(`a storm of redeliveries (${binaries.streaming.version})`, () => {
  test("is handled once each, with heartbeats answered and nothing dropped", async () => {
    const server = await RealServer.start({ args: ["-hbi", "1s", "-hbt", "1s", "-hbf", "1"] });
    try {
      const { again, problems } = await storm(server, `storm-${process.pid}`, 10_000);
      expect(again).toBe(0);
      expect(problems).toEqual([]);
    } finally {
      await server.stop();
    }
  }, 60_000);
});
