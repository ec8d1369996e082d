import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import * as bridge from "../../src/bridge/index.ts";
import { between } from "../support/bridge.ts";
import { fresh, open } from "../support/clients.ts";
import { allBlocks, compileBlocks, makePlace, textOf } from "../support/documents.ts";
import { installPackage } from "../support/packages.ts";
import { NatsServer, RealServer } from "../support/server.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";

const text = textOf("docs/leaving.md");

describe("docs/leaving.md", () => {
  let place = "";
  beforeAll(() => {
    place = makePlace();
  }, 120_000);
  afterAll(() => rmSync(place, { recursive: true, force: true }));

  test("has code for JetStream that compiles with its package", { timeout: 180_000 }, ({ skip }) => {
    const found = installPackage("@nats-io/jetstream@3.4.0 @nats-io/transport-node@3.4.0");
    if ("missing" in found) {
      if (process.env["CI"] === "true") throw new Error(found.missing);
      return skip(found.missing);
    }
    symlinkSync(join(found.path, "node_modules", "@nats-io"), join(place, "node_modules", "@nats-io"));
    const blocks = allBlocks().filter(({ info }) => info === "jetstream");
    expect(blocks.map(({ where }) => where.replace(/:.*/, ""))).toEqual(["docs/leaving.md"]);
    const folder = mkdtempSync(join(place, "check-"));
    expect(compileBlocks(folder, blocks, "", { lib: ["es2022", "dom"] })).toBe("");
  });

  test("has a heading for each error code, in the order of the source", () => {
    const [, codes] = /BridgeErrorCode =\n([^;]*);/.exec(textOf("src/bridge/errors.ts"))!;
    const all = [...codes!.matchAll(/"(\w+)"/g)].map(([, code]) => code);
    expect(all.length).toBeGreaterThan(10);
    expect([...text.matchAll(/^### `(\w+)`$/gm)].map(([, code]) => code)).toEqual(all);
  });

  test("has a row for each function of the bridge, with each of its own options", () => {
    const rows = [...text.matchAll(/^\| (`\w+`(?:, `\w+`)*) \|([^|]*)\|/gm)].map(([, names, options]) => {
      return { names: [...names!.matchAll(/`(\w+)`/g)].map(([, name]) => name!), options: options! };
    });
    const functions = Object.entries(bridge).flatMap(([name, value]) => (/^[a-z]/.test(name) && value ? [name] : []));
    const described = rows.filter(({ names }) => names.some((name) => functions.includes(name)));
    expect(described.flatMap(({ names }) => names).sort()).toEqual(functions.sort());
    for (const { names, options } of described) {
      const file = `src/bridge/${names[0]!.replace("fromJetStream", "from-jetstream")}.ts`;
      const own = /checkBridgeOptions\("\w+", options, (?:names|\[(.*?)\])\)/.exec(textOf(file))?.[1];
      const listed = own ?? /const names = \[(.*?)\]/.exec(textOf(file))?.[1] ?? "";
      const known = [...listed.matchAll(/"(\w+)"/g)].map(([, name]) => name).sort();
      expect([...options.matchAll(/`(\w+)`/g)].map(([, name]) => name).sort(), names.join()).toEqual(known);
    }
  });
});

describeWithServer(
  "the permissions of docs/leaving.md",
  () => {
    const stan = serverForSuite();

    test("are all that plan asks for, and that a copy and a comparison need", async () => {
      const rows = [...text.matchAll(/^\| the target, for .*? \| (.*?) \|/gm)].map(([, cell]) => cell!);
      expect(rows).toHaveLength(2);
      const subjects = rows.flatMap((row) => [...row.matchAll(/`(.*?)`/g)]).flatMap(([, pattern]) => {
        const names = /\{(.*)\}/.exec(pattern!)?.[1]?.split(",") ?? [""];
        return names.map((name) => pattern!.replace(/\{.*\}/, name));
      });
      const lists = `publish: ${JSON.stringify(subjects)}, subscribe: ["_INBOX.>"]`;
      const users = `{ user: bridge, password: bridge, permissions: { ${lists} } }`;
      const nats = await NatsServer.start({ jetstream: true, config: `authorization { users: [${users}] }` });
      onTestFinished(() => nats.stop("SIGKILL"));
      const channel = fresh("orders");
      const client = await open(stan());
      await client.publish(channel, "one");
      const options = between(stan() satisfies RealServer, { url: nats.url.replace("//", "//bridge:bridge@") }, channel);
      expect(await bridge.plan(options)).toMatchObject({ ok: true, obstacles: [] });
      expect(await bridge.copy(options)).toMatchObject({ ok: true });
      expect(await bridge.verify(options)).toMatchObject({ ok: true, channels: [{ compared: 1 }] });
    });
  },
  ["streaming", "nats"],
);
