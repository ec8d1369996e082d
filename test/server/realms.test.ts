import { readFileSync } from "node:fs";
import { createContext, runInContext } from "node:vm";
import { expect, test } from "vitest";
import { connect } from "../../src/index.ts";
import { StreamingServer } from "../../src/testing/server.ts";
import { fresh, optionsFor } from "../support/clients.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";

// Inside jest's jsdom: `npm run runtimes`.
describeWithServer("code of another realm", () => {
  const server = serverForSuite();
  const context = createContext({});
  const code = readFileSync("test/runtimes/realm.cjs", "utf8");
  const calls = runInContext(code, context) as (host: object) => Promise<void>;

  test("has classes of its own", () => {
    expect(runInContext("new Uint8Array(1)", context)).not.toBeInstanceOf(Uint8Array);
    expect(runInContext("new Date()", context)).not.toBeInstanceOf(Date);
  });

  test("can do all with what it makes itself, and what only looks like bytes or dates is refused, too", async () => {
    const foreign = new TextEncoder().encode("foreign");
    const options = optionsFor(server(), { clientId: fresh("realm") });
    await calls({ connect, StreamingServer, AbortController, foreign, options });
  });
});
