import { expect, test } from "vitest";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { installRuntime, jestWithJsdom, newestNode, oldestNode, ways } from "./runtimes.ts";
import { checks, Trial } from "./trial.ts";

// The others run by `npm run runtimes`: installing all of them is too much for every run of the tests.
describeWithServer("the package, installed from its tarball,", () => {
  const trial = forSuite(() => Trial.start());

  for (const runtime of [oldestNode, newestNode, jestWithJsdom]) {
    test(`works on ${runtime.title}, by import and by require`, { timeout: 300_000 }, async ({ skip }) => {
      const installed = installRuntime(runtime);
      if ("missing" in installed) {
        if (process.env["CI"] === "true") throw new Error(installed.missing);
        skip(installed.missing);
        return;
      }
      for (const way of ways) {
        expect(await trial().run(runtime, way, installed.bins)).toEqual({ passed: checks, problem: undefined });
      }
    });
  }
});
