import { afterEach, expect, test } from "vitest";
import { type BinarySpec, findBinary, installBinary } from "./binaries.ts";

const spec: BinarySpec = {
  name: "node",
  version: "0.0.1",
  source: "example.invalid/node@v0.0.1",
  variable: "TEST_BINARY",
  says: "v0.0.1",
};

afterEach(() => {
  delete process.env["TEST_BINARY"];
});

test("a program of another version in PATH is passed over, with a reason", () => {
  expect(findBinary(spec)).toEqual({ missing: expect.stringMatching(/node: it says "v\d+\./) });
});

test("a program that its variable names is used, whatever else there is", () => {
  process.env["TEST_BINARY"] = process.execPath;
  const { version } = process;
  expect(findBinary({ ...spec, version, says: version })).toEqual({ path: process.execPath });
});

test("a program that its variable names in vain is neither searched for elsewhere nor installed", () => {
  process.env["TEST_BINARY"] = process.execPath;
  expect(installBinary(spec)).toEqual({ missing: expect.stringContaining("TEST_BINARY names") });
  process.env["TEST_BINARY"] = "/nowhere/node";
  expect(installBinary(spec)).toEqual({ missing: expect.stringContaining("ENOENT") });
});
