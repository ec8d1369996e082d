"use strict";
// Publishes and consumes 50,000 messages of 1 KiB, three times, and tells what that took. Its orders are those of the
// smoke suite.

const { connect } = require("nats-streaming-client");

const MESSAGES = 50_000;
const SIZE = 1024;

async function load({ clusterId, clientId, url, channel }) {
  const client = await connect({ clusterId, clientId, servers: url });
  let handled = 0;
  let done;
  await client.subscribe(channel, () => {
    if (++handled % MESSAGES === 0) done();
  });
  const times = [];
  const cpu = [];
  while (times.length < 3) {
    const begun = performance.now();
    const used = process.cpuUsage();
    const consumed = new Promise((resolve) => (done = resolve));
    await client.publishMany(channel, copies(new Uint8Array(SIZE), MESSAGES));
    await consumed;
    const { user, system } = process.cpuUsage(used);
    times.push((performance.now() - begun) / 1_000);
    cpu.push((user + system) / 1_000_000);
  }
  await client.close();
  const memory = Math.round(process.resourceUsage().maxRSS / 1024);
  process.stdout.write(`smoke: ${median(times)} s, ${median(cpu)} s, ${memory} MiB\n`);
}

function median(three) {
  return three.sort((a, b) => a - b)[1].toFixed(2);
}

function* copies(data, times) {
  for (let i = 0; i < times; i++) yield data;
}

load(JSON.parse(process.env.SMOKE)).catch((error) => {
  process.exitCode = 1;
  process.stderr.write(`${error.stack}\n`);
});
