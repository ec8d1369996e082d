"use strict";
// What has to work in every runtime. Plain JavaScript, since it runs as it is in all of them; it gets its orders from
// the variable SMOKE and tells by lines on stdout what it has done: "smoke: connect" is a check that passed, and
// "smoke: cut!" asks to have the link cut. It throws at the first check that fails.

const orders = JSON.parse(process.env.SMOKE);

function say(text) {
  const line = `smoke: ${text}`;
  // jest decorates what is said by console.log, and some versions of workerd have no stdout.
  if (process.stdout === undefined) console.log(line);
  else process.stdout.write(`${line}\n`);
}

function assertEqual(actual, expected) {
  const [is, shouldBe] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (is !== shouldBe) throw new Error(`${is} instead of ${shouldBe}`);
}

/** Dials the server that wants TLS. Resolves with the code of the error that this ends with. */
async function failure({ connect }, tls) {
  const { clusterId, clientId, tlsUrl, nkeySeed } = orders;
  const attempt = connect({ clusterId, clientId, servers: tlsUrl, auth: { nkeySeed }, tls, onStatus: () => undefined });
  return attempt.then(() => "no refusal", (error) => error.code);
}

/** Without a StreamingServer that is not tried. `stranger` is somebody else who does not trust the authority. */
module.exports = async function smoke(library, stranger = () => failure(library)) {
  const { connect, StreamingError, StreamingServer } = library;
  const statuses = [];
  let told = () => undefined;
  const status = async (type) => {
    while (!statuses.some((status) => status.type === type)) await new Promise((resolve) => (told = resolve));
    return statuses.find((status) => status.type === type);
  };
  const { clusterId, clientId, channel } = orders;
  const client = await connect({
    clusterId,
    clientId,
    servers: orders.url,
    onStatus: (status) => {
      statuses.push(status);
      told();
    },
  });
  assertEqual(client.state, "registered");
  say("connect");

  await client.publish(channel, "one");
  await client.publish(channel, Uint8Array.of(116, 119, 111), { reply: "there" });
  assertEqual(await client.publishMany(channel, ["three", "four"]), 2);
  const refusal = await client.publish(channel, new Uint8Array(2_000_000)).catch((error) => error);
  assertEqual([refusal instanceof StreamingError, refusal.code], [true, "TOO_LARGE"]);
  say("publish");

  const texts = [];
  for await (const message of await client.messages(channel, { startAt: "first" })) {
    texts.push(message.text());
    if (message.sequence === 2) assertEqual(message.reply, "there");
    if (message.sequence === 4) break;
  }
  assertEqual(texts, ["one", "two", "three", "four"]);
  const received = [];
  let complete;
  const completed = new Promise((resolve) => (complete = resolve));
  const subscription = await client.subscribe(channel, (message) => {
    received.push(message.sequence);
    if (message.text() === "after") complete();
  });
  await client.publish(channel, "before");
  say("consume");

  statuses.length = 0;
  say("cut!");
  await status("disconnected");
  await client.publish(channel, "after");
  await completed;
  assertEqual((await status("registered")).resumed, true);
  assertEqual(received, [5, 6]);
  await subscription.close();
  assertEqual(await client.drain(), { unhandled: [], unconfirmed: 0 });
  assertEqual(client.state, "closed");
  say("reconnect");

  const { tlsUrl, ca, nkeySeed } = orders;
  const secured = await connect({ clusterId, clientId, servers: tlsUrl, tls: { ca }, auth: { nkeySeed } });
  await secured.publish(channel, "hush");
  await secured.close();
  assertEqual(await failure(library, { ca, servername: "elsewhere.example" }), "AUTH_FAILED");
  assertEqual(await stranger(), "AUTH_FAILED");
  say("TLS");

  if (StreamingServer === undefined) return;
  const embedded = await StreamingServer.start();
  const guest = await connect({ clusterId, clientId, servers: embedded.url });
  await guest.publish(channel, "here");
  assertEqual(embedded.messages(channel)[0].text, "here");
  await guest.close();
  await embedded.stop();
  say("testing");
};

module.exports.stranger = (library) => failure(library);
