import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Statsd } from "../../examples/live/statsd.ts";
import { Examples } from "../support/examples.ts";
import type { Program } from "../support/program.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

const examples = new Examples();
const NAMES = ["pubd", "recvd", "ackd"] as const;

/** A statsd server that does nothing but add up, until the test ends. */
async function statsdServer() {
  const socket = createSocket("udp4");
  onTestFinished(() => socket.close());
  const counts: Record<string, number> = {};
  const odd: string[] = [];
  socket.on("message", (bytes) => {
    for (const line of new TextDecoder().decode(bytes).split("\n")) {
      const [, name, count] = /^(\w+):(\d+)\|c$/.exec(line) ?? [];
      if (name === undefined) odd.push(line);
      else counts[name] = (counts[name] ?? 0) + Number(count);
    }
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return { counts, odd, address: `127.0.0.1:${socket.address().port}` };
}

/** Ends the program as Ctrl-C does. Returns the totals that it prints last. */
async function totalsOf(live: Program): Promise<Record<string, number>> {
  live.kill("SIGINT");
  const { code, out, err } = await live.ended;
  expect({ code, err }).toEqual({ code: 0, err: "" });
  const [, pubd, recvd, ackd] = /^pubd (\d+) recvd (\d+) ackd (\d+)\n$/m.exec(out)!.map(Number);
  return { pubd: pubd!, recvd: recvd!, ackd: ackd! };
}

test("statsd is sent by how much each total has grown, and nothing when none has", async () => {
  const { counts, odd, address } = await statsdServer();
  const statsd = new Statsd(address);
  onTestFinished(() => statsd.close());
  await statsd.send({ pubd: 0, recvd: 0 });
  await statsd.send({ pubd: 5, recvd: 2 });
  await statsd.send({ pubd: 5, recvd: 2 });
  await statsd.send({ pubd: 12, recvd: 3 });
  await until("both packets have come", () => counts["pubd"] === 12);
  expect(counts).toEqual({ pubd: 12, recvd: 3 });
  expect(odd).toEqual([]);
});

test("the dashboard has a graph for each counter that is sent", () => {
  const file = join(__dirname, "..", "..", "examples", "live", "dashboard.json");
  const dashboard = JSON.parse(readFileSync(file, "utf8")) as { panels: { targets: { query: string }[] }[] };
  const queries = dashboard.panels.flatMap(({ targets }) => targets.map(({ query }) => query));
  expect(queries.map((query) => /FROM "(\w+)"/.exec(query)?.[1])).toEqual(NAMES);
});

describeWithServer("live, with nats-streaming-server", () => {
  const server = serverForSuite();

  test("sends statsd the same totals as it prints, and has had back all that it published", async () => {
    const { counts, odd, address } = await statsdServer();
    const live = examples.run("live", ["--server", server().url, "--in-flight", "8", "--statsd", address]);
    await until("something was counted", () => NAMES.every((name) => (counts[name] ?? 0) > 0));
    const totals = await totalsOf(live);
    await until("the last packet has come", () => NAMES.every((name) => counts[name] === totals[name]));
    expect(odd).toEqual([]);
    const { pubd } = totals;
    expect(totals).toEqual({ pubd, recvd: pubd, ackd: pubd });
  });
});

test("without a server live has its own, and serves a page, and on it the counts of each second", async () => {
  const live = examples.run("live", ["--page", "--port", "0", "--in-flight", "8"]);
  const url = /^page: (http:\/\/127\.0\.0\.1:.*)$/m.exec(await live.printed(/^page: .*\n/))![1]!;
  const text = await (await fetch(url)).text();
  expect(text).toContain("<polyline");
  for (const name of NAMES) expect(text).toContain(name);
  expect((await fetch(`${url}other`)).status).toBe(404);
  const leave = new AbortController();
  const events = await fetch(`${url}events`, { signal: leave.signal });
  let received = "";
  for await (const chunk of events.body) {
    received += new TextDecoder().decode(chunk);
    if (/"pubd":[1-9].*\n/.test(received)) break;
  }
  leave.abort();
  const [, json] = /^data: (.*"pubd":[1-9].*)$/m.exec(received)!;
  expect(Object.keys(JSON.parse(json!) as object)).toEqual(NAMES);
  const { pubd, recvd, ackd } = await totalsOf(live);
  expect([recvd, ackd]).toEqual([pubd, pubd]);
});

test("live ends after so many seconds, and when nobody reads its output any more", async () => {
  const [timed, unread] = [["--seconds", "1"], []].map((args) => examples.run("live", ["--in-flight", "8", ...args]));
  const ended = await timed!.ended;
  expect(ended).toMatchObject({ code: 0, err: "" });
  const rates = /^pubd [1-9]\d* recvd [1-9]\d* ackd [1-9]\d*/;
  const lines = ended.out.split("\n");
  expect(lines).toEqual([
    expect.stringMatching(`${rates.source} per second$`),
    expect.stringMatching(`${rates.source}$`),
    "",
  ]);
  await unread!.printed(/ per second\n/);
  unread!.leave();
  expect(await unread!.ended).toMatchObject({ code: 0, signal: null, err: "" });
});
