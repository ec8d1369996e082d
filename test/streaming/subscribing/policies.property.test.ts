import { expect, test } from "vitest";
import { World } from "../../support/policy-world.ts";
import { forEachSeed } from "../../support/random.ts";

test("whatever fails, each message is handled well or in the dead letters, once, and each key in order", async () => {
  await forEachSeed(Number(process.env["SEEDS"] ?? 50), async (random) => {
    const world = await World.start(random);
    try {
      await world.run();
      expect(world.violations, world.description).toEqual([]);
    } finally {
      await world.stop();
    }
  });
}, 60_000);
