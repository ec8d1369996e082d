import { expect, test } from "vitest";
import { type Client, connect, type Message, type Messages, type Subscription } from "../../src/index.ts";
import { fresh, optionsFor, publishAll, range, Received } from "../support/clients.ts";
import { Proxy } from "../support/proxy.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** What can be called, on what is there when user code runs. */
interface There {
  readonly client: Client;
  readonly subscription: Subscription;
  readonly messages: Messages;
  readonly message: Message | undefined;
}

const other = fresh("channel");

const calls: Record<string, (there: There) => unknown> = {
  "client.publish": ({ client }) => client.publish(other, "x"),
  "client.publishMany": ({ client }) => client.publishMany(other, ["x", "y"]),
  "client.subscribe": ({ client }) => client.subscribe(other, () => undefined),
  "client.messages": ({ client }) => client.messages(other),
  "client.stats": ({ client }) => [client.stats(), client.ready, client.state],
  "client.drain": ({ client }) => client.drain({ timeout: 2_000 }),
  "client.close": ({ client }) => client.close(),
  "subscription.stats": ({ subscription }) => [subscription.stats(), subscription.state],
  "subscription.drain": ({ subscription }) => subscription.drain({ timeout: 2_000 }),
  "subscription.close": ({ subscription }) => subscription.close(),
  "subscription.unsubscribe": ({ subscription }) => subscription.unsubscribe(),
  "messages.next": ({ messages }) => messages.next(),
  "messages.return": ({ messages }) => messages.return(),
  "message.ack": ({ message }) => message?.ack(),
  "message.signal": ({ message }) => message?.signal,
};

const statusTypes = ["handler-failed", "registered", "disconnected"] as const;
const places = ["handler", "loop", ...statusTypes, "onStored", "auth", "reconnectDelay"] as const;
type Where = (typeof places)[number];

const table = places.flatMap((where) =>
  ["at once", "after a turn"].flatMap((when) => Object.keys(calls).map((call) => ({ call, where, when }))),
);

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describeWithServer("from within user code", () => {
  const server = serverForSuite({ args: ["-mc", "0"] });

  /** A client, all of whose user code is under way, of which one place makes the call. */
  async function run(call: string, where: Where, when: string): Promise<void> {
    const cleanup: (() => Promise<unknown>)[] = [];
    try {
      await course(call, where, when, cleanup);
    } finally {
      for (const step of cleanup) await step();
    }
  }

  async function course(call: string, where: Where, when: string, cleanup: (() => Promise<unknown>)[]): Promise<void> {
    const clientId = fresh("client");
    const channel = fresh("channel");
    const looped = fresh("channel");
    const proxy = await Proxy.start(server().port);
    cleanup.push(() => proxy.stop());
    const results: Promise<unknown>[] = [];
    const there: { -readonly [K in keyof There]?: There[K] } = {};
    let armed = false;
    const user = async (here: Where, message?: Message): Promise<void> => {
      if (here !== where || !armed) return;
      armed = false;
      if (when === "after a turn") await turn();
      const result = calls[call]!({ ...(there as There), message });
      results.push(Promise.resolve(result).catch((error: unknown) => error));
    };

    const handled = new Set<string>();
    const begun = new Set<string>();
    const options = optionsFor(proxy, {
      clientId,
      requestTimeout: 1_000,
      onStatus: (status) => {
        const type = statusTypes.find((type) => type === status.type);
        if (type !== undefined) void user(type);
      },
      auth: async () => {
        await user("auth");
        return { user: "any", pass: "any" };
      },
      reconnectDelay: () => {
        void user("reconnectDelay");
        return 10;
      },
    });
    const client = (there.client = await connect(options));
    cleanup.unshift(() => client.close());
    const handler = (message: Message): unknown => {
      const text = message.text();
      begun.add(text);
      const called = user("handler", message);
      if (text === "bad") throw new Error("a bad one");
      return called.then(work).then(() => void handled.add(text));
    };
    // Longer than a client takes to leave that waits for nobody.
    const publisher = await connect(optionsFor(server()));
    cleanup.unshift(() => publisher.close());
    const work = (): Promise<unknown> => publishAll(publisher, other, range(1, 10).map(String));
    const subscribe = (client: Client, handler: (message: Message) => unknown): Promise<Subscription> =>
      client.subscribe(channel, handler, { durable: "d", concurrency: 2, maxInFlight: 10 });
    there.subscription = await subscribe(client, handler);
    const messages = (there.messages = await client.messages(looped, { durable: "l", startAt: "first" }));
    const loop = (async () => {
      for await (const message of messages) {
        begun.add(message.text());
        await user("loop", message);
        await work();
        handled.add(message.text());
      }
    })();
    for (const i of range(1, 3)) await publisher.publish(looped, `looped ${i}`);
    await until("the loop is at rest", () => handled.has("looped 3"));

    armed = true;
    const items = range(1, 3).map(String);
    const stored = client.publishMany(fresh("channel"), items, { onStored: () => void user("onStored") });
    results.push(stored.catch((error: unknown) => error));
    for (const text of ["a", "bad", "b", "c"]) await publisher.publish(channel, text);
    for (const i of range(4, 5)) await publisher.publish(looped, `looped ${i}`);
    if (["registered", "disconnected", "auth", "reconnectDelay"].includes(where)) proxy.cut();
    await until("the call is made", () => results.length === 2);

    // Nothing hangs beyond its timeout, but for a wait for a message that does not come.
    const settled = Promise.all(call === "messages.next" ? results.slice(0, 1) : results);
    const [, answer] = (await within(6_000, settled)) as unknown[];
    if (call.endsWith("drain")) expect(answer).toMatchObject({ unhandled: expect.any(Array) });
    else if (answer instanceof Error) expect(answer).toMatchObject({ code: expect.any(String) });
    await within(6_000, client.close());
    await within(6_000, loop);

    // What was handled well does not come again after a drain, and what comes again was reported.
    const again = new Received();
    const next = await connect(optionsFor(server(), { clientId }));
    cleanup.unshift(() => next.close());
    await subscribe(next, again.handler);
    await publisher.publish(channel, "end");
    await until("all has come", () => again.texts.includes("end"));
    if (!call.endsWith("drain")) return;
    const report = (answer as { unhandled: readonly Message[] }).unhandled.map((message) => message.text());
    const came = again.texts.filter((text) => begun.has(text));
    expect(came.filter((text) => handled.has(text))).toEqual([]);
    if (call === "client.drain") {
      const handled = report.filter((text) => !text.startsWith("looped"));
      expect(handled.sort()).toEqual(expect.arrayContaining(came.sort()));
    }
    expect(report.filter((text) => handled.has(text))).toEqual([]);
  }

  test.concurrent.each(table)("$call from $where, $when", ({ call, where, when }) => run(call, where, when), 30_000);
});

async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not settled within ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
