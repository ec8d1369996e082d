import { expect, test } from "vitest";
import { Orphans } from "../../../src/streaming/subscribing/orphans.ts";
import { LateServer } from "../../support/late-server.ts";

test("an orphan is closed, by its ack inbox if the server gave one", async () => {
  const server = new LateServer();
  const { registration, closed } = server;
  const orphans = new Orphans(server.requests);
  orphans.add(registration.session, "inbox 1", "", false);
  orphans.add(registration.session, "inbox 2", "ack inbox 2", false);
  expect(orphans.hasOpen).toBe(true);
  expect(await orphans.close(registration)).toBe(true);
  expect(closed).toEqual(["inbox 1", "ack inbox 2"]);
  expect(orphans.hasOpen).toBe(false);
});

test("reopened orphans are closed once more; after many attempts only the last few are kept for that", async () => {
  const server = new LateServer();
  const { registration, closed } = server;
  const orphans = new Orphans(server.requests);
  for (let attempt = 1; attempt <= 1_000; attempt++) {
    orphans.add(registration.session, `inbox ${attempt}`, "", false);
    await orphans.close(registration);
  }
  closed.length = 0;
  orphans.reopenAll();
  await orphans.close(registration);
  expect(closed.length).toBeGreaterThan(1);
  expect(closed.length).toBeLessThan(20);
  expect(closed.at(-1)).toBe("inbox 1000");
  closed.length = 0;
  orphans.reopenAll();
  await orphans.close(registration);
  expect(closed).toEqual([]);
});
