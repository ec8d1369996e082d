import { afterAll, beforeAll, describe, inject, test } from "vitest";
import type {} from "./setup.ts";
import { type BinaryName, binaries, findBinary } from "./binaries.ts";
import { RealServer, type RealServerOptions } from "./server.ts";

/**
 * `describe` for tests that need a real server, by default nats-streaming-server 0.25.6. Where one is missing its tests
 * are skipped, with the reason in the name, which the reporter repeats at the end; with CI=true one test fails instead.
 */
export function describeWithServer(
  name: string,
  tests: () => void,
  needs: readonly BinaryName[] = ["streaming"],
): void {
  const reasons = needs.flatMap((need) => {
    const found = findBinary(binaries[need]);
    return "missing" in found ? [inject("missing")[need] ?? found.missing] : [];
  });
  if (reasons.length === 0) {
    describe(name, tests);
  } else if (process.env["CI"] === "true") {
    test(`${name}: has the servers that it needs`, () => {
      throw new Error(reasons.join("; "));
    });
  } else {
    describe.skip(`${name} [${reasons.join("; ")}]`, tests);
  }
}

/** A streaming server that runs for all tests of the enclosing suite. Call the result inside tests to get it. */
export function serverForSuite(options: RealServerOptions = {}): () => RealServer {
  return forSuite(() => RealServer.start(options));
}

/** Anything that can be stopped (a server, a cluster, a proxy), started before and stopped after its suite. */
export function forSuite<T extends { stop(): Promise<void> }>(start: () => Promise<T>): () => T {
  let started: T | undefined;
  beforeAll(async () => {
    started = await start();
  });
  afterAll(async () => {
    await started?.stop();
  });
  return () => {
    if (started === undefined) throw new Error("asked for before the suite has started it");
    return started;
  };
}
