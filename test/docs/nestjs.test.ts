import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { fresh, open } from "../support/clients.ts";
import { allBlocks, compile, makePlace, redirected } from "../support/documents.ts";
import { channelPage, untilAcknowledged } from "../support/monitor.ts";
import { installPackage } from "../support/packages.ts";
import { start } from "../support/program.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";

const NESTJS = "@nestjs/microservices@12.1.1";
/** What it brings that the blocks import. */
const PACKAGES = ["@nestjs", "reflect-metadata", "rxjs"];

describeWithServer("the NestJS transport in docs/guide.md", () => {
  const long = { timeout: 120_000 };
  test("gets messages to a controller, which acknowledges by ending; drains at a SIGTERM", long, async ({ skip }) => {
    const nestjs = installPackage(NESTJS);
    if ("missing" in nestjs) {
      if (process.env["CI"] === "true") throw new Error(nestjs.missing);
      skip(nestjs.missing);
      return;
    }
    const place = makePlace();
    onTestFinished(() => rmSync(place, { recursive: true, force: true }));
    mkdirSync(join(place, "node_modules"), { recursive: true });
    for (const name of PACKAGES) {
      symlinkSync(join(nestjs.path, "node_modules", name), join(place, "node_modules", name));
    }
    writeFileSync(join(place, "package.json"), '{ "type": "module" }');

    const blocks = allBlocks().filter(({ info }) => info.startsWith("nestjs "));
    const files = Object.fromEntries(blocks.map(({ info, code }) => [info.slice("nestjs ".length), code]));
    expect(Object.keys(files)).toEqual(["nats-streaming.ts", "main.ts"]);
    // A handler that fails, besides the one of the document.
    const refusal = 'if (order.item === "bad" && !message.redelivered) throw new Error("no");';
    files["main.ts"] = files["main.ts"]!.replace("console.log(", `${refusal}\n    $&`)
      .replace('startAt: "first" }', 'startAt: "first", ackWait: 1_000 }');
    expect(compile(place, files, { experimentalDecorators: true })).toBe("");

    const server = await RealServer.start();
    onTestFinished(() => server.stop());
    const program = start(join(place, "main.js"), [], redirected(place, server.port));
    const client = await open(server, { clientId: fresh("client") });
    for (const item of ["apples", "bad", "pears"]) await client.publish("orders", JSON.stringify({ item }));
    await program.printed(/2 bad/);
    expect(program.out().split("\n").sort()).toEqual(["", "1 apples", "2 bad", "3 pears"]);
    await untilAcknowledged(server, "orders", 3);
    program.kill("SIGTERM");
    expect(await program.ended).toMatchObject({ signal: "SIGTERM" });
    expect((await channelPage(server, "orders"))!.subscriptions).toMatchObject([
      { is_offline: true, pending_count: 0 },
    ]);
    expect(program.err()).toContain("the handler of message 2 failed");
  });
});
