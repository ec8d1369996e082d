import * as library from "nats-streaming-client";
import { Client, connect, StreamingError } from "nats-streaming-client";
import { StreamingServer } from "nats-streaming-client/testing";
import smoke from "./smoke.cjs";

const named = connect === library.connect && typeof Client.prototype.publish === "function";
if (!named) throw new Error("the names are not there");
await smoke({ connect, StreamingError, StreamingServer });
