import { expect, test } from "vitest";
import type { Connection } from "../../src/core-nats/connection.ts";
import { Lifetime } from "../../src/core-nats/lifetime.ts";
import { UnsubscribeRequest } from "../../src/pb/protocol.ts";
import { checkConnectOptions, checkSubscribeOptions } from "../../src/streaming/options.ts";
import { ServerSide } from "../../src/streaming/server-side.ts";
import type { Session } from "../../src/streaming/session.ts";
import type { Registration, Supervisor } from "../../src/streaming/supervisor.ts";
import { subjects } from "../support/fake-streaming.ts";

/** A server that closes whatever it is told to, and what it was told. */
function start(): { server: ServerSide; registration: Registration; closed: string[] } {
  const closed: string[] = [];
  const request = (_: string, bytes: Uint8Array): Promise<{ ackInbox: string; error: string }> => {
    closed.push(UnsubscribeRequest.read(bytes).inbox);
    return Promise.resolve({ ackInbox: "", error: "" });
  };
  const connection = { request } as unknown as Connection;
  const session = { subjects } as unknown as Session;
  const settings = checkConnectOptions({ clusterId: "c", clientId: "me" });
  const server = new ServerSide(settings, {} as Supervisor, "fake", checkSubscribeOptions({ durable: "d" }));
  server.enter(session);
  return { server, registration: { connection, session, over: new Lifetime() }, closed };
}

test("what was given up is closed, by its ack inbox if the server gave one", async () => {
  const { server, registration, closed } = start();
  server.giveUp("inbox 1", "", false);
  server.giveUp("inbox 2", "ack inbox 2", false);
  expect(server.haunted).toBe(true);
  expect(await server.leftovers(registration)).toBe(true);
  expect(closed).toEqual(["inbox 1", "ack inbox 2"]);
  expect(server.haunted).toBe(false);
});

test("if in doubt it is closed once more; of a year of attempts no more than the last few are kept for that", async () => {
  const { server, registration, closed } = start();
  for (let attempt = 1; attempt <= 1_000; attempt++) {
    server.giveUp(`inbox ${attempt}`, "", false);
    await server.leftovers(registration);
  }
  closed.length = 0;
  server.suspectAll();
  await server.leftovers(registration);
  expect(closed.length).toBeGreaterThan(1);
  expect(closed.length).toBeLessThan(20);
  expect(closed.at(-1)).toBe("inbox 1000");
  closed.length = 0;
  server.suspectAll();
  await server.leftovers(registration);
  expect(closed).toEqual([]);
});
