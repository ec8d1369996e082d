import { expect, test } from "vitest";
import { channelsOf } from "../../src/bridge/channels.ts";
import type { Ends } from "../../src/bridge/ends.ts";

/** Ends of a source that has these channels, or whose monitoring page was not given. */
function endsOf(channels: readonly string[] | undefined, names?: readonly string[]): Ends {
  const monitor = names && { channelNames: () => Promise.resolve(names) };
  return { settings: { channels }, monitor } as unknown as Ends;
}

const NAMES = ["a", "a.b", "a.b.c", "a.constructor", "a+b", "b.a", "x.b"];

test.each<[readonly string[] | undefined, readonly string[]]>([
  [undefined, NAMES],
  [[">"], NAMES],
  [["*"], ["a", "a+b"]],
  [["a.*"], ["a.b", "a.constructor"]],
  [["a.>"], ["a.b", "a.b.c", "a.constructor"]],
  [["*.b"], ["a.b", "x.b"]],
  [["a.*.c", "b.a"], ["a.b.c", "b.a"]],
  [["a+*"], ["a+*"]],
  [["b", "a.b", "a.b", "a.*"], ["a.b", "a.constructor", "b"]],
])("the channels %j are these", async (channels, expected) => {
  expect(await channelsOf(endsOf(channels, NAMES))).toEqual([...expected].sort());
});

test("names need no monitoring page, and patterns do", async () => {
  expect(await channelsOf(endsOf(["b", "a"]))).toEqual(["a", "b"]);
  await expect(channelsOf(endsOf(["a", "b.*"]))).rejects.toMatchObject({ code: "NO_MONITOR" });
  await expect(channelsOf(endsOf(undefined))).rejects.toMatchObject({ code: "NO_MONITOR" });
});
