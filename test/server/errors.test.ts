import { expect, test } from "vitest";
import { connect, type StreamingError } from "../../src/index.ts";
import { fresh, open, optionsFor, proxyTo } from "../support/clients.ts";
import { freePorts } from "../support/ports.ts";
import { describeWithServer, serverForSuite } from "../support/suite.ts";
import { until } from "../support/until.ts";

/** The messages of an error and of its causes, as loggers print them. */
function messagesOf(error: unknown): string[] {
  const messages: string[] = [];
  for (let next = error; next instanceof Error; next = next.cause) messages.push(next.message);
  return messages;
}

async function failureOf(promise: Promise<unknown>): Promise<StreamingError> {
  return promise.then(() => expect.fail("it did not fail"), (error: unknown) => error as StreamingError);
}

describeWithServer("an error", () => {
  const server = serverForSuite();

  test("says what its causes say in its own words: printed one behind the other, nothing is there twice", async () => {
    const [closed, other] = await freePorts(2);
    const proxy = await proxyTo(server());
    const client = await open(proxy);
    const owner = await open(server());
    const eaten = proxy.eat(({ verb, subject }) => verb === "MSG" && subject.startsWith("_STAN.acks."), "down");
    const lost = failureOf(client.publish(fresh("channel"), "x"));
    await eaten;
    proxy.cut();
    const aborted = new AbortController();
    aborted.abort(new Error("the user went away"));
    const servers = [`nats://127.0.0.1:${closed}`, `nats://127.0.0.1:${other}`];
    const errors = [
      await lost,
      await failureOf(connect(optionsFor(server(), { servers: `nats://127.0.0.1:${closed}` }))),
      await failureOf(connect(optionsFor(server(), { servers }))),
      await failureOf(connect(optionsFor(server(), { clusterId: "wrong" }))),
      await failureOf(connect(optionsFor(server(), { clientId: owner.clientId }))),
      await failureOf(connect(optionsFor(server(), { tls: {} }))),
      await failureOf(owner.publish(fresh("channel"), "x", { signal: aborted.signal })),
    ];
    for (const error of errors) {
      const messages = messagesOf(error);
      for (const [i, message] of messages.entries()) {
        for (const cause of messages.slice(i + 1)) expect(message, messages.join(" | ")).not.toContain(cause);
      }
    }
  });

  test("of connect and subscribe has the caller's line in its stack", async () => {
    const [closed] = await freePorts(1);
    async function callsConnect(): Promise<void> {
      await connect(optionsFor(server(), { servers: `nats://127.0.0.1:${closed}` }));
    }
    expect((await failureOf(callsConnect())).stack).toMatch(/at (async )?callsConnect .*errors\.test\.ts/);

    const client = await open(server());
    const subject = fresh("channel");
    await client.subscribe(subject, () => undefined, { durable: "d" });
    async function callsSubscribe(): Promise<void> {
      await client.subscribe(subject, () => undefined, { durable: "d" });
    }
    async function callsMessages(): Promise<void> {
      await client.messages(subject, { durable: "d" });
    }
    expect((await failureOf(callsSubscribe())).stack).toMatch(/at (async )?callsSubscribe .*errors\.test\.ts/);
    expect((await failureOf(callsMessages())).stack).toMatch(/at (async )?callsMessages .*errors\.test\.ts/);
  });

  test.each([true, false])("of publish has the caller's line in its stack (callerStacks: %s)", async (callerStacks) => {
    const client = await open(server(), { callerStacks });
    async function callsPublish(): Promise<void> {
      await client.publish(fresh("channel"), new Uint8Array(2 ** 20));
    }
    const error = await failureOf(callsPublish());
    expect(error).toMatchObject({ code: "TOO_LARGE" });
    // One that is found in the call has it in any case.
    expect(error.stack).toContain("callsPublish");

    const controller = new AbortController();
    async function callsLater(): Promise<void> {
      await client.publish(fresh("channel"), "x", { signal: controller.signal });
    }
    const later = failureOf(callsLater());
    setImmediate(() => controller.abort());
    server().pause();
    try {
      await until("it is sent", () => client.stats().inFlight === 1);
      expect((await later).stack?.includes("callsLater")).toBe(callerStacks);
    } finally {
      server().resume();
    }
  });
});
