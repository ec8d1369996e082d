"use strict";
const { connect, StreamingError } = require("nats-streaming-client");
const { StreamingServer } = require("nats-streaming-client/testing");
const calls = require("./realm.cjs");
const smoke = require("./smoke.cjs");

test("the smoke suite", () => smoke({ connect, StreamingError, StreamingServer }));

test("the main calls, with what is made here", () => {
  const { url, clusterId, clientId } = JSON.parse(process.env.SMOKE);
  const options = { servers: url, clusterId, clientId: `${clientId}-realm` };
  return calls({ connect, StreamingServer, AbortController, foreign: Buffer.from("foreign"), options });
});
