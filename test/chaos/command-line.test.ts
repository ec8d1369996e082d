import { describe, expect, test } from "vitest";
import { Examples } from "../support/examples.ts";

const programs = new Examples();
const CHAOS = "../test/chaos/chaos";

describe("npm run chaos", () => {
  test("prints its usage for --help, which names all options", async () => {
    const { code, out, err } = await programs.run(CHAOS, ["--help"]).ended;
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^usage: npm run chaos -- \[options\]\n/);
    const options = [...out.matchAll(/^ {2}--(\w+)/gm)].map(([, option]) => option);
    expect(options).toEqual(["minutes", "seed", "scenario", "bridge"]);
  });

  test.each([
    [["--minuts", "1"], "unknown option --minuts; did you mean --minutes?"],
    [["--minutes", "x"], "--minutes must be a whole number from 0 on, not x"],
    [["--seed=-1"], "--seed must be a whole number from 0 on, not -1"],
    [["--bridge", "--scenario", "no such thing"], 'no scenario of the bridge has "no such thing" in its name'],
    [["--scenario", "no such thing"], 'no scenario has "no such thing" in its name'],
    [["figures"], "one argument too many: figures"],
  ])("says what is wrong with %j, and prints its usage", async (args, reason) => {
    const { code, out, err } = await programs.run(CHAOS, args).ended;
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err.slice(0, err.indexOf("usage:"))).toContain(`chaos: ${reason}`);
  });
});
