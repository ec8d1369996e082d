import { describe, expect, test } from "vitest";
import { Orphans } from "../../../src/streaming/subscribing/orphans.ts";
import { Peek } from "../../../src/streaming/subscribing/peek.ts";
import { fromLast } from "../../../src/streaming/subscribing/start-position.ts";
import { LateServer } from "../../support/late-server.ts";

describe("a peek without an answer", () => {
  test("resolves with undefined, and its subscription is closed", async () => {
    const { registration, requests, closed } = new LateServer();
    const orphans = new Orphans(requests);
    const last = new Peek(requests, orphans).readOne(registration, fromLast, 0, () => expect.fail("no message came"));
    expect(await last).toBe(undefined);
    expect(closed).toEqual([expect.stringMatching(/^_INBOX\./)]);
    expect(orphans.hasOpen).toBe(false);
  });

  test("closes the subscription once more when the server accepts it too late", async () => {
    const server = new LateServer();
    const { registration, requests, closed } = server;
    const peek = new Peek(requests, new Orphans(requests));
    await peek.readOne(registration, fromLast, 0, () => expect.fail("no message came"));
    closed.length = 0;
    server.accept("_STAN.late");
    expect(closed).toEqual(["_STAN.late"]);
  });
});
