import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makePlace } from "../support/documents.ts";
import { installPackage } from "../support/packages.ts";
import { start } from "../support/program.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";

const NEST = [
  "@nestjs-plugins/nestjs-nats-streaming-transport@1.3.0 @nestjs/common@10.4.20 @nestjs/core@10.4.20",
  "@nestjs/microservices@10.4.20 reflect-metadata@0.1.14 rxjs@7.8.2",
].join(" ");
const MOLECULER = "moleculer@0.14.35";

/** A listener and a publisher of the plugin. Both are told by the plugin's own code what they get. */
const NEST_PROGRAM = `
require("reflect-metadata");
const { Listener, Publisher } = require("@nestjs-plugins/nestjs-nats-streaming-transport");
const { firstValueFrom } = require("rxjs");
const options = { url: process.argv[2] };
(async () => {
  const position = { durableName: "d", deliverAllAvailable: true };
  const listener = new Listener("test-cluster", "listener", "group", options, position);
  listener.logger = { log() {} };
  const handler = async (data, context) => console.log("got", data.item, context.message.getSequence());
  listener.addHandler("orders", handler, true);
  await new Promise((resolve) => listener.listen(resolve));
  const publisher = new Publisher({ clusterId: "test-cluster", clientId: "publisher", connectOptions: options });
  await publisher.connect();
  const emitted = (item) => firstValueFrom(publisher.emit("orders", { item }), { defaultValue: "" });
  const emit = async (item) => console.log("sent", typeof (await emitted(item)));
  await emit("one");
  console.log("ready");
  process.stdin.once("data", async () => {
    await emit("two");
  });
})();`;

/** Two nodes that call each other through the transporter. */
const MOLECULER_PROGRAM = `
const { ServiceBroker } = require("moleculer");
const transporter = { type: "STAN", options: { url: process.argv[2] } };
const broker = (nodeID) => new ServiceBroker({ nodeID, transporter, logger: false, requestTimeout: 5_000 });
const [one, two] = [broker("one"), broker("two")];
two.createService({ name: "math", actions: { double: ({ params }) => params.n * 2 } });
(async () => {
  await Promise.all([one.start(), two.start()]);
  await one.waitForServices("math");
  console.log("got", await one.call("math.double", { n: 21 }));
  console.log("ready");
  process.stdin.once("data", async () => {
    for (let i = 0; ; i++) {
      try {
        console.log("got", await one.call("math.double", { n: 50 }));
        return;
      } catch (error) {
        if (i === 10) throw error;
      }
    }
  });
})();`;

describeWithServer("with the shim of docs/migrating.md", () => {
  let place = "";
  beforeAll(() => {
    place = makePlace();
    const folder = join(place, "node_modules", "node-nats-streaming");
    mkdirSync(folder);
    const [manifest, code] = [
      ...readFileSync("docs/migrating.md", "utf8").matchAll(/^```js(?:on)?\n([^]*?)^```$/gm),
    ].map(([, text]) => text!);
    writeFileSync(join(folder, "package.json"), manifest!);
    writeFileSync(join(folder, "index.js"), code!);
  });
  afterAll(() => rmSync(place, { recursive: true, force: true }));

  /** Installs packages. Returns where they are. */
  function install(spec: string, skip: (reason: string) => void): string | undefined {
    const found = installPackage(spec);
    if ("missing" in found) {
      if (process.env["CI"] === "true") throw new Error(found.missing);
      skip(found.missing);
      return undefined;
    }
    return join(found.path, "node_modules");
  }

  for (const [name, spec, text, before, after] of [
    ["the NestJS plugin", NEST, NEST_PROGRAM, /got one 1/, /got two/],
    ["the STAN transporter of Moleculer", MOLECULER, MOLECULER_PROGRAM, /got 42/, /got 100/],
  ] as const) {
    test(
      `${name} works, and works on after a restart that has forgotten its session`,
      { timeout: 180_000 },
      async ({ skip }) => {
        const packages = install(spec, skip);
        if (packages === undefined) return;
        const server = await RealServer.start();
        try {
          const file = join(place, `${name.replaceAll(" ", "-")}.cjs`);
          // As npm's overrides do it: every require of the package leads to the shim.
          const shim = join(place, "node_modules", "node-nats-streaming");
          writeFileSync(
            file,
            `
          const { Module } = require("node:module");
          const resolve = Module._resolveFilename;
          const shim = ${JSON.stringify(shim)};
          Module._resolveFilename = (request, ...rest) =>
            resolve(request === "node-nats-streaming" ? shim : request, ...rest);
          module.paths.unshift(${JSON.stringify(packages)});
          ${text}`,
          );
          const program = start(file, [server.url]);
          await program.printed(/ready/);
          await program.printed(before);
          await server.restart();
          await new Promise<void>((resolve) => setTimeout(resolve, 1_500));
          program.give("go\n");
          await program.printed(after);
          expect(program.err()).not.toMatch(/Error/);
          program.kill("SIGKILL");
        } finally {
          await server.stop();
        }
      },
    );
  }
});
