import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { StreamingServer as EmbeddedServer } from "../../src/testing/server.ts";
import { allBlocks, compileBlocks, makePlace, redirected } from "../support/documents.ts";
import { start } from "../support/program.ts";
import { StreamingServer as RealServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** The line of an output at which the program is told to stop. */
const SIGTERM = "(SIGTERM)\n";
const blocks = allBlocks().filter(({ info }) => info === "run");
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
  test.each(blocks.map((block, i) => ({ ...block, i })))("$where prints what it says, and ends", async ({ i, output }) => {
    // A server of its own: channels and sequences are those of the document.
    const server = await startServer();
    onTestFinished(() => server.stop());
    const program = start(join(place, `block-${i}.mjs`), [], redirected(place, server.port));
    const [before, after] = output!.split(SIGTERM);
    if (after !== undefined) {
      await until(`it has printed ${before}`, () => program.out().length >= before!.length);
      program.kill("SIGTERM");
    }
    const { code, signal, out, err } = await program.ended;
    expect({ code, signal, out }, err).toEqual({ code: 0, signal: null, out: before! + (after ?? "") });
  });
}
