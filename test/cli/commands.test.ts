import { expect, test } from "vitest";
import { COMMANDS } from "../../src/cli/main.ts";
import { cli, type Around, type Told } from "../support/cli.ts";
import { fresh, open, range } from "../support/clients.ts";
import { RealServer } from "../support/server.ts";
import { describeWithServer, forSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

test("each command has a help with an example, and refuses what it does not know before it connects", async () => {
  for (const { name, args } of COMMANDS) {
    const help = await cli([...name.split(" "), "--help"]);
    expect(help).toEqual({ code: 0, out: expect.stringContaining(`example: nats-streaming-client ${name}`), err: "" });
    const given = args.filter((arg) => !arg.startsWith("["));
    const wrong = await cli([...name.split(" "), ...given, "--jsno"]);
    expect(wrong).toEqual({
      code: 2,
      out: "",
      err: expect.stringContaining("unknown option --jsno; did you mean --json?"),
    });
    const more = await cli([...name.split(" "), "1", "2", "3", "4"]);
    expect(more).toMatchObject({ code: 2, out: "" });
    const json = await cli([...name.split(" "), ...given, "--json", "--nonsense"]);
    expect(JSON.parse(json.err)).toMatchObject({ error: { code: "USAGE" } });
  }
  expect(await cli([])).toMatchObject({
    code: 2,
    out: expect.stringContaining("usage: nats-streaming-client COMMAND"),
  });
  expect(await cli(["--help"])).toMatchObject({ code: 0 });
  expect(await cli(["pbu"])).toMatchObject({ code: 2, err: expect.stringContaining("did you mean pub?") });
  expect(await cli(["bridge", "copi"])).toMatchObject({
    code: 2,
    err: expect.stringContaining("did you mean bridge copy?"),
  });
  expect(await cli(["bridge", "--help"])).toMatchObject({ code: 0, out: expect.stringContaining("bridge move") });
  expect(await cli(["bridge"])).toMatchObject({ code: 2, out: expect.stringContaining("bridge copy") });
  expect(await cli(["pub"])).toMatchObject({ code: 2, err: expect.stringContaining("CHANNEL is missing") });
});

test("a server that is not there is a failure that names no password", async () => {
  const told = await cli(["pub", "orders", "x", "-s", "nats://user:secret@127.0.0.1:1"]);
  expect(told).toMatchObject({ code: 1, out: "" });
  expect(told.err).toMatch(/^nats-streaming-client pub: /);
  expect(told.err).not.toContain("secret");
  expect(await cli(["channels", "--monitor", "http://127.0.0.1:1"])).toMatchObject({ code: 1, out: "" });
  const monitored = await cli(["channels", "--monitor", "http://user:secret@127.0.0.1:1"]);
  expect(monitored).toMatchObject({ code: 2, err: expect.stringContaining("without credentials") });
  expect(monitored.err).not.toContain("secret");
  const port = { code: 2, err: expect.stringContaining("must be a whole number from 0 to 65535") };
  expect(await cli(["server", "--port", "65536"])).toMatchObject(port);
  expect(await cli(["lag", "--serve", "65536"])).toMatchObject(port);
  const creds = await cli(["pub", "orders", "x", "--creds", "none.creds"]);
  expect(creds).toMatchObject({ code: 2, err: expect.stringContaining("creds: cannot use none.creds") });
});

describeWithServer("the command line", () => {
  const stan = forSuite(() => RealServer.start({ store: "file" }));
  const client = (args: readonly string[], around: Around = {}): Promise<Told> => {
    return cli(args, { ...around, env: { NATS_URL: stan().url, ...around.env } });
  };
  const monitor = (args: readonly string[], around?: Around): Promise<Told> => {
    return cli([...args, "--monitor", `http://127.0.0.1:${stan().monitorPort}`], around);
  };

  test("pub stores a text, the lines of standard input or of a file, and says where to go on", async () => {
    const channel = fresh("orders");
    expect(await client(["pub", channel, "one", "--reply", "r"])).toEqual({ code: 0, out: "", err: "" });
    expect(await client(["pub", channel, "-"], { stdin: "two\n\nfour" })).toEqual({ code: 0, out: "", err: "" });
    const files = { "lines.txt": "one\ntwo\nthree\nfive\nsix\n" };
    const told = await client(["pub", channel, "--file", "lines.txt", "--skip", "3", "--json"], { files });
    expect(JSON.parse(told.out)).toMatchObject({ channel, stored: 2, skipped: 3 });
    const texts = (await client(["sub", channel, "--from", "first", "--count", "6", "--raw"])).out;
    expect(texts).toBe("one\ntwo\n\nfour\nfive\nsix\n");
    const stop = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let i = 0; ; i++) {
        if (i === 1_000) stop.abort();
        yield new TextEncoder().encode(`${i}\n`);
      }
    }
    const told2 = await client(["pub", channel, "--json"], { signal: stop.signal, pieces: endless() });
    const { stored, skip, error } = JSON.parse(told2.out) as {
      stored: number;
      skip: number;
      error: { message: string };
    };
    expect(told2.code).toBe(1);
    expect(error.message).toBe("interrupted");
    expect(skip).toBeLessThanOrEqual(stored);
  });

  test("sub prints messages from where it is told, as text, raw or JSON, and goes on with a durable", async () => {
    const channel = fresh("orders");
    const publisher = await open(stan());
    await publisher.publish(channel, "one", { reply: "r" });
    await publisher.publish(channel, new Uint8Array([255, 0]));
    const json = (await client(["sub", channel, "--from", "1", "--count", "2", "--json"])).out.trim().split("\n");
    expect(json.map((line) => JSON.parse(line) as object)).toEqual([
      expect.objectContaining({ sequence: 1, data: "one", reply: "r", redeliveryCount: 0 }),
      expect.objectContaining({ sequence: 2, base64: "/wA=" }),
    ]);
    const large = new Uint8Array(500_000).fill(255);
    await publisher.publish(channel, large);
    const { base64 } = JSON.parse((await client(["sub", channel, "--from", "3", "--count", "1", "--json"])).out) as {
      base64: string;
    };
    expect(atob(base64)).toBe("\xff".repeat(large.length));
    const shown = await client(["sub", channel, "--from", "10m", "--count", "1"]);
    expect(shown.out).toMatch(/^#1 \d{4}-\d\d-\d\dT[\d:.]+Z one\n$/);
    const durable = ["sub", channel, "--from", "first", "--durable", "d", "--client", fresh("c"), "--count", "1"];
    expect((await client([...durable, "--raw"])).out).toBe("one\n");
    const rest = (await client([...durable, "--json"])).out.trim();
    expect(JSON.parse(rest)).toMatchObject({ sequence: 2 });
    expect(await client([...durable, "--unsubscribe", "--json"])).toMatchObject({ code: 0 });
    expect(await client(["sub", channel, "--durable", "d"])).toMatchObject({ code: 2 });
    expect(await client(["sub", channel, "--from", "yesterday"])).toMatchObject({ code: 2 });
  });

  test("channels, clients, subs and lag show what the server has", async () => {
    const channel = fresh("orders");
    const owner = await open(stan(), { clientId: fresh("billing") });
    for (const i of [1, 2, 3]) await owner.publish(channel, String(i));
    const subscription = await owner.subscribe(channel, () => undefined, {
      ...{ durable: "d", startAt: "first", manualAck: true, maxInFlight: 2 },
    });
    await until("two are pending", () => subscription.stats().received === 2);
    const line = (told: Told): string => told.out.split("\n").find((row) => row.includes(channel)) ?? "";
    expect(line(await monitor(["channels"]))).toMatch(new RegExp(`^${channel} +3 `));
    const { clientId } = owner;
    expect(line(await monitor(["clients"]))).toContain(clientId);
    const subs = await monitor(["subs", channel]);
    expect(subs.out.split("\n")[0]).toMatch(/^CHANNEL +SUBSCRIPTION +KIND +LAST SENT +PENDING +LAG +STATE +CLIENTS$/);
    expect(line(subs)).toMatch(new RegExp(`${channel} +${clientId}/d +durable +2 +2 +3 +stalled +${clientId}`));
    const [first] = JSON.parse((await monitor(["subs", channel, "--json"])).out) as object[];
    expect(first).toMatchObject({ channel, name: `${clientId}/d`, pending: 2, lag: 3, stalled: 1, offline: false });
    const colours = await monitor(["subs", channel], { terminal: true });
    expect(colours.out).toContain("\x1b[31mstalled");
    expect((await monitor(["subs", channel], { terminal: true, env: { NO_COLOR: "1" } })).out).not.toContain("\x1b");
    expect(line(await monitor(["lag", channel]))).toMatch(/ 3 +2 +stalled/);
    expect(await monitor(["lag", "nobodys"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("no channel nobodys"),
    });
    expect(await monitor(["subs", "nobodys"])).toMatchObject({ code: 1 });
  });

  test("lag --serve answers Prometheus, KEDA and health checks, also while the server is away", async () => {
    const own = await RealServer.start({ store: "file" });
    const channel = "orders.eu";
    const owner = await open(own, { clientId: "billing" });
    for (const i of [1, 2, 3]) await owner.publish(channel, String(i));
    const held = await owner.subscribe(channel, () => undefined, {
      ...{ queue: "workers", durable: "d", startAt: "first", manualAck: true },
    });
    await until("all is pending", () => held.stats().received === 3);
    const stop = new AbortController();
    const [url, ended] = await served(
      ["lag", "--serve", "0", "--monitor", `http://127.0.0.1:${own.monitorPort}`],
      stop.signal,
    );
    const get = async (path: string): Promise<[number, string]> => {
      const response = await fetch(url + path);
      return [response.status, await response.text()];
    };
    const [, metrics] = await get("/metrics");
    expect(metrics).toContain("nats_streaming_up 1\n");
    expect(metrics).toContain(
      `nats_streaming_subscription_lag{channel="${channel}",subscription="d:workers",kind="durable group"} 3\n`,
    );
    const [, json] = await get("/lag");
    // As KEDA's metrics-api scaler does it with valueLocation: 'lag', by gjson.
    expect(JSON.parse(json)).toMatchObject({ lag: 3, channels: { [channel]: { lag: 3 } } });
    expect(await get(`/lag?channel=${channel}&subscription=d:workers`)).toEqual([200, '{"lag":3}\n']);
    expect((await get("/lag?channel=nobodys"))[0]).toBe(404);
    expect(await get("/healthz")).toEqual([200, "ok\n"]);
    expect((await get("/else"))[0]).toBe(404);
    await owner.close();
    await own.down("SIGKILL");
    expect((await get("/lag"))[0]).toBe(503);
    expect((await get("/healthz"))[0]).toBe(503);
    expect((await get("/metrics"))[1]).toContain("nats_streaming_up 0\n");
    stop.abort();
    expect((await ended).code).toBe(0);
    await own.stop();
  });

  test("dead lists dead letters, and replays each once", async () => {
    const [channel, clientId] = [fresh("orders"), fresh("billing")];
    const owner = await open(stan(), { clientId });
    const bad = await owner.subscribe(channel, () => Promise.reject(new Error("not in stock")), {
      ...{ maxDeliver: 1, deadLetter: `${channel}.dead`, startAt: "first" },
    });
    for (const text of ["one", "two", "three"]) await owner.publish(channel, text, { reply: `r-${text}` });
    const dead = ["dead", `${channel}.dead`, "--wait", "1s"];
    const listed = async (): Promise<number> =>
      (JSON.parse((await client([...dead, "--json"])).out) as unknown[]).length;
    await until("three are dead", async () => (await listed()) === 3);
    await bad.close();
    expect((await client(dead)).out).toMatch(new RegExp(`\\n +1  ${channel} +1 +1  not in stock\\n`));
    const one = await client([...dead, "--replay", "--only", "2", "--json"]);
    expect(one).toMatchObject({ code: 0, err: "" });
    const rest = (await client([...dead, "--replay", "--json"])).out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as object);
    expect(rest.at(-1)).toEqual({ replayed: 2, left: 0 });
    expect(await client([...dead, "--replay", "--json"])).toMatchObject({ code: 0, out: '{"replayed":0,"left":0}\n' });
    const back = (await client(["sub", channel, "--from", "4", "--count", "3", "--json"])).out.trim().split("\n");
    const pairs = back.map((line) => JSON.parse(line) as { data: string; reply: string });
    expect(pairs.map(({ data, reply }) => [data, reply])).toEqual([
      ["two", "r-two"],
      ["one", "r-one"],
      ["three", "r-three"],
    ]);
  });

  test("dead replays more than a client may have in hand, also what is no text", async () => {
    const channel = fresh("orders");
    const owner = await open(stan());
    const letters = 300;
    // 67.5 MB of them: a client drops what waits beyond 64 MiB.
    const bytes = range(1, letters).map((i) => new Uint8Array(i <= 75 ? 900_000 : 2).fill(255));
    const reply = JSON.stringify({ dead: 1, c: channel, s: 1, t: "1", n: 1, e: "no", r: "" });
    await owner.publishMany(`${channel}.dead`, bytes, { reply });
    const dead = ["dead", `${channel}.dead`, "--wait", "1s", "--replay"];
    const replayed = await client(dead, { terminal: true });
    expect(replayed).toMatchObject({ code: 0, err: expect.stringMatching(/\n300 dead letters replayed, 0 left\n$/) });
    await owner.publish(`${channel}.dead`, new Uint8Array([255]), { reply });
    const [one] = (await client([...dead, "--json"])).out.split("\n");
    expect(JSON.parse(one!)).toMatchObject({ number: letters + 1, base64: "/w==" });
  });

  test("dead says that it stops where too much is no dead letter, and --only goes on behind that", async () => {
    const channel = fresh("orders");
    const owner = await open(stan());
    await owner.publishMany(channel, range(1, 300).map(String));
    const bad = await owner.subscribe(`${channel}.in`, () => Promise.reject(new Error("no")), {
      ...{ maxDeliver: 1, deadLetter: channel, startAt: "first" },
    });
    await owner.publish(`${channel}.in`, "one");
    await until("it is dead", () => bad.stats().acknowledged === 1);
    await bad.close();
    const stopped = await client(["dead", channel, "--wait", "1s", "--replay", "--json"]);
    expect(stopped).toMatchObject({ code: 1, out: '{"replayed":0,"left":256}\n' });
    expect(stopped.err).toContain("--only");
    const one = await client(["dead", channel, "--wait", "1s", "--replay", "--only", "301", "--json"]);
    expect(one).toMatchObject({ code: 0, err: "" });
    expect(JSON.parse(one.out.trim().split("\n").at(-1)!)).toEqual({ replayed: 1, left: 300 });
  });

  test("server serves until Ctrl-C", async () => {
    const stop = new AbortController();
    const [url, ended] = await served(["server", "--port", "0"], stop.signal);
    expect(await cli(["pub", "orders", "one", "-s", url])).toMatchObject({ code: 0 });
    expect((await cli(["sub", "orders", "--from", "first", "--count", "1", "--raw", "-s", url])).out).toBe("one\n");
    stop.abort();
    expect((await ended).code).toBe(0);
  });
});

/** A command that serves, once it has said where. */
async function served(args: readonly string[], signal: AbortSignal): Promise<[string, Promise<Told>]> {
  const told = { out: "", err: "" };
  const ended = cli([...args, "--json"], { signal, told });
  await until("it says where", () => told.out.includes("\n"));
  return [(JSON.parse(told.out) as { url: string }).url, ended];
}
