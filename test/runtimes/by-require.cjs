"use strict";
const { connect, StreamingError } = require("nats-streaming-client");
const { StreamingServer } = require("nats-streaming-client/testing");
const smoke = require("./smoke.cjs");

smoke({ connect, StreamingError, StreamingServer }).catch((error) => {
  process.exitCode = 1;
  process.stderr.write(`${error.stack}\n`);
});
