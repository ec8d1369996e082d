// Publishes to and consumes from the server on the given port with node-nats-streaming, and prints what happened as
// JSON.
const { connect } = require("node-nats-streaming");

const channel = "interop";
const happened = { acks: [], delivered: [], resumed: [] };
const stan = connect("test-cluster", "interop", { url: `nats://127.0.0.1:${process.argv[2]}` });

function consume(into, count, done) {
  const options = stan.subscriptionOptions().setDeliverAllAvailable().setDurableName("d").setManualAckMode(true);
  const subscription = stan.subscribe(channel, options.setAckWait(1000));
  subscription.on("message", (message) => {
    into.push(`${message.getSequence()} ${message.getData()} ${message.isRedelivered()}`);
    // The first delivery of the last message is left without an ack.
    if (message.getSequence() < 3 || message.isRedelivered()) message.ack();
    if (into.length === count) {
      subscription.on("closed", done);
      setTimeout(() => subscription.close(), 10);
    }
  });
}

stan.on("connect", () => {
  for (const text of ["one", "two", "three"]) {
    stan.publish(channel, text, (error, guid) => {
      happened.acks.push(error === undefined && guid !== "");
      if (happened.acks.length < 3) return;
      consume(happened.delivered, 3, () => {
        consume(happened.resumed, 1, () => stan.close());
      });
    });
  }
});
stan.on("close", () => console.log(JSON.stringify(happened)));
stan.on("error", (error) => {
  console.error(error);
  process.exitCode = 1;
});
