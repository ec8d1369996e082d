"use strict";
// The main calls, with all that they are given made here: run in a vm context, or in jest's jsdom, every array of
// bytes, date, error and promise is of another class than where the library, or Node's Buffer, was made. Nothing but
// ECMAScript is used; what else there is comes with `host`. Throws at the first call that does not do what it should.

function assertEqual(actual, expected) {
  const [is, shouldBe] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (is !== shouldBe) throw new Error(`${is} instead of ${shouldBe}`);
}

async function errorOf(promise) {
  try {
    await promise;
  } catch (thrown) {
    const error = thrown.name === "PublishManyError" ? thrown.cause : thrown;
    return `${error.name}: ${error.message}`;
  }
  return "none";
}

const wrongData = "TypeError: data must be a string or a Uint8Array";

function wrong() {
  const disguised = Object.setPrototypeOf(new Float64Array(2), Uint8Array.prototype);
  const proxy = new Proxy(new Uint8Array(3), {});
  const imitations = [Object.create(Uint8Array.prototype), proxy, { length: 1, 0: 1 }, disguised];
  const buffer = new ArrayBuffer(2);
  return [...imitations, new Float64Array(2), new DataView(buffer), buffer, new String("x"), new Date()];
}

async function calls({ connect, StreamingServer, AbortController, foreign, options }) {
  const statuses = [];
  let told = () => undefined;
  const status = async (type) => {
    while (!statuses.some((one) => one.type === type)) await new Promise((resolve) => (told = resolve));
    return statuses.find((one) => one.type === type);
  };
  const onStatus = (one) => {
    statuses.push(one);
    told();
  };
  // Any credentials will do here; a function is asked for them at every dial.
  const auth = async () => ({ user: "me", pass: "secret" });
  const client = await connect({ ...options, auth, onStatus });
  const channel = options.clientId;

  await client.publish(channel, new Uint8Array([1, 2, 3]));
  await client.publish(channel, foreign);
  await client.publish(channel, new Uint8Array(0));
  await client.publish(channel, new Uint8Array(20_000).fill(7));
  await client.publish(channel, new Uint8Array(100_000).fill(8), { reply: "there" });
  async function* rows() {
    yield new Uint8Array([4, 5]);
    yield "six";
    yield foreign;
  }
  let stored = 0;
  assertEqual(await client.publishMany(channel, rows(), { onStored: (count) => (stored = count) }), 3);
  assertEqual(await client.publishMany(channel, [new Uint8Array([9])]), 1);
  assertEqual(stored, 3);

  for (const data of wrong()) {
    const problem = `${wrongData} (JSON.stringify makes a string of an object), not an object`;
    assertEqual(await errorOf(client.publish(channel, data)), problem);
    assertEqual(await errorOf(client.publishMany(channel, [data])), problem);
  }
  for (const source of [new Uint8Array(3), foreign, "text"]) {
    const items = "strings, Uint8Arrays and { data, reply }";
    const problem = `TypeError: source must be an iterable, or an async iterable, of ${items}`;
    assertEqual(await errorOf(client.publishMany(channel, source)), problem);
  }
  for (const time of [new Date(NaN), Object.create(Date.prototype), 5]) {
    const problem = `TypeError: startAt.time must be a valid Date, not ${time === 5 ? 5 : "an object"}`;
    assertEqual(await errorOf(client.subscribe(channel, () => undefined, { startAt: { time } })), problem);
  }
  assertEqual(await errorOf(client.subscribe(channel, {})), "TypeError: handler must be a function, not an object");

  const lengths = [];
  const loop = await client.messages(channel, { startAt: { time: new Date(Date.now() - 3_600_000) } });
  for await (const message of loop) {
    // A server may begin earlier than it was asked to.
    lengths.push(message.data.length);
    if (message.sequence === 5) assertEqual(message.reply, "there");
    if (message.sequence === 9) break;
  }
  assertEqual(lengths, [3, foreign.length, 0, 20_000, 100_000, 2, 3, foreign.length, 1]);

  const failure = new TypeError("not today");
  const failing = await client.subscribe(channel, () => Promise.reject(failure), { startAt: { sequence: 9 } });
  const { error, message } = await status("handler-failed");
  assertEqual([error === failure, message.sequence], [true, 9]);
  await failing.close();

  if (AbortController !== undefined) {
    const before = new AbortController();
    before.abort();
    const { signal } = before;
    const aborted = (call) => `StreamingError: ${call}: the caller's signal was aborted`;
    assertEqual(await errorOf(client.publish(channel, "x", { signal })), aborted(`publish ${channel}`));
    assertEqual(await errorOf(connect({ ...options, signal })), aborted("connect"));
    const during = new AbortController();
    const problem = errorOf(client.publish(channel, "x", { signal: during.signal }));
    during.abort();
    assertEqual(await problem, `${aborted(`publish ${channel}`)} after it was sent`);
  }
  assertEqual(await client.drain(), { unhandled: [], unconfirmed: 0 });

  const server = await StreamingServer.start();
  const guest = await connect({ ...options, servers: server.url });
  const bytes = new Uint8Array([104, 105]);
  for (const data of [bytes, foreign]) server.publish(channel, data);
  bytes.fill(0);
  assertEqual(server.messages(channel).map(({ text }) => text), ["hi", "foreign"]);
  for (const data of wrong()) assertEqual(await errorOf((async () => server.publish(channel, data))()), wrongData);
  const texts = [];
  for await (const message of await guest.messages(channel, { startAt: "first" })) {
    texts.push(message.text());
    if (texts.length === 2) break;
  }
  assertEqual(texts, ["hi", "foreign"]);
  server.send(new Uint8Array([43, 79, 75, 13, 10]));
  await server.idle();
  assertEqual(await guest.drain(), { unhandled: [], unconfirmed: 0 });
  await server.stop();
}

if (typeof module === "object") module.exports = calls;
calls;
