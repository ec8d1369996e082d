import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { VERSION } from "../src/core-nats/connection.ts";

// The package as a user has it: built, in the node_modules of a folder that has nothing else.

let folder = "";
const home = (): string => join(folder, "node_modules", "nats-streaming-client");

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-"));
  mkdirSync(home(), { recursive: true });
  copyFileSync("package.json", join(home(), "package.json"));
  const built = await tsc(["-p", "src", "--outDir", join(home(), "dist")], process.cwd());
  expect(built).toEqual({ code: 0, output: "" });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Result {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a program of Node to its end. */
function node(args: readonly string[], cwd: string): Promise<Result> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("error", fail);
    child.on("close", (code) => done({ code, output: output.trim() }));
  });
}

function tsc(args: readonly string[], cwd: string): Promise<Result> {
  return node([resolve("node_modules/typescript/bin/tsc"), ...args], cwd);
}

/** Runs a program in the user's folder, and returns what it prints as JSON. */
async function run(file: string, text: string): Promise<unknown> {
  writeFileSync(join(folder, file), text);
  const { code, output } = await node([file], folder);
  expect(code, output).toBe(0);
  return JSON.parse(output);
}

const NAMES = ["Client", "Message", "Messages", "NatsError", "StreamingError", "Subscription", "connect"];

describe("the built package", () => {
  test("is loaded by require, with exactly the public names", async () => {
    const text = `const all = require("nats-streaming-client"); console.log(JSON.stringify(Object.keys(all).sort()));`;
    expect(await run("names.cjs", text)).toEqual(NAMES);
  });

  test("is loaded by import, with the same names, and is the same thing", async () => {
    const text = `
      import * as all from "nats-streaming-client";
      import { connect, Client, StreamingError } from "nats-streaming-client";
      import { createRequire } from "node:module";
      const required = createRequire(import.meta.url)("nats-streaming-client");
      const names = Object.keys(all).filter((name) => !["default", "module.exports", "__esModule"].includes(name)).sort();
      const same = [connect === required.connect, Client === required.Client, StreamingError === required.StreamingError];
      console.log(JSON.stringify([names, ...same]));`;
    expect(await run("names.mjs", text)).toEqual([NAMES, true, true, true]);
  });

  test("gives its package.json, and nothing of its inside", async () => {
    const text = `
      const inside = ["/dist/index.js", "/dist/streaming/client.js", "/streaming/client", "/dist"].map((path) => {
        try { require("nats-streaming-client" + path); return path; } catch (error) { return error.code; }
      });
      console.log(JSON.stringify([require("nats-streaming-client/package.json").version, ...inside]));`;
    const refused = "ERR_PACKAGE_PATH_NOT_EXPORTED";
    expect(await run("inside.cjs", text)).toEqual([VERSION, refused, refused, refused, refused]);
  });

  test("tells servers the version that it has", () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    expect(VERSION).toBe(version);
  });

  test("loads no TLS and no cryptography by being loaded, holds nothing open, and prints nothing", async () => {
    const text = `
      const { Module } = require("node:module");
      const asked = [];
      const load = Module._load;
      Module._load = function (request, ...rest) { asked.push(request); return load.call(this, request, ...rest); };
      require("nats-streaming-client");
      const hosts = asked.filter((request) => !request.startsWith(".") && request !== "nats-streaming-client");
      const held = process.getActiveResourcesInfo().filter((name) => name !== "TTYWrap" && name !== "PipeWrap");
      console.log(JSON.stringify([[...new Set(hosts)], held]));`;
    expect(await run("loaded.cjs", text)).toEqual([["node:net"], []]);
  });

  test("changes no global of the host", async () => {
    const text = `
      const before = Reflect.ownKeys(globalThis).length + Reflect.ownKeys(Symbol).length;
      require("nats-streaming-client");
      console.log(JSON.stringify(Reflect.ownKeys(globalThis).length + Reflect.ownKeys(Symbol).length - before));`;
    expect(await run("globals.cjs", text)).toBe(0);
  });
});

/** What every consumer does, whatever its settings. */
const USE = `
import { connect, Client, Message, Messages, NatsError, StreamingError, Subscription } from "nats-streaming-client";
import type { ConnectOptions, Credentials, DrainReport, MessageHandler, NatsErrorCode } from "nats-streaming-client";
import type { PublishOptions, Signal, StartAt, Status, StreamingErrorCode, SubscribeOptions } from "nats-streaming-client";
import type { TlsOptions } from "nats-streaming-client";

export async function use(signal: Signal, auth: Credentials, tls: TlsOptions): Promise<void> {
  const onStatus = (status: Status): void => {
    if (status.type === "gap") status.to - status.from;
    if (status.type === "error") status.error.code satisfies StreamingErrorCode;
  };
  const options: ConnectOptions = { clusterId: "c", clientId: "i", servers: ["a"], auth, tls, signal, onStatus };
  const client: Client = await connect({ ...options, requestTimeout: undefined });
  const publishing: PublishOptions = { signal, reply: "r" };
  await client.publish("a", "text", publishing);
  await client.publish("a", new Uint8Array(3));
  const stored: number = await client.publishMany("a", ["1", new Uint8Array(1)], { onStored: (count) => count + 1 });
  const startAt: StartAt = { time: new Date() };
  const subscribing: SubscribeOptions = { startAt, durable: "d", maxInFlight: undefined };
  const handler: MessageHandler = (message: Message) => message.ack();
  const subscription: Subscription = await client.subscribe("a", handler, subscribing);
  const reason: StreamingError | undefined = await subscription.closed;
  const messages: Messages = await client.messages("a");
  for await (const message of messages) {
    const parts: [string, Uint8Array, bigint] = [message.text(), message.data, message.timestamp];
    message.json<{ a: number }>().a + parts.length + message.time.getTime() + message.sequence + stored;
  }
  const cause: unknown = reason?.cause;
  if (cause instanceof NatsError) cause.code satisfies NatsErrorCode;
  const report: DrainReport = await client.drain({ timeout: 5 });
  report.unhandled.length + report.unconfirmed;
  await client[Symbol.asyncDispose]();
}
`;

const WITHOUT_HOST = `
const signal: Signal = { aborted: false, reason: undefined, addEventListener() {}, removeEventListener() {} };
void use(signal, { token: "t" }, {});
`;

const WITH_SIGNAL = `
const controller = new AbortController();
void use(controller.signal, { user: "u", pass: "p" }, { ca: "c" });
void use(AbortSignal.timeout(5), { creds: "c" }, { ca: [new Uint8Array(1)] });
`;

const USING = `
export async function dispose(): Promise<void> {
  await using client = await connect({ clusterId: "c", clientId: "i" });
  await client.publish("a", "b");
}
`;

/** The part of Node's own declarations that matters here: signals without the DOM, and disposal. */
const LIKE_NODE = `
interface EventTarget {
  addEventListener(type: string, listener: (event: object) => void, options?: { once?: boolean; passive?: boolean }): void;
  removeEventListener(type: string, listener: (event: object) => void): void;
}
interface AbortSignal extends EventTarget {
  readonly aborted: boolean;
  readonly reason: any;
  onabort: null | ((this: AbortSignal, event: object) => any);
  throwIfAborted(): void;
}
declare var AbortSignal: {
  prototype: AbortSignal;
  new (): AbortSignal;
  abort(reason?: any): AbortSignal;
  timeout(milliseconds: number): AbortSignal;
};
interface AbortController { readonly signal: AbortSignal; abort(reason?: any): void; }
declare var AbortController: { prototype: AbortController; new (): AbortController };
interface SymbolConstructor { readonly dispose: unique symbol; readonly asyncDispose: unique symbol; }
interface SymbolDispose { [Symbol.dispose](): void; }
`;

const consumers: readonly (readonly [string, { lib: readonly string[]; program: string; globals?: string }])[] = [
  ["without any host's types", { lib: ["es2022"], program: USE + WITHOUT_HOST }],
  ["with the DOM's types", { lib: ["es2022", "dom"], program: USE + WITH_SIGNAL }],
  ["with types like Node's", { lib: ["es2022"], program: USE + WITH_SIGNAL, globals: LIKE_NODE }],
  ["with disposal in the language", { lib: ["esnext"], program: USE + WITHOUT_HOST + USING }],
  ["with disposal and the DOM", { lib: ["esnext", "dom"], program: USE + WITH_SIGNAL + USING }],
];

/** Checks a program against the built package, as both kinds of module, with nothing skipped. */
async function check(name: string, lib: readonly string[], program: string, globals = ""): Promise<Result> {
  const place = join(folder, name.replaceAll(/\W+/g, "-"));
  mkdirSync(place, { recursive: true });
  for (const extension of ["cts", "mts"]) writeFileSync(join(place, `main.${extension}`), program);
  writeFileSync(join(place, "globals.d.ts"), globals);
  const strictly = { strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false };
  const compilerOptions = { target: "es2022", lib, types: [], module: "nodenext", ...strictly, noEmit: true };
  writeFileSync(join(place, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["."] }));
  return tsc(["-p", "."], place);
}

describe("the types", () => {
  test.each(consumers)("compile for a consumer %s, in CommonJS and in ES modules", async (name, { lib, program, globals }) => {
    expect(await check(name, lib, program, globals)).toEqual({ code: 0, output: "" });
  });

  test("refuse what is wrong", async () => {
    const wrong = [
      `void client.publish("a", 5);`,
      `void client.subscribe("a");`,
      `void connect({ clusterId: "c" });`,
      `void connect({ clusterId: "c", clientId: "i", clientID: "i" });`,
      `void client.subscribe("a", () => {}, { startAt: "last" });`,
      `new Client();`,
      `client.state = "closed";`,
      `void client.publish("a", "x", { signal: {} });`,
    ];
    const program = [`import { connect, Client } from "nats-streaming-client";`, "declare const client: Client;", ...wrong].join("\n");
    const { code, output } = await check("wrong", ["es2022"], program);
    expect(code).not.toBe(0);
    for (const extension of ["cts", "mts"]) {
      const found = output.matchAll(new RegExp(`^main\\.${extension}\\((\\d+),`, "gm"));
      const lines = new Set([...found].map(([, line]) => Number(line)));
      expect([...lines].sort((a, b) => a - b)).toEqual(wrong.map((_, i) => i + 3));
    }
  });
});
