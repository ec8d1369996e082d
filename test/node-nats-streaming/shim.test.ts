import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installPackage, npm } from "../support/packages.ts";
import { start } from "../support/program.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";
import { pack, root } from "../support/tarball.ts";
import { compile, dropIns } from "../types/compile.ts";

/** Packages that depend on node-nats-streaming, and what they need beside it. */
const PACKAGES = {
  "@nestjs-plugins/nestjs-nats-streaming-transport": "1.3.0",
  "@nestjs/common": "10.4.20",
  "@nestjs/core": "10.4.20",
  "@nestjs/microservices": "10.4.20",
  "reflect-metadata": "0.1.14",
  rxjs: "7.8.2",
  moleculer: "0.14.35",
  "@types/node": "24.10.1",
};
const NEW = '"nats-streaming-client/node-nats-streaming"';
const OLD = '"node-nats-streaming"';

/** An application of NestJS that listens to what it publishes, by the plugin. What decorators do is written out. */
const NEST_PROGRAM = `
require("reflect-metadata");
const { Controller, Module } = require("@nestjs/common");
const { NestFactory } = require("@nestjs/core");
const { Ctx, EventPattern, Payload } = require("@nestjs/microservices");
const { Listener, NatsStreamingTransport, Publisher } = require("@nestjs-plugins/nestjs-nats-streaming-transport");
const { lastValueFrom } = require("rxjs");
const connectOptions = { url: process.argv[2] };

class Orders {
  async created(data, context) {
    console.log("got", data.item, context.message.getSequence());
    context.message.ack();
  }
}
Payload()(Orders.prototype, "created", 0);
Ctx()(Orders.prototype, "created", 1);
EventPattern("orders")(Orders.prototype, "created", Object.getOwnPropertyDescriptor(Orders.prototype, "created"));
Controller()(Orders);
class App {}
Module({
  imports: [NatsStreamingTransport.register({ clusterId: "test-cluster", clientId: "publisher", connectOptions })],
  controllers: [Orders],
})(App);

(async () => {
  const position = { durableName: "billing", deliverAllAvailable: true, manualAckMode: true, ackWait: 5_000 };
  const strategy = new Listener("test-cluster", "listener", "group", connectOptions, position);
  const app = await NestFactory.createMicroservice(App, { strategy, logger: false });
  await app.listen();
  const publisher = app.get(Publisher);
  const emit = (item) => lastValueFrom(publisher.emit("orders", { item }), { defaultValue: "" });
  await emit("one");
  console.log("ready");
  process.stdin.once("data", () => void emit("two").then(() => console.log("sent")));
})();`;

/** Two nodes that call each other through the transporter: requests and events, balanced by the server or not. */
const MOLECULER_PROGRAM = `
const { ServiceBroker } = require("moleculer");
const transporter = { type: "STAN", options: { url: process.argv[2] } };
const disableBalancer = process.argv[3] === "balanced";
const broker = (nodeID) =>
  new ServiceBroker({ nodeID, transporter, disableBalancer, logger: false, requestTimeout: 1_000 });
const [one, two] = [broker("one"), broker("two")];
two.createService({
  name: "math",
  actions: { double: ({ params }) => params.n * 2 },
  events: { "orders.created": (ctx) => console.log("heard", ctx.params.item) },
});
async function again(attempt) {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!error.retryable) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
async function talk(n) {
  console.log("got", await again(() => one.call("math.double", { n })));
  await again(() => one.emit("orders.created", { item: n }));
}
(async () => {
  await Promise.all([one.start(), two.start()]);
  await one.waitForServices("math");
  await talk(21);
  console.log("ready");
  process.stdin.once("data", () => void talk(50));
})();`;

describeWithServer("with the overrides and the shim of docs/migrating.md", () => {
  const folder = mkdtempSync(join(tmpdir(), "nats-streaming-client-shim-"));
  const project = join(folder, "project");
  let missing: string | undefined;

  beforeAll(() => {
    const [shim, code, types, overrides] = [
      ...readFileSync(join(root, "docs", "migrating.md"), "utf8").matchAll(/^```js(?:on)?\n([^]*?)^```$/gm),
    ].map(([, text]) => text!);
    mkdirSync(join(project, "shim"), { recursive: true });
    writeFileSync(join(project, "shim", "package.json"), shim!);
    writeFileSync(join(project, "shim", "index.js"), code!);
    writeFileSync(join(project, "shim", "index.d.ts"), types!);
    const manifest = JSON.parse(overrides!) as { dependencies: object };
    const client = { "nats-streaming-client": `file:${pack(folder).path}` };
    const dependencies = { ...PACKAGES, ...client, ...manifest.dependencies };
    writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, ...manifest, dependencies }));
    missing = npm(["install", "--ignore-scripts", "--prefer-offline", "--fetch-retries=0", "--prefix", project]);
    if (missing !== undefined && process.env["CI"] === "true") throw new Error(missing);
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("npm installs the shim for all that depend on node-nats-streaming, and nothing of that", ({ skip }) => {
    if (missing !== undefined) return skip(missing);
    const modules = join(project, "node_modules");
    const [installed, shim] = [join(modules, "node-nats-streaming"), join(project, "shim")].map((folder) =>
      readFileSync(join(folder, "index.js"), "utf8"),
    );
    expect(installed).toBe(shim);
    const all = readdirSync(modules, { recursive: true }).map((path) => path.replaceAll("\\", "/"));
    const copies = all.filter((path) => /(^|node_modules\/)(nats|node-nats-streaming|google-protobuf)$/.test(path));
    expect(copies).toEqual(["node-nats-streaming"]);
  });

  test("an ES module imports it by default and by name, under the old name and the new one", async ({ skip }) => {
    if (missing !== undefined) return skip(missing);
    const file = join(project, "module.mjs");
    writeFileSync(
      file,
      `import nats, { connect, StartPosition } from "node-nats-streaming";
      import * as all from "nats-streaming-client/node-nats-streaming";
      console.log(nats.connect === connect, all.connect === connect, all.default === nats, StartPosition.FIRST);`,
    );
    expect((await start(file).ended).out).toBe("true true true 4\n");
  });

  test("TypeScript finds the types by the old name", { timeout: 120_000 }, ({ skip }) => {
    if (missing !== undefined) return skip(missing);
    const compiler = installPackage("typescript@5.9.3");
    if ("missing" in compiler) return skip(compiler.missing);
    const tsc = join(compiler.path, "node_modules", "typescript", "bin", "tsc");
    for (const [i, resolution] of (["node16", "node10"] as const).entries()) {
      const consumer = dropIns[i]!;
      const said = compile(tsc, consumer, resolution, project, true, (code) => code.replaceAll(NEW, OLD));
      expect(said, `${consumer.name}, ${resolution}`).toBe("");
    }
  });

  for (const [name, text, mode, before, after] of [
    ["an application of NestJS, by the plugin,", NEST_PROGRAM, "", [/got one 1/], [/sent/, /got two/]],
    ["Moleculer, by its STAN transporter,", MOLECULER_PROGRAM, "", [/got 42/, /heard 21/], [/got 100/, /heard 50/]],
    [
      "Moleculer, balanced by the server,",
      MOLECULER_PROGRAM,
      "balanced",
      [/got 42/, /heard 21/],
      [/got 100/, /heard 50/],
    ],
  ] as const) {
    test(`${name} works, and goes on after a restart that forgets it`, { timeout: 120_000 }, async ({ skip }) => {
      if (missing !== undefined) return skip(missing);
      const server = await RealServer.start();
      try {
        const file = join(project, "program.cjs");
        writeFileSync(file, text);
        const program = start(file, [server.url, mode]);
        await program.printed(/ready/);
        for (const line of before) await program.printed(line);
        await server.restart();
        program.give("go\n");
        for (const line of after) await program.printed(line);
        expect(program.err()).not.toMatch(/Error/);
        program.kill("SIGKILL");
        await program.ended;
      } finally {
        await server.stop();
      }
    });
  }
});
