import { expect, test } from "vitest";
import { invariant } from "../../src/streaming/invariant.ts";

test("an invariant that holds is silent, and one that does not says so in its words", () => {
  invariant(true, "never");
  expect(() => invariant(false, "publish: a registration that is over was resumed")).toThrow(
    new Error("publish: a registration that is over was resumed"),
  );
});
