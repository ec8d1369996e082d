// Each statement is an error, on a line of its own: what the types refuse.
import { Client, connect, Message, StreamingError } from "nats-streaming-client";
import { StreamingServer } from "nats-streaming-client/testing";
const client = connect({ clusterId: "test-cluster", clientId: "consumer" });
void connect({ clusterId: "test-cluster" });
void connect({ clusterId: "test-cluster", clientId: "consumer", timeout: 1 });
void connect({ clusterId: "test-cluster", clientId: "consumer", tls: { rejectUnauthorized: false } });
void client.then((client) => client.publish("orders", 1));
void client.then((client) => client.messages("orders", { concurrency: 2 }));
void client.then((client) => client.publish("orders", "text", { signal: {} }));
void client.then((client) => client.subscribe("orders"));
void client.then((client) => client.subscribe("orders", () => undefined, { startAt: "last" }));
void client.then((client) => (client.state = "closed"));
void new Client();
void new Message();
void new StreamingError("TIMEOUT", "no");
void client.then((client) => client.subscribe("orders", (message) => message.sequnce));
void client.then((client) => client.subscribe("orders", () => undefined, { durableName: "worker" }));
void StreamingServer.start({ portt: 0 });
