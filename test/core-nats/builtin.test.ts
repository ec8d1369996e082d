import crypto from "node:crypto";
import net from "node:net";
import tls from "node:tls";
import { expect, test, vi } from "vitest";
import { builtin } from "../../src/core-nats/builtin.ts";

const modules = { net, tls, crypto };
const names = ["net", "tls", "crypto"] as const;

/** What the library gets where the global `process` is another. */
function gets(name: (typeof names)[number], process: unknown): unknown {
  vi.stubGlobal("process", process);
  try {
    return builtin[name];
  } finally {
    vi.unstubAllGlobals();
  }
}

test.each(names)("%s is the host's module, asked for whenever it is used", (name) => {
  const getBuiltinModule = vi.fn(() => "the module");
  expect(gets(name, { getBuiltinModule })).toBe("the module");
  expect(getBuiltinModule.mock.calls).toEqual([[`node:${name}`]]);
  expect(builtin[name]).toBe(modules[name]);
});

test.each(names)("%s is required where the host has no other way to it", (name) => {
  for (const process of [{}, { getBuiltinModule: () => undefined }, undefined])
    expect(gets(name, process)).toBe(modules[name]);
});
