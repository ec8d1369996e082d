// Each statement is an error, on a line of its own: what the types refuse.
import { connect, Message, StreamingError } from "nats-streaming-client";
void connect({ clusterId: "test-cluster" });
void connect({ clusterId: "test-cluster", clientId: "consumer", timeout: 1 });
void connect({ clusterId: "test-cluster", clientId: "consumer", tls: { rejectUnauthorized: false } });
void connect({ clusterId: "test-cluster", clientId: "consumer" }).then((client) => client.publish("orders", 1));
void connect({ clusterId: "test-cluster", clientId: "consumer" }).then((client) => client.messages("orders", { concurrency: 2 }));
void new Message();
void new StreamingError("TIMEOUT", "no");
