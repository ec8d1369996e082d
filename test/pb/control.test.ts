import { describe, expect, test } from "vitest";
import { type Codec, encode } from "../../src/pb/codec.ts";
import {
  CloseRequest,
  CloseResponse,
  ConnectRequest,
  ConnectResponse,
  Ping,
  PingResponse,
  StartPosition,
  SubscriptionRequest,
  SubscriptionResponse,
  UnsubscribeRequest,
} from "../../src/pb/control.ts";
import { bytesOf } from "../support/bytes.ts";
import { hex, unhex } from "../support/hex.ts";
import { checkKinds, data, int32, int64, Kind, NONE, text, uint64 } from "../support/kinds.ts";
import { fixtures } from "./fixtures.ts";

const connID = bytesOf("LKJIHGFEDCBA9876543210");

describe("real bytes", () => {
  /** Reading the bytes gives the message, and writing the message gives the bytes. */
  function same<M>(codec: Codec<M>, fixture: string, message: M): void {
    expect(codec.read(unhex(fixture))).toEqual(message);
    expect(hex(encode(codec, message))).toBe(fixture);
  }

  const request: ConnectRequest = {
    clientID: "fixture-1",
    heartbeatInbox: "_INBOX.fixture.hb",
    protocol: 1,
    connID,
    pingInterval: 5,
    pingMaxOut: 3,
  };
  const response: ConnectResponse = {
    pubPrefix: "_STAN.pub.test-cluster",
    subRequests: "_STAN.sub.test-cluster",
    unsubRequests: "_STAN.unsub.test-cluster",
    closeRequests: "_STAN.close.test-cluster",
    error: "",
    subCloseRequests: "_STAN.subclose.test-cluster",
    pingRequests: "_STAN.discover.test-cluster.pings",
    pingInterval: 5,
    pingMaxOut: 3,
    protocol: 1,
    publicKey: "",
  };

  test("registering", () => {
    same(ConnectRequest, fixtures.connectRequest, request);
    same(ConnectResponse, fixtures.connectResponse, response);
  });

  test("registering with protocol 0", () => {
    const old = { protocol: 0, connID: NONE, pingInterval: 0, pingMaxOut: 0 };
    same(ConnectRequest, fixtures.connectRequestOld, { ...request, ...old, clientID: "old" });
    const none = { pingRequests: "", pingInterval: 0, pingMaxOut: 0 };
    same(ConnectResponse, fixtures.connectResponseOld, { ...response, ...none });
  });

  test("registering under a client ID that is held", () => {
    const empty = ConnectResponse.read(NONE);
    same(ConnectResponse, fixtures.connectResponseHeld, { ...empty, error: "stan: clientID already registered" });
  });

  test("negative numbers, which the server echoes", () => {
    const negative = { pingInterval: -1, pingMaxOut: -(2 ** 31) };
    const names = { clientID: "negative", connID: bytesOf("negative") };
    same(ConnectRequest, fixtures.connectRequestNegative, { ...request, ...names, ...negative });
    same(ConnectResponse, fixtures.connectResponseNegative, { ...response, ...negative });
  });

  test("pinging", () => {
    same(Ping, fixtures.ping, { connID });
    same(PingResponse, fixtures.pingResponse, { error: "" });
    same(Ping, fixtures.pingUnknown, { connID: bytesOf("nobody") });
    const error = "client has been replaced or is no longer registered";
    same(PingResponse, fixtures.pingResponseUnknown, { error });
  });

  const subscription: SubscriptionRequest = {
    clientID: "fixture-1",
    subject: "fixture.one",
    qGroup: "",
    inbox: "_INBOX.fixture.sub",
    maxInFlight: 100,
    ackWaitInSecs: 1,
    durableName: "",
    startPosition: StartPosition.First,
    startSequence: 0n,
    startTimeDelta: 0n,
  };
  const ackInbox = "_INBOX.QzqzpazQxrfUPkQcEZGtDn";

  test("subscribing", () => {
    same(SubscriptionRequest, fixtures.subscriptionRequest, subscription);
    same(SubscriptionResponse, fixtures.subscriptionResponse, { ackInbox, error: "" });
    const inbox = "_INBOX.fixture.sub2";
    same(SubscriptionRequest, fixtures.subscriptionRequestFull, {
      ...subscription,
      inbox,
      qGroup: "workers",
      durableName: "fixture",
      maxInFlight: 2 ** 31 - 1,
      ackWaitInSecs: 30,
      startPosition: StartPosition.SequenceStart,
      startSequence: 2n,
    });
    same(SubscriptionRequest, fixtures.subscriptionRequestTime, {
      ...subscription,
      inbox,
      startPosition: StartPosition.TimeDeltaStart,
      startTimeDelta: 3_600_000_000_000n,
    });
    same(SubscriptionRequest, fixtures.subscriptionRequestHuge, {
      ...subscription,
      inbox,
      startPosition: StartPosition.SequenceStart,
      startSequence: 2n ** 64n - 1n,
    });
  });

  test("subscribing in vain", () => {
    const refused = { ...subscription, inbox: "_INBOX.fixture.sub2", ackWaitInSecs: -1 };
    same(SubscriptionRequest, fixtures.subscriptionRequestRefused, refused);
    const error = "stan: invalid ack wait time, should be >= 1s";
    same(SubscriptionResponse, fixtures.subscriptionResponseRefused, { ackInbox: "", error });
  });

  test("unsubscribing", () => {
    const end: UnsubscribeRequest = { clientID: "fixture-1", subject: "fixture.one", inbox: ackInbox, durableName: "" };
    same(UnsubscribeRequest, fixtures.unsubscribeRequest, end);
    same(SubscriptionResponse, fixtures.unsubscribeResponse, { ackInbox: "", error: "" });
    same(UnsubscribeRequest, fixtures.unsubscribeRequestRefused, { ...end, durableName: "fixture" });
    const error = "stan: invalid subscription";
    same(SubscriptionResponse, fixtures.unsubscribeResponseRefused, { ackInbox: "", error });
  });

  test("closing", () => {
    same(CloseRequest, fixtures.closeRequest, { clientID: "fixture-1" });
    same(CloseResponse, fixtures.closeResponse, { error: "" });
    same(CloseResponse, fixtures.closeResponseRefused, { error: "stan: unknown clientID" });
  });
});

checkKinds([
  new Kind("ConnectRequest", ConnectRequest, { integers: [3, 5, 6], spans: [1, 2, 4] }, (random) => ({
    clientID: text(random),
    heartbeatInbox: text(random),
    protocol: int32(random),
    connID: data(random),
    pingInterval: int32(random),
    pingMaxOut: int32(random),
  })),
  new Kind(
    "ConnectResponse",
    ConnectResponse,
    { integers: [8, 9, 10], spans: [1, 2, 3, 4, 5, 6, 7, 100] },
    (random) => ({
      pubPrefix: text(random),
      subRequests: text(random),
      unsubRequests: text(random),
      closeRequests: text(random),
      error: text(random),
      subCloseRequests: text(random),
      pingRequests: text(random),
      pingInterval: int32(random),
      pingMaxOut: int32(random),
      protocol: int32(random),
      publicKey: text(random),
    }),
  ),
  new Kind("Ping", Ping, { integers: [], spans: [1] }, (random) => ({ connID: data(random) })),
  new Kind("PingResponse", PingResponse, { integers: [], spans: [1] }, (random) => ({ error: text(random) })),
  new Kind(
    "SubscriptionRequest",
    SubscriptionRequest,
    { integers: [5, 6, 10, 11, 12], spans: [1, 2, 3, 4, 7] },
    (random) => ({
      clientID: text(random),
      subject: text(random),
      qGroup: text(random),
      inbox: text(random),
      maxInFlight: int32(random),
      ackWaitInSecs: int32(random),
      durableName: text(random),
      startPosition: int32(random),
      startSequence: uint64(random),
      startTimeDelta: int64(random),
    }),
  ),
  new Kind("SubscriptionResponse", SubscriptionResponse, { integers: [], spans: [2, 3] }, (random) => ({
    ackInbox: text(random),
    error: text(random),
  })),
  new Kind("UnsubscribeRequest", UnsubscribeRequest, { integers: [], spans: [1, 2, 3, 4] }, (random) => ({
    clientID: text(random),
    subject: text(random),
    inbox: text(random),
    durableName: text(random),
  })),
  new Kind("CloseRequest", CloseRequest, { integers: [], spans: [1] }, (random) => ({ clientID: text(random) })),
  new Kind("CloseResponse", CloseResponse, { integers: [], spans: [1] }, (random) => ({ error: text(random) })),
]);

test("names like __proto__ are just text", () => {
  const before = Object.getOwnPropertyNames(Object.prototype);
  for (const name of ["__proto__", "constructor", "toString"]) {
    const message = { ackInbox: name, error: name };
    expect(SubscriptionResponse.read(encode(SubscriptionResponse, message))).toEqual(message);
  }
  expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
});
