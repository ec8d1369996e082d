import { expect, test } from "vitest";
import { NatsError } from "../../src/core-nats/errors.ts";
import { readInfo } from "../../src/core-nats/info.ts";

const nothing = {
  headers: false,
  jetstream: false,
  version: undefined,
  serverName: undefined,
  cluster: undefined,
  domain: undefined,
  maxPayload: 1024 * 1024,
  nonce: undefined,
  tlsRequired: false,
  tlsAvailable: false,
  lameDuck: false,
  connectUrls: undefined,
};

test("an INFO says what the server is and has", () => {
  const json = `{"server_id":"N","server_name":"one","version":"2.10.29","cluster":"c","domain":"hub","headers":true,
    "jetstream":true,"max_payload":5.5,"nonce":"n","tls_required":true,"tls_available":true,"ldm":true,
    "connect_urls":["10.0.0.1:4222"]}`;
  expect(readInfo(json)).toEqual({
    headers: true,
    jetstream: true,
    version: "2.10.29",
    serverName: "one",
    cluster: "c",
    domain: "hub",
    maxPayload: 5,
    nonce: "n",
    tlsRequired: true,
    tlsAvailable: true,
    lameDuck: true,
    connectUrls: ["10.0.0.1:4222"],
  });
});

test("an INFO without a field, or with one of a wrong kind, says nothing of it", () => {
  expect(readInfo("{}")).toEqual(nothing);
  for (const bad of [0, 1, null, [], {}]) {
    const names = ["server_name", "version", "cluster", "domain", "headers", "jetstream", "nonce", "tls_required"];
    const fields = Object.fromEntries([...names, "tls_available", "ldm"].map((name) => [name, bad]));
    expect(readInfo(JSON.stringify(fields))).toEqual(nothing);
  }
  const texts = { headers: "true", jetstream: "yes", ldm: "1", max_payload: "5" };
  expect(readInfo(JSON.stringify(texts))).toEqual(nothing);
});

test.each(["", "{", "5", "null", "\"{}\""])("what is no JSON object is no INFO: %j", (json) => {
  expect(() => readInfo(json)).toThrow(NatsError);
});
