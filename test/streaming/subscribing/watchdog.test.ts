import { describe, expect, test } from "vitest";
import { range } from "../../support/clients.ts";
import { Forgetful } from "../../support/forgetful.ts";
import { until } from "../../support/until.ts";

describe.concurrent("a silent subscription", () => {
  test("is looked at once after an outage, if it is healthy, and not without an outage", () =>
    Forgetful.run({}, async (server) => {
      server.deliver(1, 2);
      await server.received.until(2);
      await server.cut();
      await until("it was looked at", () => server.looks.length > 0);
      const pings = server.fake.pings.length;
      await until("many pings later", () => server.fake.pings.length > pings + 6);
      expect(server.looks).toHaveLength(1);
      expect(server.asks).toHaveLength(1);
    }));

  test("is asked for again when this client has published a lot to its channel, and it got nothing", () =>
    Forgetful.run({}, async (server) => {
      server.deliver(1);
      await server.received.until(1);
      server.stored.add(2);
      await server.client.publishMany("fake", range(1, 300).map(String));
      const [, again] = await server.statuses.until("subscribed", 2);
      expect(again!.reason).toBe("nothing came for 5 s, and the channel has messages up to 2");
    }));

  test("that has received something after the outage is not looked at", () =>
    Forgetful.run({}, async (server) => {
      server.deliver(1);
      await server.received.until(1);
      await server.cut();
      server.deliver(2);
      await server.received.until(2);
      const pings = server.fake.pings.length;
      await until("many pings later", () => server.fake.pings.length > pings + 7);
      expect(server.looks).toEqual([]);
    }));
});
