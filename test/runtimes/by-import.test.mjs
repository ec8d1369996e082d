import { connect, StreamingError } from "nats-streaming-client";
import { StreamingServer } from "nats-streaming-client/testing";
import calls from "./realm.cjs";
import smoke from "./smoke.cjs";

test("the smoke suite", () => smoke({ connect, StreamingError, StreamingServer }));

test("the main calls, with what is made here", () => {
  const { url, clusterId, clientId } = JSON.parse(process.env.SMOKE);
  const options = { servers: url, clusterId, clientId: `${clientId}-realm` };
  return calls({ connect, StreamingServer, AbortController, foreign: Buffer.from("foreign"), options });
});
