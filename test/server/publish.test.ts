import { expect, test } from "vitest";
import type { Client, ConnectOptions } from "../../src/index.ts";
import { bytesOf, sameBytes } from "../support/bytes.ts";
import { fresh, open, proxyTo, range, read, Received, Statuses } from "../support/clients.ts";
import { channelPage } from "../support/monitor.ts";
import type { Proxy } from "../support/proxy.ts";
import { Random } from "../support/random.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** The reason of a promise that must reject. */
async function refusal(promise: Promise<unknown>): Promise<{ code?: string; message: string }> {
  const outcome = await promise.then(() => "resolved", (error: unknown) => error);
  expect(outcome).toBeInstanceOf(Error);
  return outcome as { code?: string; message: string };
}

/** How much larger than its data an encoded message is, as the library itself says, and what the server takes. */
async function sizes(client: Client, channel: string): Promise<{ overhead: number; limit: number }> {
  const length = 2 ** 20;
  const { message } = await refusal(client.publish(channel, new Uint8Array(length)));
  const [, size, limit] = /has (\d+) bytes, and the server takes (\d+)/.exec(message)!;
  return { overhead: Number(size) - length, limit: Number(limit) };
}

describeWithServer("publishing", () => {
  const server = serverForSuite();

  test("resolves once the server has stored the message", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    for (const count of range(1, 3)) {
      expect(await client.publish(channel, `message ${count}`)).toBeUndefined();
      expect(await channelPage(server(), channel)).toMatchObject({ msgs: count, last_seq: count });
    }
  });

  test("stores in the order of the calls, also without waiting in between", async () => {
    const client = await open(server(), { maxPubAcksInFlight: 7 });
    const channel = fresh("channel");
    await Promise.all(range(1, 1000).map((i) => client.publish(channel, String(i))));
    const messages = await read(client, channel, 1000);
    expect(messages.map((message) => message.text())).toEqual(range(1, 1000).map(String));
    expect(messages.map((message) => message.sequence)).toEqual(range(1, 1000));
  });

  test("the reply is delivered with the message, whatever text it is", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    await client.publish(channel, "a", { reply: "answers.to.me" });
    await client.publish(channel, "b", { reply: "not a subject: ä\r\n€" });
    await client.publish(channel, "c");
    const messages = await read(client, channel, 3);
    expect(messages.map(({ reply }) => reply)).toEqual(["answers.to.me", "not a subject: ä\r\n€", ""]);
  });

  test("an empty payload is stored and delivered as such", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    await client.publish(channel, "");
    await client.publish(channel, new Uint8Array(0));
    for (const message of await read(client, channel, 2)) {
      expect(message.data).toEqual(new Uint8Array(0));
      expect(message.text()).toBe("");
    }
  });

  test("bytes of every value come back as they went, in every length around the implementation's borders", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const random = new Random(1);
    const lengths = [1, 63, 64, 65, 127, 128, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 300_000];
    const sent = [Uint8Array.from(range(0, 255)), ...lengths.map((length) => random.bytes(length))];
    await Promise.all(sent.map((data) => client.publish(channel, data)));
    const messages = await read(client, channel, sent.length);
    expect(messages.length).toBe(sent.length);
    for (const [i, { data }] of messages.entries()) {
      expect(sameBytes(data, sent[i]!), `length ${sent[i]!.length}`).toBe(true);
    }
  });

  test("text comes back as UTF-8, short and long, of one to four bytes a character", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const characters = ["a", "ä", "€", "😀"];
    const special = ["\u0000", "\ufeffafter a byte order mark", "line\r\nbreaks"];
    const borders = ["x".repeat(47) + "ä", "x".repeat(48) + "ä"];
    const lengths = [5_461, 5_462, 16_384, 16_385, 65_536];
    const long = characters.flatMap((character) => lengths.map((length) => character.repeat(length)));
    const sent = [...characters, ...special, ...borders, ...long];
    await Promise.all(sent.map((text) => client.publish(channel, text)));
    const messages = await read(client, channel, sent.length);
    for (const [i, message] of messages.entries()) {
      expect(message.text() === sent[i], `text ${i}`).toBe(true);
      expect(sameBytes(message.data, bytesOf(sent[i]!)), `text ${i}`).toBe(true);
    }
  });

  test("a Node Buffer and a part of a larger array are taken as the bytes that they are", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const whole = Uint8Array.from(range(0, 255));
    await client.publish(channel, Buffer.from("from a pool: ä"));
    await client.publish(channel, whole.subarray(100, 120));
    const [first, second] = await read(client, channel, 2);
    expect(first!.text()).toBe("from a pool: ä");
    expect(Array.from(second!.data)).toEqual(range(100, 119));
    expect(second!.data.constructor).toBe(Uint8Array);
  });

  test.each([1, undefined])("bytes changed after the call are stored as they were (window %s)", async (window) => {
    const client = await open(server(), { maxPubAcksInFlight: window });
    const channel = fresh("channel");
    const published: Promise<void>[] = [];
    for (const length of [10, 1_000, 16_384, 20_000, 100_000]) {
      const data = new Uint8Array(length).fill(7);
      published.push(client.publish(channel, data));
      data.fill(8);
    }
    await Promise.all(published);
    for (const { data } of await read(client, channel, 5)) {
      expect(data.every((byte) => byte === 7), `length ${data.length}`).toBe(true);
    }
  });

  test("the largest message that fits is stored; one byte more is refused unsent, with both numbers", async () => {
    const proxy = await proxyTo(server());
    const client = await open(proxy);
    const channel = fresh("channel");
    const { overhead, limit } = await sizes(client, channel);
    let sent = 0;
    void proxy.eat(({ verb, subject }) => verb === "PUB" && subject.endsWith(channel) && ++sent < 0, "up");

    const largest = new Random(2).bytes(limit - overhead);
    const tooLarge = new Uint8Array(limit - overhead + 1);
    const [before, refused, fits, after] = await Promise.allSettled(
      ["before", tooLarge, largest, "after"].map((data) => client.publish(channel, data)),
    );
    expect(before!.status).toBe("fulfilled");
    expect(fits!.status).toBe("fulfilled");
    expect(after!.status).toBe("fulfilled");
    expect(refused).toMatchObject({ status: "rejected", reason: { name: "StreamingError", code: "TOO_LARGE" } });
    const { message } = (refused as { reason: Error }).reason;
    expect(message).toContain(String(limit + 1));
    expect(message).toContain(`${limit} (max_payload)`);
    expect(sent).toBe(3);

    const messages = await read(client, channel, 3);
    expect(messages[0]!.text()).toBe("before");
    expect(sameBytes(messages[1]!.data, largest)).toBe(true);
    expect(messages[2]!.text()).toBe("after");
  });

  test("wrong arguments reject with a TypeError, and nothing is sent", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const wrong: [unknown, unknown, unknown?][] = [
      ["", "x"], ["a b", "x"], ["a.*", "x"], ["a.>", "x"],
      ["a/b", "x"], ["a..b", "x"], ["a\r\nPUB b 0", "x"], [undefined, "x"],
      [channel, undefined], [channel, 7], [channel, {}], [channel, [1, 2]], [channel, new Uint16Array(2)],
      [channel, "x", 7], [channel, "x", { reply: 7 }], [channel, "x", { signal: {} }],
    ];
    for (const [subject, data, options] of wrong) {
      const published = client.publish(subject as string, data as string, options as object);
      await expect(published).rejects.toBeInstanceOf(TypeError);
    }
    expect(await channelPage(server(), channel)).toBeUndefined();
  });
});

describeWithServer("publishing while disconnected", () => {
  const server = serverForSuite();

  interface Disconnected {
    readonly client: Client;
    readonly proxy: Proxy;
    readonly channel: string;
  }

  /** A client that has lost its link and cannot get another before `proxy.accept()`. */
  async function disconnected(options: Partial<ConnectOptions>): Promise<Disconnected> {
    const proxy = await proxyTo(server());
    const statuses = new Statuses();
    const client = await open(proxy, { onStatus: statuses.onStatus, ...options });
    proxy.refuse();
    proxy.cut();
    await statuses.until("disconnected");
    return { client, proxy, channel: fresh("channel") };
  }

  test("waits, and sends in the order of the calls once registered", async () => {
    const { client, proxy, channel } = await disconnected({});
    const published = range(1, 300).map((i) => client.publish(channel, String(i)));
    proxy.accept();
    await Promise.all(published);
    const messages = await read(client, channel, 300);
    expect(messages.map((message) => message.text())).toEqual(range(1, 300).map(String));
  });

  test("an aborted signal rejects with ABORTED, and the message is never sent", async () => {
    const { client, proxy, channel } = await disconnected({});
    const controller = new AbortController();
    const given = client.publish(channel, "given up", { signal: controller.signal });
    const kept = client.publish(channel, "kept");
    controller.abort("changed my mind");
    expect(await refusal(given)).toMatchObject({ name: "StreamingError", code: "ABORTED", cause: "changed my mind" });
    const already = client.publish(channel, "never begun", { signal: controller.signal });
    expect(await refusal(already)).toMatchObject({ code: "ABORTED", cause: "changed my mind" });
    proxy.accept();
    await kept;
    expect(await channelPage(server(), channel)).toMatchObject({ msgs: 1 });
  });

  test("rejects with NOT_SENT when publishTimeout is over, and the message is never sent", async () => {
    const { client, proxy, channel } = await disconnected({ publishTimeout: 100 });
    const error = await refusal(client.publish(channel, "too late"));
    expect(error).toMatchObject({ code: "NOT_SENT", message: `publish ${channel}: not sent within 100 ms` });
    proxy.accept();
    await until("registered again", () => client.state === "registered");
    await client.publish(channel, "in time");
    expect((await read(client, channel, 1)).map((message) => message.text())).toEqual(["in time"]);
  });

  test("rejects with QUEUE_FULL what is more than maxQueuedBytes, and keeps what waits", async () => {
    const { client, proxy, channel } = await disconnected({ maxQueuedBytes: 10_000 });
    const published = range(1, 20).map((i) => client.publish(channel, String(i).padEnd(1_000)));
    const results = Promise.allSettled(published);
    const { code, message } = await refusal(published[19]!);
    expect(code).toBe("QUEUE_FULL");
    expect(message).toContain("10000");
    proxy.accept();
    const stored = (await results).filter(({ status }) => status === "fulfilled").length;
    expect(stored).toBe(Math.floor(10_000 / (1_000 + 256)));
    const messages = await read(client, channel, stored);
    expect(messages.map((message) => Number(message.text()))).toEqual(range(1, stored));
    // There is room again.
    await client.publish(channel, "more".padEnd(9_000));
  });
});

describeWithServer("publishing to a server that has stopped to answer", () => {
  const server = serverForSuite();

  test("rejects with UNCONFIRMED by the caller's signal, and after publishTimeout; both may be stored", async () => {
    const client = await open(server(), { publishTimeout: 300 });
    const channel = fresh("channel");
    await client.publish(channel, "first");
    server().pause();
    try {
      const controller = new AbortController();
      const given = client.publish(channel, "given up", { signal: controller.signal });
      const timed = client.publish(channel, "timed out");
      controller.abort("enough");
      expect(await refusal(given)).toMatchObject({ code: "UNCONFIRMED", cause: "enough" });
      const message = `publish ${channel}: no ack within 300 ms`;
      expect(await refusal(timed)).toMatchObject({ code: "UNCONFIRMED", message });
    } finally {
      server().resume();
    }
    // Their acks come now, and settle nothing.
    await client.publish(channel, "last");
    const messages = await read(client, channel, 4);
    expect(messages.map((message) => message.text())).toEqual(["first", "given up", "timed out", "last"]);
  });

  test("one signal for many gives up also those that wait for their turn: they are never sent", async () => {
    const client = await open(server(), { maxPubAcksInFlight: 1 });
    const channel = fresh("channel");
    await client.publish(channel, "first");
    server().pause();
    try {
      const controller = new AbortController();
      const { signal } = controller;
      const given = ["sent", "waits", "waits too"].map((text) => client.publish(channel, text, { signal }));
      controller.abort();
      const codes = await Promise.all(given.map(async (publish) => (await refusal(publish)).code));
      expect(codes).toEqual(["UNCONFIRMED", "ABORTED", "ABORTED"]);
    } finally {
      server().resume();
    }
    await client.publish(channel, "last");
    expect((await read(client, channel, 3)).map((message) => message.text())).toEqual(["first", "sent", "last"]);
  });

  test.each([16_384, 65_536])("%i bytes given up before they are written do not become other bytes", async (length) => {
    const proxy = await proxyTo(server());
    const limits = { maxPubBytesInFlight: 2 ** 30, maxQueuedBytes: 2 ** 30 };
    const client = await open(proxy, { publishTimeout: 120_000, ...limits });
    const channel = fresh("channel");
    await client.publish(channel, "0");
    proxy.stall();
    // Far more than the network takes at once: some of these are sent and in this process's hands.
    const count = length === 16_384 ? 100 : 36;
    const filler = new Uint8Array(Math.floor(30_000_000 / count));
    const controllers = range(1, count).map(() => new AbortController());
    const kept: Promise<void>[] = [];
    const given = controllers.map(({ signal }, i) => {
      kept.push(client.publish(channel, filler));
      return client.publish(channel, new Uint8Array(length).fill(i), { signal });
    });
    for (let turn = 0; turn < 500; turn++) await new Promise<void>((resolve) => setImmediate(() => resolve()));
    for (const controller of controllers) controller.abort();
    const codes = (await Promise.all(given.map(refusal))).map(({ code }) => code);
    expect(new Set(codes)).toEqual(new Set(["UNCONFIRMED", "ABORTED"]));
    kept.push(...range(1, 2_500).map((i) => client.publish(channel, new Uint8Array(1_000).fill(i))));
    proxy.go();
    await Promise.all(kept);

    const sent = codes.filter((code) => code === "UNCONFIRMED").length;
    const messages = await read(client, channel, 1 + sent + kept.length);
    const mixed = messages.filter(({ data }) => data.length !== filler.length && data.some((byte) => byte !== data[0]));
    expect(mixed.map(({ sequence, data }) => `message ${sequence} of ${data.length} bytes`)).toEqual([]);
  });
});

describeWithServer("limits of a server for two channels and two subscriptions to each", () => {
  const server = serverForSuite({ args: ["-mc", "2", "-msu", "2"] });

  test("reject with REFUSED, in the server's words, and the rest goes on", async () => {
    const client = await open(server());
    await client.publish("one", "x");
    await client.publish("two", "x");
    await expect(client.publish("three", "x")).rejects.toMatchObject({
      code: "REFUSED",
      message: "publish three: too many channels",
    });
    await expect(client.subscribe("three", () => undefined)).rejects.toMatchObject({
      code: "REFUSED",
      message: "subscribe three: too many channels",
    });
    await expect(client.publish("One", "x")).rejects.toMatchObject({
      code: "REFUSED",
      message: expect.stringContaining("different cases not allowed"),
    });

    const first = new Received();
    const subscription = await client.subscribe("one", first.handler);
    await client.subscribe("one", () => undefined);
    await expect(client.subscribe("one", () => undefined)).rejects.toMatchObject({
      code: "REFUSED",
      message: "subscribe one: too many subscriptions per channel",
    });
    await client.publish("one", "y");
    await first.until(1);
    expect(client.ready).toBe(true);

    await subscription.close();
    await client.subscribe("one", () => undefined);
  });
});

describeWithServer("a channel that no server serves, in partitioned mode", () => {
  const server = serverForSuite({
    config: 'streaming { partitioning: true, store_limits { channels { "served": {} } } }',
  });

  test("is tried now and then until the time is up, told once, and keeps nobody else from being stored", async () => {
    const statuses = new Statuses();
    const client = await open(server(), { publishTimeout: 1_400, onStatus: statuses.onStatus });
    const unserved = Promise.all(["1", "2"].map((text) => refusal(client.publish("unserved", text))));
    let over = false;
    void unserved.then(() => (over = true));
    let stored = 0;
    for (; !over; stored++) await client.publish("served", "x");
    // Once in a hundred times it is just being tried when the time is up.
    for (const { code } of await unserved) expect(["NOT_SENT", "UNCONFIRMED"]).toContain(code);
    expect(statuses.types).toEqual(["registered", "error", "registered"]);
    expect(statuses.of("error")[0]).toMatchObject({ error: { code: "NO_SERVER" } });
    expect(client.stats()).toMatchObject({ stored, queued: 0, inFlight: 0 });
  });
});
