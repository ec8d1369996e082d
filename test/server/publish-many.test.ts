import { expect, onTestFinished, test } from "vitest";
import { type PublishManyError, StreamingError } from "../../src/index.ts";
import { StreamingServer as Embedded } from "../../src/testing/server.ts";
import { fresh, open, proxyTo, range, read, Statuses } from "../support/clients.ts";
import { channelPage } from "../support/monitor.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** What a source may be, and how a `publishMany` may be ended. */
const SOURCES = ["texts", "later"] as const;
const ENDINGS = ["signal", "close", "drain"] as const;

/** Yields numbers as text, without end, and keeps count. */
class Source {
  drawn = 0;
  closed = false;

  *texts(): Generator<string> {
    try {
      for (;;) yield String(++this.drawn);
    } finally {
      this.closed = true;
    }
  }

  async *later(): AsyncGenerator<string> {
    try {
      for (;;) {
        await Promise.resolve();
        yield String(++this.drawn);
      }
    } finally {
      this.closed = true;
    }
  }
}

describeWithServer("publishing many", () => {
  const server = serverForSuite();

  test("stores all that an iterable yields, in its order, and resolves to the number", async () => {
    const client = await open(server(), { maxPubAcksInFlight: 10 });
    const channel = fresh("channel");
    const texts = range(1, 500).map(String);
    expect(await client.publishMany(channel, texts)).toBe(500);
    expect((await read(client, channel, 500)).map((message) => message.text())).toEqual(texts);
  });

  test("stores all that an async iterable yields, in its order, and resolves to the number", async () => {
    const client = await open(server(), { maxPubAcksInFlight: 10 });
    const channel = fresh("channel");
    async function* source(): AsyncGenerator<string | Uint8Array> {
      for (const i of range(1, 100)) {
        await Promise.resolve();
        yield i % 2 === 0 ? String(i) : new TextEncoder().encode(String(i));
      }
    }
    expect(await client.publishMany(channel, source())).toBe(100);
    expect((await read(client, channel, 100)).map((message) => message.text())).toEqual(range(1, 100).map(String));
  });

  test("an empty source resolves to 0", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    expect(await client.publishMany(channel, [])).toBe(0);
    expect(await channelPage(server(), channel)).toBeUndefined();
  });

  test("the reply is that of every message", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    await client.publishMany(channel, ["a", "b"], { reply: "to.me" });
    expect((await read(client, channel, 2)).map(({ reply }) => reply)).toEqual(["to.me", "to.me"]);
  });

  test("onStored counts each stored message once, and may throw", async () => {
    const client = await open(server(), { maxPubAcksInFlight: 3 });
    const counted: number[] = [];
    const stored = await client.publishMany(fresh("channel"), range(1, 50).map(String), {
      onStored: (count) => {
        counted.push(count);
        throw new Error("thrown by onStored");
      },
    });
    expect(stored).toBe(50);
    expect(counted).toEqual(range(1, 50));
  });

  test.each(SOURCES)("draws no more than the window ahead of the acks, from a source of %s", async (kind) => {
    const client = await open(server(), { maxPubAcksInFlight: 5 });
    const source = new Source();
    const controller = new AbortController();
    let most = 0;
    const many = client.publishMany(fresh("channel"), source[kind](), {
      signal: controller.signal,
      onStored: (stored) => {
        most = Math.max(most, source.drawn - stored);
        if (stored === 200) controller.abort();
      },
    });
    await expect(many).rejects.toBeInstanceOf(StreamingError);
    // Five in flight, and one that waits for its turn; at the time of the call one of the five is already stored.
    expect(most).toBeLessThanOrEqual(6);
    expect(most).toBeGreaterThanOrEqual(4);
  });

  test("draws no more than the window while nothing is acknowledged, and goes on afterwards", async () => {
    const client = await open(server(), { maxPubAcksInFlight: 5 });
    const channel = fresh("channel");
    await client.publish(channel, "first");
    const source = new Source();
    const controller = new AbortController();
    server().pause();
    const many = client.publishMany(channel, source.texts(), {
      signal: controller.signal,
      onStored: (stored) => {
        if (stored === 100) controller.abort();
      },
    });
    try {
      for (let turn = 0; turn < 50; turn++) await new Promise<void>((resolve) => setImmediate(() => resolve()));
      expect(source.drawn).toBe(6);
    } finally {
      server().resume();
    }
    await expect(many).rejects.toBeInstanceOf(StreamingError);
    expect(source.drawn).toBeLessThanOrEqual(110);
  });

  test.each(SOURCES)("at the first failure it closes the source, settles the rest, and rejects: %s", async (kind) => {
    const client = await open(server(), { maxPubAcksInFlight: 8 });
    const channel = fresh("channel");
    const source = new Source();
    function* spoiled(): Generator<string | Uint8Array> {
      for (const text of source.texts()) yield text === "20" ? new Uint8Array(2 ** 20) : text;
    }
    async function* spoiledLater(): AsyncGenerator<string | Uint8Array> {
      for await (const text of source.later()) yield text === "20" ? new Uint8Array(2 ** 20) : text;
    }
    let stored = 0;
    const items = kind === "texts" ? spoiled() : spoiledLater();
    const many = client.publishMany(channel, items, { onStored: (count) => (stored = count) });
    await expect(many).rejects.toMatchObject({
      ...{ name: "PublishManyError", code: "TOO_LARGE" },
      ...{ stored: 19, firstUncertain: 19, failures: [{ index: 19, code: "TOO_LARGE" }] },
    });
    expect(source.closed).toBe(true);
    expect(source.drawn).toBe(20);
    // All that came before was settled when it rejected.
    expect(stored).toBe(19);
    expect(await channelPage(server(), channel)).toMatchObject({ msgs: 19 });
  });

  test("a source that throws ends it with what it threw, after what came before is stored", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const broken = new Error("the file cannot be read");
    function* source(): Generator<string> {
      yield "a";
      yield "b";
      throw broken;
    }
    let stored = 0;
    const many = client.publishMany(channel, source(), { onStored: (count) => (stored = count) });
    await expect(many).rejects.toMatchObject({
      ...{ code: "ABORTED", cause: broken },
      ...{ stored: 2, firstUncertain: 2, failed: 0, failures: [] },
    });
    expect(stored).toBe(2);
  });

  test("something in the source that cannot be published ends it, with a TypeError as the cause", async () => {
    const client = await open(server());
    const wrong: unknown[] = [7, undefined, { data: 7 }, { reply: "x" }];
    wrong.push({ data: "x", reply: 7 }, { data: "x", replay: "y" });
    for (const item of wrong) {
      const many = client.publishMany(fresh("channel"), ["a", item as string, "b"]);
      const failed = { stored: 1, firstUncertain: 1, failed: 1, failures: [{ index: 1, code: "ABORTED" }] };
      await expect(many).rejects.toMatchObject({ code: "ABORTED", cause: expect.any(TypeError), ...failed });
    }
  });

  test("something in an async source that cannot be published closes the source", async () => {
    const client = await open(server());
    const wrong: unknown[] = [7, { data: 7 }, { data: "x", replay: "y" }];
    for (const item of wrong) {
      let closed = false;
      async function* source(): AsyncGenerator<string> {
        try {
          yield "a";
          yield item as string;
        } finally {
          closed = true;
        }
      }
      const many = client.publishMany(fresh("channel"), source());
      await expect(many).rejects.toMatchObject({ code: "ABORTED", stored: 1, failed: 1 });
      expect(closed).toBe(true);
    }
  });

  test("an async source may answer without promises; answers that are no objects end it by a TypeError", async () => {
    const client = await open(server());
    const answering = (next: () => unknown): AsyncIterable<string> => ({
      [Symbol.asyncIterator]: () => ({ next }) as AsyncIterator<string>,
    });
    let drawn = 0;
    const atOnce = answering(() => ({ done: ++drawn === 3, value: "x" }));
    expect(await client.publishMany(fresh("channel"), atOnce)).toBe(2);
    for (const answer of [undefined, null, 7]) {
      // A source that goes on for ever would let nothing else run: not even the time limit of this test.
      let left = 1_000;
      const endless = new Error("drawn again and again");
      const source = answering(() => (left-- > 0 ? Promise.resolve(answer) : Promise.reject(endless)));
      const many = client.publishMany(fresh("channel"), source);
      await expect(many).rejects.toMatchObject({ code: "ABORTED", cause: expect.any(TypeError), stored: 0 });
    }
  });

  test("an item may have a reply of its own", async () => {
    const client = await open(server());
    const channel = fresh("channel");
    const bytes = new TextEncoder().encode("c");
    const items = ["a", { data: "b", reply: "id 2" }, { data: bytes, reply: "id 3" }, { data: "d" }];
    expect(await client.publishMany(channel, items, { reply: "for all" })).toBe(4);
    const stored = (await read(client, channel, 4)).map((message) => `${message.text()} ${message.reply}`);
    expect(stored).toEqual(["a for all", "b id 2", "c id 3", "d for all"]);
  });

  test("says where to go on: from there nothing is lost", async () => {
    const embedded = await Embedded.start();
    onTestFinished(() => embedded.stop());
    const client = await open(embedded);
    const lines = range(1, 100).map(String);
    // The first is refused, and all that follow are stored.
    embedded.refuse("publish", "disk full");
    const told: number[] = [];
    const many = client.publishMany("c", lines, { onStored: (_, unbroken) => void told.push(unbroken) });
    const error = await many.catch((error: unknown) => error);
    expect(error).toMatchObject({
      ...{ code: "UNCONFIRMED", stored: 99, firstUncertain: 0 },
      ...{ failed: 1, failures: [{ index: 0, code: "UNCONFIRMED" }] },
    });
    expect(new Set(told)).toEqual(new Set([0]));
    await client.publishMany("c", lines.slice((error as PublishManyError).firstUncertain));
    const stored = (await read(client, "c", 199)).map((message) => message.text());
    expect(new Set(stored)).toEqual(new Set(lines));
  });

  test("names at most a thousand failures, and counts all", async () => {
    const proxy = await proxyTo(server());
    const client = await open(proxy);
    const channel = fresh("channel");
    await client.publish(channel, "first");
    proxy.stall();
    const source = new Source();
    const many = client.publishMany(channel, source.texts()).catch((error: unknown) => error as PublishManyError);
    await until("many are sent", () => client.stats().inFlight > 2_000);
    proxy.cut();
    proxy.go();
    const { code, firstUncertain, failed, failures } = (await many) as PublishManyError;
    expect({ code, firstUncertain }).toEqual({ code: "UNCONFIRMED", firstUncertain: 0 });
    expect(failed).toBeGreaterThan(2_000);
    expect(failures).toHaveLength(1_000);
    expect(failures.map(({ index }) => index)).toEqual(range(0, 999));
  });

  test.each(ENDINGS)("a source that has nothing to yield for now does not hold it up: %s", async (how) => {
    const client = await open(server());
    const controller = new AbortController();
    let closed = 0;
    const source: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => {
        let drawn = 0;
        return {
          next: () => (drawn++ === 0 ? Promise.resolve({ done: false, value: "x" }) : new Promise(() => undefined)),
          return: () => {
            closed++;
            return new Promise(() => undefined);
          },
        };
      },
    };
    let stored = 0;
    const { signal } = controller;
    const many = client.publishMany(fresh("channel"), source, { signal, onStored: (n) => (stored = n) });
    const code = how === "signal" ? "ABORTED" : "CLOSED";
    const ended = expect(many).rejects.toMatchObject({ code, stored: 1, firstUncertain: 1, failed: 0 });
    await until("the first is stored", () => stored === 1);
    if (how === "signal") controller.abort();
    else await client[how]();
    await ended;
    expect(closed).toBe(1);
  });

  test("wrong arguments reject with a TypeError before anything is drawn", async () => {
    const client = await open(server());
    const source = new Source();
    await expect(client.publishMany("a b", source.texts())).rejects.toBeInstanceOf(TypeError);
    for (const wrong of [{ onStored: 7 }, { reply: 7 }] as object[]) {
      await expect(client.publishMany("a", source.texts(), wrong)).rejects.toBeInstanceOf(TypeError);
    }
    expect(source.drawn).toBe(0);
  });

  test("waits through an outage, drawing no more than the window", async () => {
    const proxy = await proxyTo(server());
    const statuses = new Statuses();
    const client = await open(proxy, { maxPubAcksInFlight: 5, onStatus: statuses.onStatus });
    const channel = fresh("channel");
    proxy.refuse();
    proxy.cut();
    await statuses.until("disconnected");
    const texts = range(1, 50).map(String);
    let drawn = 0;
    function* source(): Generator<string> {
      for (const text of texts) {
        drawn++;
        yield text;
      }
    }
    const many = client.publishMany(channel, source());
    await until("the first is drawn", () => drawn === 1);
    proxy.accept();
    expect(await many).toBe(50);
    expect((await read(client, channel, 50)).map((message) => message.text())).toEqual(texts);
  });
});
