"use strict";
const { connect, StreamingError } = require("nats-streaming-client");
const { StreamingServer } = require("nats-streaming-client/testing");
const smoke = require("./smoke.cjs");

test("the smoke suite", () => smoke({ connect, StreamingError, StreamingServer }));
