import { expect, test } from "vitest";
import { pull } from "../../src/bridge/pull.ts";
import { JetStream } from "../support/jetstream.ts";
import { NatsServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";

describeWithServer(
  "a pull",
  () => {
    const nats = forSuite(() => NatsServer.start({ jetstream: true }));

    test("on a connection that has ended, or ends meanwhile, is rejected with the reason", async () => {
      const { connection } = await JetStream.open(nats().url);
      const target = { inboxPrefix: "_INBOX", subject: (name: string) => `$JS.API.${name}` };
      const what = { stream: "none", consumer: "none", batch: 1, expires: 60_000 };
      const meanwhile = pull(connection, target, what, () => {});
      connection.close();
      await expect(meanwhile).rejects.toBe(connection.ended.reason);
      await expect(pull(connection, target, what, () => {})).rejects.toBe(connection.ended.reason);
    });
  },
  ["nats"],
);
