import * as library from "nats-streaming-client";
import { Client, connect, StreamingError } from "nats-streaming-client";
import { StreamingServer } from "nats-streaming-client/testing";
import smoke from "./smoke.cjs";

if (connect !== library.connect || typeof Client.prototype.publish !== "function") throw new Error("the names are not there");
await smoke({ connect, StreamingError, StreamingServer });
