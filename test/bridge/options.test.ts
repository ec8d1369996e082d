import { expect, test } from "vitest";
import { copy } from "../../src/bridge/index.ts";
import type { CopyOptions } from "../../src/bridge/index.ts";
import { checkBridgeOptions, isName } from "../../src/bridge/options.ts";

const from = { clusterId: "test-cluster" };
const to = { servers: "nats://127.0.0.1:1" };

test.each<[string, object, string]>([
  ["nothing", undefined as unknown as object, "copy"],
  ["no source", { to }, "from"],
  ["a misspelt option", { from, to, channel: "a" }, "did you mean channels"],
  ["another's option", { from: { ...from, watch: true }, to }, "watch"],
  ["no cluster ID", { from: {}, to }, "from.clusterId"],
  ["a URL without a scheme", { from: { ...from, monitor: "127.0.0.1:8222" }, to }, "from.monitor"],
  ["a domain that no subject can have", { from, to: { ...to, domain: "a.b" } }, "to.domain"],
  ["no channel", { from, to, channels: [] }, "channels"],
  ["a channel with a blank", { from, to, channels: ["a", "b c"] }, "channels"],
  ["a stream's name with a dot", { from, to, map: { a: { stream: "a.b" } } }, 'map["a"].stream'],
  ["a subject with a wildcard", { from, to, map: { a: { subject: "a.*" } } }, 'map["a"].subject'],
  ["a misspelt field of a mapping", { from, to, map: { a: { name: "b" } } }, "name"],
  ["too many replicas", { from, to, replicas: 6 }, "replicas"],
  ["too many replicas of one", { from, to, map: { a: { replicas: 0 } } }, 'map["a"].replicas'],
  ["a negative age", { from, to, maxAge: -1 }, "maxAge"],
  ["a limit that is no number", { from, to, map: { a: { maxBytes: "1" } } }, 'map["a"].maxBytes'],
  ["another storage", { from, to, storage: "tape" }, "storage"],
  ["no signal", { from, to, signal: true }, "signal"],
  ["a text for yes", { from, to, watch: "yes" }, "watch"],
  ["no listener", { from, to, onProgress: true }, "onProgress"],
])("a copy with %s is a TypeError that names it", async (_, options, named) => {
  const error: unknown = await copy(options as CopyOptions).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(TypeError);
  expect((error as TypeError).message).toContain(named);
});

test("no error has a part of a secret", async () => {
  const secrets = [
    { from, to: { ...to, auth: { user: "u", pass: 1234567 } } },
    { from, to: { ...to, auth: { token: "sec\nret-1234567" } } },
    { from: { ...from, monitor: "http://u:1234567@host:8222" }, to },
    { from: { ...from, ...to, auth: { creds: "1234567" } }, to },
  ];
  for (const options of secrets) {
    const error: unknown = await copy(options as unknown as CopyOptions).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).not.toContain("1234567");
  }
});

test("options have the defaults that are documented", () => {
  expect(checkBridgeOptions("copy", { from: { clusterId: "a.b" }, to })).toEqual({
    from: { clusterId: "a.b", clientId: "bridge-a_b" },
    ...{ to, channels: undefined, map: {}, replicas: 1, maxAge: 0, storage: "file", signal: undefined },
  });
  expect(checkBridgeOptions("copy", { from, to, channels: "a" }).channels).toEqual(["a"]);
});

test("a stream's name is what JetStream takes", () => {
  for (const name of ["a", "orders_eu", "ü%:", "a".repeat(255)]) expect(isName(name), name).toBe(true);
  const wrong = ["", "a.b", "a b", "a*", "a>", "a/b", "a\\b", "a\n", "a".repeat(256), "ü".repeat(128), 1, undefined];
  for (const name of wrong) expect(isName(name), String(name)).toBe(false);
});
