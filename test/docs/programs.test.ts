import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { StreamingServer as EmbeddedServer } from "../../src/testing/server.ts";
import { allBlocks, compileBlocks, makePlace, redirected } from "../support/documents.ts";
import { start } from "../support/program.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** The line of an output at which the program is told to stop. */
const SIGTERM = "(SIGTERM)\n";
const blocks = allBlocks().filter(({ info }) => info === "run");
const numbered = blocks.map((block, i) => ({ ...block, i }));
const first = blocks.find(({ where }) => where.startsWith("README.md:"))!;
let place = "";

beforeAll(() => {
  place = makePlace();
  expect(compileBlocks(place, blocks)).toBe("");
});

afterAll(() => {
  rmSync(place, { recursive: true, force: true });
});

describe("the programs in the documents, with an embedded server", () => suite(() => EmbeddedServer.start()));
describeWithServer("the programs in the documents, with nats-streaming-server", () => suite(() => RealServer.start()));

function suite(startServer: () => Promise<{ readonly port: number; stop(): Promise<void> }>): void {
  test.each(numbered)("$where prints what it says, and ends", async ({ i, output }) => {
    await expectPrints(`block-${i}.mjs`, output!);
  });

  test("the first program of README.md runs as it stands as an ES module", async () => {
    writeFileSync(join(place, "first.mjs"), first.code);
    await expectPrints("first.mjs", first.output!);
  });

  test("the first program of README.md runs in CommonJS, by require and in an async function", async () => {
    const [, names, calls] = /^import (\{.*\}) from "nats-streaming-client";\n([^]*)$/.exec(first.code)!;
    const program = `const ${names} = require("nats-streaming-client");\n(async () => {${calls}})();\n`;
    writeFileSync(join(place, "first.cjs"), program);
    await expectPrints("first.cjs", first.output!);
  });

  test("the first program of README.md also ends at a SIGTERM while its server is away", async () => {
    // Without a limit it waits for the link, since an ack may have been lost.
    writeFileSync(join(place, "away.mjs"), first.code.replace("drain()", "drain({ timeout: 100 })"));
    const server = await startServer();
    onTestFinished(() => server.stop());
    const program = start(join(place, "away.mjs"), [], redirected(place, server.port));
    await program.printed(/two of the blue ones/);
    await server.stop();
    await program.printed(/disconnected/);
    program.kill("SIGTERM");
    const { code, signal, out } = await program.ended;
    expect({ code, signal }, out).toEqual({ code: 0, signal: null });
    expect(out).toMatch(/\nclosed\n$/);
  });

  /** Runs a program to its end with a server of its own: channels and sequences are those of the document. */
  async function expectPrints(file: string, output: string): Promise<void> {
    const server = await startServer();
    onTestFinished(() => server.stop());
    const program = start(join(place, file), [], redirected(place, server.port));
    const [before, after] = output.split(SIGTERM);
    if (after !== undefined) {
      await until(`it has printed ${before}`, () => program.out().length >= before!.length);
      program.kill("SIGTERM");
    }
    const { code, signal, out, err } = await program.ended;
    expect({ code, signal, out }, err).toEqual({ code: 0, signal: null, out: before! + (after ?? "") });
  }
}
