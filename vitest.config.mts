import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/support/setup.ts",
    reporters: ["default", "./test/support/reporter.ts"],
    pool: "forks",
    // More than the two cores of the gate: most tests wait, for servers and for times to pass.
    maxWorkers: 3,
    testTimeout: 20_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
  },
});
