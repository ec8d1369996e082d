import { expect, test } from "vitest";
import { NatsError } from "../../../src/core-nats/errors.ts";
import { Outbox } from "../../../src/core-nats/outbox.ts";
import { checkConnectOptions } from "../../../src/streaming/connect-options.ts";
import { Session } from "../../../src/streaming/session/session.ts";
import { Endpoint, type EndpointConnection } from "../../../src/streaming/subscribing/endpoint.ts";
import { Ack } from "../../../src/testing/messages.ts";
import { latin1 } from "../../support/bytes.ts";

/** A connection that notes what an endpoint does. */
class FakeConnection implements EndpointConnection {
  readonly written: Uint8Array[] = [];
  readonly inboxes: string[] = [];
  readonly outbox = new Outbox({ write: (bytes) => void this.written.push(bytes.slice()) }, () => undefined);
  pings = 0;
  pongs = 0;

  subscribe(inbox: string): number {
    return this.inboxes.push(inbox);
  }

  unsubscribe(sid: number): void {
    delete this.inboxes[sid - 1];
  }
}

function start(): { endpoint: Endpoint; connection: FakeConnection; suspected: () => number } {
  let suspected = 0;
  const events = { deliver: () => undefined, suspect: () => void suspected++ };
  const session = new Session(checkConnectOptions({ clusterId: "c", clientId: "me" }).settings);
  const endpoint = new Endpoint(events, session, "inbox");
  return { endpoint, connection: new FakeConnection(), suspected: () => suspected };
}

test("is open from the server's answer until the connection is lost", () => {
  const { endpoint, connection } = start();
  endpoint.open(connection);
  expect([connection.inboxes, endpoint.isOpen]).toEqual([["inbox"], false]);
  endpoint.ackInbox = "acks";
  expect(endpoint.isOpen).toBe(true);
  endpoint.lost();
  expect(endpoint.isOpen).toBe(false);
});

test("sends acks to its ack inbox, and none before the server's answer or after its close", () => {
  const { endpoint, connection } = start();
  expect(endpoint.acknowledge("channel", 1)).toBe(false);
  endpoint.open(connection);
  expect(endpoint.acknowledge("channel", 2)).toBe(false);
  endpoint.ackInbox = "acks";
  expect(endpoint.acknowledge("channel", 3)).toBe(true);
  endpoint.close();
  expect(endpoint.acknowledge("channel", 4)).toBe(false);
  connection.outbox.flush();
  const [bytes] = connection.written;
  const [line] = latin1(bytes!).split("\r\n");
  const payload = bytes!.subarray(line!.length + 2, bytes!.length - 2);
  expect(line).toBe(`PUB acks ${payload.length}`);
  expect(Ack.read(payload)).toEqual({ subject: "channel", sequence: 3n });
  expect(connection.written).toHaveLength(1);
  expect(connection.inboxes).toEqual([undefined]);
});

test("may have lost acks with a connection only if no PONG followed the last one", () => {
  const { endpoint, connection } = start();
  endpoint.ackInbox = "acks";
  endpoint.open(connection);
  expect(endpoint.lost()).toBe(false);
  endpoint.open(connection);
  connection.pings = 5;
  connection.pongs = 5;
  endpoint.acknowledge("channel", 1);
  connection.pongs = 6;
  expect(endpoint.lost()).toBe(false);
  endpoint.open(connection);
  endpoint.acknowledge("channel", 2);
  connection.pongs = 5;
  expect(endpoint.lost()).toBe(true);
  // The loss is reported once.
  expect(endpoint.lost()).toBe(false);
});

test("keeps the error of a denied inbox", () => {
  const { endpoint, suspected } = start();
  const error = new NatsError("PERMISSIONS", "denied");
  endpoint.denied(error);
  expect([endpoint.denial, suspected()]).toEqual([error, 1]);
});
