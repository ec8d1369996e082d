"use strict";
const { connect, StreamingError } = require("nats-streaming-client");
const worker = require("./worker.cjs");

module.exports = worker({ connect, StreamingError });
