import { connect, StreamingError } from "nats-streaming-client";
import { StreamingServer } from "nats-streaming-client/testing";
import smoke from "./smoke.cjs";

test("the smoke suite", () => smoke({ connect, StreamingError, StreamingServer }));
