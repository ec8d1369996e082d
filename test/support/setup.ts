import type { TestProject } from "vitest/node";
import { type BinaryName, binaries, type Found, installBinary } from "./binaries.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Why a server is missing, by name; nothing for those that are there. */
    missing: Partial<Record<BinaryName, string>>;
  }
}

/** Runs once before all tests: installs the servers where they are missing, so that test files need only look. */
export default function setup(project: TestProject): void {
  const wanted: readonly BinaryName[] = ["streaming", "oldStreaming", "nats"];
  const missing: Partial<Record<BinaryName, string>> = {};
  for (const name of wanted) {
    const found: Found = installBinary(binaries[name]);
    if ("missing" in found) missing[name] = found.missing;
  }
  project.provide("missing", missing);
}
