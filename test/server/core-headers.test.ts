import { expect, onTestFinished, test } from "vitest";
import { headerBlock } from "../../src/core-nats/headers.ts";
import { Link } from "../../src/core-nats/link.ts";
import { latin1 } from "../support/bytes.ts";
import { NatsServer } from "../support/server.ts";
import { describeWithServer } from "../support/suite.ts";

describeWithServer(
  "headers, by a real NATS server",
  () => {
    test("arrive as they were sent, with any payload and reply subject", async () => {
      const server = await NatsServer.start({ config: "server_name: one" });
      const link = new Link({
        servers: server.url,
        name: "a-link",
        auth: undefined,
        tls: undefined,
        connectTimeout: 5_000,
        pingInterval: 60_000,
        pingMaxOut: 2,
        inboxPrefix: "_INBOX",
      });
      onTestFinished(async () => {
        link.close();
        await server.stop();
      });
      const connection = await link.connection();
      expect(connection.info).toMatchObject({ headers: true, jetstream: false, serverName: "one", version: "2.10.29" });
      const received: unknown[] = [];
      connection.subscribe("a.>", {
        deliver: (delivery) => {
          const { bytes, start, end } = delivery;
          const headers = ["Nats-Msg-Id", "nats-msg-id", "Two"].map((name) => delivery.header(name));
          received.push([delivery.subject(), delivery.reply(), ...headers, latin1(bytes.subarray(start, end))]);
        },
        denied: () => {},
      });
      const headers = headerBlock([["Nats-Msg-Id", "é:1"], ["Two", "a"], ["Two", "b"]]);
      connection.publishWithHeaders("a.b", headers, new Uint8Array(0));
      connection.publishWithHeaders("a.c", headers, new Uint8Array([13, 10, 255]), "reply.to");
      connection.publish("a.d", new Uint8Array([120]));
      await connection.flush();
      expect(received).toEqual([
        ["a.b", "", "é:1", undefined, "a", ""],
        ["a.c", "reply.to", "é:1", undefined, "a", "\r\n\xff"],
        ["a.d", "", undefined, undefined, undefined, "x"],
      ]);
    });
  },
  ["nats"],
);
