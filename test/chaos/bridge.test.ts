import { join } from "node:path";
import { expect, test } from "vitest";
import { Random } from "../support/random.ts";
import { describeWithServer } from "../support/suite.ts";
import { root } from "../support/tarball.ts";
import { bridgeScenarios } from "./bridge-scenarios.ts";

// The short version. `npm run chaos -- --bridge` runs all scenarios, for as long as you like.
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e6));

describeWithServer(
  `chaos of the bridge, seed ${seed}`,
  () => {
    test.each(["producers on both sides, all three killed"])(
      "%s: each message is there once, and in order",
      async (name) => {
        const scenario = bridgeScenarios.find((other) => other.name === name)!;
        const { messages, violations } = await scenario.run(new Random(seed), 2, join(root, "dist", "bridge.js"));
        expect(violations).toEqual([]);
        expect(messages).toBeGreaterThan(20_000);
      },
      120_000,
    );
  },
  ["streaming", "nats"],
);
