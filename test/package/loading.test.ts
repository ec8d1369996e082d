import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { VERSION } from "../../src/core-nats/connect-fields.ts";
import { install, pack, root } from "../support/tarball.ts";

const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-loading-"));

beforeAll(() => install(pack(folder), folder));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  version: string;
  sideEffects: unknown;
};
const NAMES = [
  "Batches",
  "Client",
  "Message",
  "Messages",
  "NatsError",
  "PublishManyError",
  "StreamingError",
  "Subscription",
  "connect",
  "readDeadLetter",
];

/** Runs a program where the package is installed, and returns what it prints as JSON. */
function run(file: string, text: string): unknown {
  writeFileSync(join(folder, file), text);
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--pending-deprecation", file], {
    encoding: "utf8",
    cwd: folder,
  });
  expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
  return JSON.parse(stdout);
}

test("the package is loaded by require, with exactly the public names", () => {
  const program = `
    const names = (path) => Object.keys(require(path)).sort();
    const entries = ["", "/testing", "/node-nats-streaming", "/bridge"].map((entry) => "nats-streaming-client" + entry);
    console.log(JSON.stringify(entries.map(names)));`;
  const dropIn = ["Message", "NewSubscriptionOptions", "Stan", "StartPosition", "Subscription", "connect", "version"];
  const bridge = ["BridgeError", "copy", "finish", "fromJetStream", "move", "open", "plan", "verify"];
  expect(run("names.cjs", program)).toEqual([NAMES, ["StreamingServer"], dropIn, bridge]);
});

test("the package is loaded by import, with the same names, and is the same thing", () => {
  const program = `
    import * as all from "nats-streaming-client";
    import { connect, Client, StreamingError } from "nats-streaming-client";
    import { createRequire } from "node:module";
    const required = createRequire(import.meta.url)("nats-streaming-client");
    const names = Object.keys(all).filter((name) => !["default", "module.exports", "__esModule"].includes(name)).sort();
    const same = [connect === required.connect, Client === required.Client, StreamingError === required.StreamingError];
    console.log(JSON.stringify([names, ...same]));`;
  expect(run("names.mjs", program)).toEqual([NAMES, true, true, true]);
});

test("the package gives its package.json, and nothing of its inside", () => {
  const program = `
    const inside = ["/dist/index.js", "/dist/streaming/client.js", "/streaming/client", "/dist"].map((path) => {
      try { require("nats-streaming-client" + path); return path; } catch (error) { return error.code; }
    });
    console.log(JSON.stringify([require("nats-streaming-client/package.json").version, ...inside]));`;
  const refused = "ERR_PACKAGE_PATH_NOT_EXPORTED";
  expect(run("inside.cjs", program)).toEqual([manifest.version, refused, refused, refused, refused]);
});

test("servers are told the version that the package has", () => {
  expect(VERSION).toBe(manifest.version);
});

test("loading the package loads nothing of the host but what it has, and neither does the server for tests", () => {
  const program = `
    const { Module } = require("node:module");
    const asked = new Set();
    const load = Module._load;
    Module._load = function (request, ...rest) { asked.add(request); return load.call(this, request, ...rest); };
    const { getBuiltinModule } = process;
    process.getBuiltinModule = (request) => { asked.add(request); return getBuiltinModule(request); };
    const ofHost = () => [...asked].filter((request) => !request.startsWith(".") && !request.startsWith("nats-"));
    require("nats-streaming-client");
    const client = ofHost();
    require("nats-streaming-client/testing");
    const testing = ofHost();
    const loaded = Object.keys(require.cache).some((path) => /(node-nats-streaming|bridge)\\.js$/.test(path));
    require("nats-streaming-client/node-nats-streaming");
    require("nats-streaming-client/bridge");
    console.log(JSON.stringify([client, testing, loaded, ofHost()]));`;
  // Node itself has loaded both before any program.
  const both = ["node:timers", "node:events"];
  expect(run("loaded.cjs", program)).toEqual([["node:timers"], ["node:timers"], false, both]);
});

test("loading the package has no side effects, as its manifest says: no object, listener or timer is new", () => {
  expect(manifest.sideEffects).toBe(false);
  const program = `
    const ownProperties = (object) => Reflect.ownKeys(object).map((key) => {
      const { value, get, set } = Object.getOwnPropertyDescriptor(object, key);
      return [key, value, get, set];
    });
    // Many of them are made when they are first asked for, which is not to be taken for a change.
    const globals = Object.getOwnPropertyNames(globalThis).map((name) => [name, globalThis[name]]);
    const objects = globals
      .filter(([, value]) => typeof value === "function" || (typeof value === "object" && value !== null))
      .flatMap(([name, value]) => [[name, value], [name + ".prototype", value.prototype]])
      .filter(([, value]) => value);
    const look = () => new Map([
      ...objects.map(([name, object]) => [name, ownProperties(object)]),
      ["listeners", process.eventNames().map((name) => [name, process.listenerCount(name)])],
      ["resources", process.getActiveResourcesInfo()],
      ["environment", Object.entries(process.env)],
    ]);
    const same = (a, b) =>
      Object.is(a, b) ||
      (Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((part, i) => same(part, b[i])));
    const before = look();
    require("nats-streaming-client");
    require("nats-streaming-client/testing");
    require("nats-streaming-client/node-nats-streaming");
    require("nats-streaming-client/bridge");
    const after = look();
    const changed = [...before.keys()].filter((name) => !same(before.get(name), after.get(name)));
    console.log(JSON.stringify({ looked: before.size > 100, changed }));`;
  expect(run("effects.cjs", program)).toEqual({ looked: true, changed: [] });
});
